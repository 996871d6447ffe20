"""The images of an engine in memory: what is built, installed or pulled exists only as what it was made from.

It refuses what a real engine refuses (an image that is not there), and trials, registries and Debian that it was
not told about. `tests/images/test_steps.py` runs the same steps on a real engine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools.containers import image_cache, image_check, installs
from airflow_platform.tools.containers.archives import Files
from airflow_platform.tools.containers.engine import EngineError, EngineMissing
from airflow_platform.tools.containers.images import Images, RegistryMissing
from airflow_platform.tools.containers.spec import EngineImage

_LABEL = re.compile(r"^LABEL (\S+?)=(\S+)$", re.MULTILINE)
"""One of a Dockerfile."""


@dataclass
class World:
    """What exists in the engine, and what happens there."""

    architecture: str = "amd64"
    images: dict[str, EngineImage] = field(default_factory=dict)
    """By id."""
    names: dict[str, str] = field(default_factory=dict)
    """The id that each name has."""
    registry: dict[str, str | Exception] = field(default_factory=dict)
    """What is pulled: by reference, the architecture of what comes, or what is raised instead."""
    trials: dict[tuple[str, ...], str | Exception] = field(default_factory=dict)
    """What programs print that are tried in an image, by command, or what is raised instead; others are refused."""
    during: Callable[[str], None] = lambda thing: None
    """Called before anything is made, with "build", "install", "label", "attempt"; in the middle of a Dockerfile with "step";
    and with "made" when an image is there that a Dockerfile made, before anybody is told. May raise: what is there stays."""
    told: list[tuple[str, object]] = field(default_factory=list)
    """What was asked for, in order: the verb, and what with."""
    day: str = "Monday"
    """Part of what installations make: packages of another day are others."""
    parents: dict[str, str] = field(default_factory=dict)
    """The id of what an image was made from, by its own."""
    proxies: dict[str, str] = field(default_factory=dict)
    """Those of Docker's own settings, as variables."""
    missing: bool = False
    """Whether no engine answers."""

    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(
        self, labels: Mapping[str, str], content: str, *names: str, architecture: str = "", parent: str = ""
    ) -> str:
        """Have an image; its id."""
        kept = hashlib.sha256(content.encode()).hexdigest()[:16]
        image = EngineImage("", architecture or self.architecture, dict(labels), 1000, kept)
        return self.put(image, *names, parent=parent)

    def put(self, image: EngineImage, *names: str, parent: str = "") -> str:
        """Have an image like that under a new id, which is returned."""
        made = f"sha256:{next(self.ids):064x}"
        self.images[made] = dataclasses.replace(image, id=made)
        self.names.update(dict.fromkeys(names, made))
        if parent:
            self.parents[made] = parent
        return made

    def unnamed(self, label: str = "") -> list[str]:
        """The ids of images with a label, `key=value`, that have neither a name nor others made from them."""
        used = {*self.names.values(), *self.parents.values()}
        key, _, value = label.partition("=")
        return [
            each.id
            for each in self.images.values()
            if each.id not in used and (not label or each.labels.get(key) == value)
        ]

    def remove(self, image: str) -> None:
        """Remove an image, and what it was made from, as long as neither has a name or others made from it."""
        while image in self.unnamed():
            del self.images[image]
            image = self.parents.pop(image, "")

    def at(self, name: str) -> EngineImage:
        """The image of that name or id.

        Raises:
            EngineError: Status 404: there is none.
        """
        found = self.images.get(self.names.get(name, name))
        if found is None:
            raise EngineError(f"image {name}: No such image: {name}.", status=404)
        return found

    def cache(self) -> image_cache.ImageCache:
        """The way in, as steps take it."""
        return _Cache(self)


class _Cache(image_cache.ImageCache):
    def __init__(self, world: World) -> None:
        super().__init__("unix:///nowhere")
        self._world = world

    def at(self, reference: str) -> EngineImage | None:
        self._require_engine()
        return self._world.images.get(self._world.names.get(reference, reference))

    def platform(self) -> str:
        self._require_engine()
        return self._world.architecture

    def left(self, label: str) -> int:
        self._require_engine()
        return len(self._world.unnamed(label))

    @contextlib.contextmanager
    def changing(self, interruption: programs.Interruption) -> Iterator[Images]:
        self._require_engine()
        yield _Images(self._world)

    def _require_engine(self) -> None:
        if self._world.missing:
            fault = errors.Fault("Docker engine", "None answers.", "Start it.")
            raise EngineMissing("No Docker engine answers.", [fault])


class _Images(Images):
    def __init__(self, world: World) -> None:
        self._world = world

    def proxies(self) -> dict[str, str]:
        return dict(self._world.proxies)

    def described(self, name: str) -> EngineImage:
        return self._world.at(name)

    def build(
        self,
        files: Files,
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        platform: str,
        progress: Callable[[str], None],
        reference: str = "",
    ) -> str:
        world = self._world
        world.during("build")
        world.told.append(("build", dict(files)))
        parent = world.at(arguments["BASE"]) if "BASE" in arguments else None
        dockerfile = _text(files["Dockerfile"])
        progress("Step 1/1 : FROM base")
        content = repr([dockerfile, parent.layers if parent else "scratch", *sorted(files)])
        given = {**(parent.labels if parent else {}), **dict(_LABEL.findall(dockerfile))}
        step = world.add(given, content, architecture=platform, parent=parent.id if parent else "")
        world.during("step")
        return self._finish(world.at(step), {**given, **labels}, reference)

    def install(self, wanted: installs.Installation, progress: Callable[[str], None]) -> str:
        world = self._world
        world.during("install")
        world.told.append(("install", wanted))
        parent = world.at(wanted.image)
        progress("Installed 2 packages")
        content = repr([parent.layers, wanted.command, sorted(wanted.files), world.day])
        labels = {**parent.labels, **wanted.labels}
        return world.add(labels, content, architecture=parent.architecture, parent=parent.id)

    def attempt(self, trial: image_check.Trial, progress: Callable[[str], None]) -> str:
        world = self._world
        world.during("attempt")
        world.at(trial.image)
        answer = world.trials.get(trial.command)
        if answer is None:
            raise AssertionError(f"nobody said what {trial.command} prints")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def label(self, image: str, labels: Mapping[str, str], reference: str = "") -> str:
        self._world.during("label")
        found = self._world.at(image)
        return self._finish(found, {**found.labels, **labels}, reference)

    def _finish(self, image: EngineImage, labels: Mapping[str, str], reference: str) -> str:
        """The same with other labels, and a name if one is given, as a build ends; its id."""
        names = [reference] if reference else []
        made = self._world.put(dataclasses.replace(image, labels=dict(labels)), *names, parent=image.id)
        self._world.during("made")
        return made

    def pull(self, reference: str, *, platform: str, progress: Callable[[str], None]) -> str:
        self.require_in_registry(reference)
        architecture = self._world.registry[reference]
        assert isinstance(architecture, str)
        return self._world.add({}, reference, reference, architecture=architecture)

    def require_in_registry(self, reference: str) -> None:
        answer = self._world.registry.get(reference)
        if answer is None:
            raise RegistryMissing(f"No registry answers for {reference}: no such host.")
        if isinstance(answer, Exception):
            raise answer

    def remove_unnamed(self, image: str) -> None:
        self._world.remove(image)

    def remove_left(self, label: str) -> None:
        for image in self._world.unnamed(label):
            self._world.remove(image)


def _text(source: Path | bytes) -> str:
    return source.decode() if isinstance(source, bytes) else source.read_text(encoding="utf-8")
