"""Images of an engine: built, installed, tried, pulled, labelled and named, and those of killed builds taken away.

An image gets its name last, by the build that makes it: whatever ends that before leaves none under that name,
and nothing is ever made that has neither the name nor the label of a draft.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools.containers import (
    archives,
    engine,
    follow,
    image_check,
    installs,
    labelled_objects,
)
from airflow_platform.tools.containers.spec import EngineImage

if TYPE_CHECKING:
    import docker

TIMEOUT = 1800
"""Seconds for one answer while something is built: keeping a layer of 1 GB may take minutes."""

NOT_FOUND = 404
"""The HTTP status of what is not there."""

Progress = Callable[[str], None]

_STEP = re.compile(r"Step \d+/\d+ : .*")

_NOBODY_ANSWERED = re.compile(
    r"no such host|connection refused|i/o timeout|timeout exceeded|network is unreachable|no route to host|\bx509\b"
    r"|temporary failure in name resolution|server misbehaving|\beof\b|tls handshake|connection reset|proxyconnect",
    re.IGNORECASE,
)
"""What an engine says of a registry that it did not reach, as against one that says no."""


def described(api: Any, name: str) -> EngineImage | None:
    """The image of that id or reference; None when there is none.

    Args:
        api: The engine's API, of the docker library.
        name: Its id or reference.
    """
    try:
        with engine.translated(f"image {name}"):
            found = api.inspect_image(name)
    except engine.EngineError as error:
        if error.status == NOT_FOUND:
            return None
        raise
    layers = hashlib.sha256(json.dumps(found["RootFS"].get("Layers")).encode()).hexdigest()[:16]
    labels = (found.get("Config") or {}).get("Labels") or {}
    return EngineImage(found["Id"], found["Architecture"], labels, int(found["Size"]), layers)


class RegistryMissing(errors.StepError):
    """No registry answers where a reference points; what it would have said is not known."""


class Images:
    """The images of one engine, for whoever changes them."""

    def __init__(self, client: docker.DockerClient, interruption: programs.Interruption) -> None:
        self._api: Any = client.api
        self._close: Callable[[], None] = client.close
        self._interruption = interruption

    def proxies(self) -> dict[str, str]:
        """The proxies that Docker's own settings have for this engine, as variables; they may hold a password."""
        return dict(self._api._proxy_configs.get_environment())  # noqa: SLF001 - what reads ~/.docker/config.json.

    def described(self, name: str) -> EngineImage:
        """The image of that id or reference.

        Raises:
            EngineError: Status 404: there is none.
        """
        found = described(self._api, name)
        if found is None:
            raise engine.EngineError(f"image {name}: No such image: {name}.", status=404)
        return found

    def build(
        self,
        files: archives.Files,
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        platform: str,
        progress: Progress,
        reference: str = "",
    ) -> str:
        """Build an image from a Dockerfile, without a network; its id.

        What a step makes has the labels that it starts from; those that are given here come last.

        Args:
            files: The context by path, `Dockerfile` among them.
            arguments: Of the build; they stay in the image's history.
            labels: What the image is labelled with, last.
            platform: `amd64`, `arm64`.
            progress: Called with the steps, and what they print.
            reference: Its name, which the engine gives it when all else is done; whatever had it before loses it. "" for
                none.

        Raises:
            EngineError: It failed; says in which step.
            Interrupted: A signal came.
        """
        with archives.packed(files) as context:
            with engine.translated("build"):
                events = self._api.build(
                    fileobj=context,
                    custom_context=True,
                    tag=reference or None,
                    rm=True,
                    forcerm=True,
                    decode=True,
                    buildargs=dict(arguments),
                    labels=dict(labels),
                    platform=f"linux/{platform}",
                    network_mode="none",
                    use_config_proxy=False,
                )
            return _built(self._followed("build", events), progress)

    def install(self, wanted: installs.Installation, progress: Progress) -> str:
        """Run a command in a container of an image and keep what it changed; the id; see `installs.install`."""
        return installs.install(self._api, wanted, interruption=self._interruption, progress=progress)

    def attempt(self, trial: image_check.Trial, progress: Progress) -> str:
        """Run a program in a container of an image to its end; what it prints; see `trials.run`."""
        return image_check.run(self._api, trial, interruption=self._interruption, progress=progress)

    def label(self, image: str, labels: Mapping[str, str], reference: str = "") -> str:
        """The same image with these labels, and a name if one is given; its id."""
        # In one instruction: each would be a step, and all of them take longer than building a component.
        instruction = "LABEL " + " ".join(f"{key}={installs.quoted(text)}" for key, text in labels.items())
        return self.build(
            {"Dockerfile": f"FROM {image}\n{instruction}\n".encode()},
            arguments={},
            labels={},
            platform=self.described(image).architecture,
            progress=lambda line: None,
            reference=reference,
        )

    def pull(self, reference: str, *, platform: str, progress: Progress) -> str:
        """Fetch an image from its registry; its id.

        Raises:
            RegistryMissing: No registry answers.
            EngineError: The registry answered, and said no.
        """
        name = reference if _repository(reference) != reference else f"{reference}:latest"
        with _reached(reference):
            with engine.translated(reference):
                events = self._api.pull(name, stream=True, decode=True, platform=f"linux/{platform}")
            for event in self._followed(reference, events):
                _raise_if_failed(event, reference)
                progress(" ".join(filter(None, (event.get("id"), event.get("status")))))
        return self.described(name).id

    def require_in_registry(self, reference: str) -> None:
        """Ask an image's registry whether it has it; nothing is fetched.

        Raises:
            RegistryMissing: No registry answers.
            EngineError: The registry answered, and said no.
        """
        with _reached(reference), engine.translated(reference):
            self._api.inspect_distribution(reference)

    def remove_left(self, label: str) -> None:
        """Remove what killed builds left: containers, networks and images with a label.

        Of the images only those that have neither a name nor others made from them.

        Raises:
            EngineError: A container was not gone in time.
        """
        with engine.translated("what killed builds left"):
            containers = self._api.containers(all=True, filters={"label": label})
        for each in containers:
            # The engine may be removing it by itself; until it is gone, its image and its network are in use.
            labelled_objects.remove_container(self._api, each["Id"])
        with engine.translated("what killed builds left"):
            for each in self._api.networks(filters={"label": label}):
                self._api.remove_network(each["Id"])
            unnamed = self._api.images(filters={"label": label, "dangling": True})
        for each in unnamed:
            self.remove_unnamed(each["Id"])

    def remove_unnamed(self, image: str) -> None:
        """Remove an image; one that is used, has a name or others made from it stays, and one that is gone is none."""
        try:
            with engine.translated(f"image {image}"):
                if not self._api.inspect_image(image).get("RepoTags"):
                    self._api.remove_image(image)
        except engine.EngineError as error:
            if error.status not in (404, 409):
                raise

    def _followed(self, thing: str, events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        return follow.items(engine.streamed(thing, events), self._interruption, self._close)


@contextlib.contextmanager
def _reached(reference: str) -> Iterator[None]:
    try:
        yield
    except engine.EngineError as error:
        # Names may hold any word.
        said = error.message.replace(reference, "").replace(_repository(reference), "")
        if _NOBODY_ANSWERED.search(said):
            raise RegistryMissing(f"No registry answers for {error.message}") from error
        raise


def _repository(reference: str) -> str:
    """A reference without its tag and digest."""
    name = reference.partition("@")[0]
    host, slash, last = name.rpartition("/")
    return f"{host}{slash}{last.partition(':')[0]}"


def _built(events: Iterator[Mapping[str, Any]], progress: Progress) -> str:
    """The id that a stream of events ends with."""
    built = step = ""
    for event in events:
        line = str(event.get("stream", "")).strip()
        if _STEP.match(line):
            step = line
        _raise_if_failed(event, step or "build")
        if line and not line.startswith("--->"):
            progress(line)
        built = (event.get("aux") or {}).get("ID", built)
    if not built:
        raise engine.EngineError(f"{step}: The engine ended the build without saying why.", status=None)
    return str(built)


def _raise_if_failed(event: Mapping[str, Any], thing: str) -> None:
    if said := engine.failure(event):
        raise engine.said_no(thing, said)
