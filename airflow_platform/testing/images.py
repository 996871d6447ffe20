"""The images of an engine in memory: what is built, installed or pulled exists only as what it was made from.

It refuses what a real engine refuses (an image that is not there), and trials, registries and Debian that it was
not told about. `tests/images/test_steps.py` runs the same steps on a real engine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform import errors, programs
from airflow_platform.tools.containers import api, installs, shelf, trials
from airflow_platform.tools.containers.archives import Files
from airflow_platform.tools.containers.engine import EngineError, EngineMissing
from airflow_platform.tools.containers.images import Images, RegistryMissing


@dataclass
class World:
    """What exists in the engine, and what happens there."""

    architecture: str = "amd64"
    images: dict[str, api.Image] = field(default_factory=dict)
    """By id."""
    names: dict[str, str] = field(default_factory=dict)
    """The id that each name has."""
    registry: dict[str, str | Exception] = field(default_factory=dict)
    """What is pulled: by reference, the architecture of what comes, or what is raised instead."""
    trials: dict[tuple[str, ...], str | Exception] = field(default_factory=dict)
    """What programs print that are tried in an image, by command, or what is raised instead; others are refused."""
    during: Callable[[str], None] = lambda thing: None
    """Called before anything is made, with "build", "install", "label", "attempt", "tag"; may raise."""
    told: list[tuple[str, object]] = field(default_factory=list)
    """What was asked for, in order: the verb, and what with."""
    day: str = "Monday"
    """Part of what installations make: packages of another day are others."""
    left_over: int = 0
    """What a killed build left."""
    proxies: dict[str, str] = field(default_factory=dict)
    """Those of Docker's own settings, as variables."""
    missing: bool = False
    """Whether no engine answers."""

    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, labels: Mapping[str, str], content: str, *names: str, architecture: str = "") -> str:
        """Have an image; its id."""
        made = f"sha256:{next(self.ids):064x}"
        kept = hashlib.sha256(content.encode()).hexdigest()[:16]
        self.images[made] = api.Image(made, architecture or self.architecture, dict(labels), 1000, kept)
        self.names.update(dict.fromkeys(names, made))
        return made

    def at(self, name: str) -> api.Image:
        """The image of that name or id.

        Raises:
            EngineError: Status 404: there is none.
        """
        found = self.images.get(self.names.get(name, name))
        if found is None:
            raise EngineError(f"image {name}: No such image: {name}.", status=404)
        return found

    def alter(self, name: str) -> None:
        """Change what an image of that name holds, as a committed container does; its labels stay."""
        found = self.at(name)
        self.add(found.labels, f"{found.content} altered", name)

    def shelf(self) -> shelf.Shelf:
        """The way in, as steps take it."""
        return _Shelf(self)


class _Shelf(shelf.Shelf):
    def __init__(self, world: World) -> None:
        super().__init__("unix:///nowhere")
        self._world = world

    def at(self, reference: str) -> api.Image | None:
        self._require_engine()
        return self._world.images.get(self._world.names.get(reference, reference))

    def platform(self) -> str:
        self._require_engine()
        return self._world.architecture

    def left(self, label: str) -> int:
        self._require_engine()
        return self._world.left_over

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

    def described(self, name: str) -> api.Image:
        return self._world.at(name)

    def build(
        self,
        files: Files,
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        platform: str,
        progress: Callable[[str], None],
    ) -> str:
        world = self._world
        world.during("build")
        world.told.append(("build", dict(files)))
        parent = world.at(arguments["BASE"]) if "BASE" in arguments else None
        dockerfile = files["Dockerfile"]
        progress("Step 1/1 : FROM base")
        content = [_text(dockerfile), parent.content if parent else "scratch", *sorted(files)]
        inherited = parent.labels if parent else {}
        return world.add({**inherited, **labels}, repr(content), architecture=platform)

    def install(self, wanted: installs.Installation, progress: Callable[[str], None]) -> str:
        world = self._world
        world.during("install")
        world.told.append(("install", wanted))
        parent = world.at(wanted.image)
        progress("Installed 2 packages")
        content = repr([parent.content, wanted.command, sorted(wanted.files), world.day])
        return world.add({**parent.labels, **wanted.labels}, content, architecture=parent.architecture)

    def attempt(self, trial: trials.Trial, progress: Callable[[str], None]) -> str:
        world = self._world
        world.during("attempt")
        world.at(trial.image)
        answer = world.trials.get(trial.command)
        if answer is None:
            raise AssertionError(f"nobody said what {trial.command} prints")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def label(self, image: str, labels: Mapping[str, str]) -> str:
        world = self._world
        world.during("label")
        found = world.at(image)
        made = f"sha256:{next(world.ids):064x}"
        world.images[made] = dataclasses.replace(found, id=made, labels={**found.labels, **labels})
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

    def tag(self, image: str, reference: str) -> None:
        self._world.during("tag")
        self._world.names[reference] = self._world.at(image).id
        self._world.told.append(("tag", reference))

    def remove_unnamed(self, image: str) -> None:
        if image not in self._world.names.values():
            self._world.images.pop(image, None)

    def remove_left(self, label: str) -> None:
        self._world.left_over = 0
        self._world.told.append(("remove", label))


def _text(source: Path | bytes) -> str:
    return source.decode() if isinstance(source, bytes) else source.read_text(encoding="utf-8")
