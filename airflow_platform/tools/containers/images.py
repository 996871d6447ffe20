"""Images of an engine: built, pulled, labelled, tagged, and those of killed builds taken away.

An image gets its name last, in one step: whatever ends a build before that leaves none under that name.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_platform import errors, programs
from airflow_platform.tools.containers import engine, follow, listing

if TYPE_CHECKING:
    import docker

Progress = Callable[[str], None]

_DOCKERFILE = "Dockerfile"

_NEWS = re.compile(r"Step \d+/\d+ : .*")


class RegistryMissing(errors.StepError):
    """No registry answers where a reference points; what it would have said is not known."""


@dataclass(frozen=True)
class Described:
    """An image as it is."""

    id: str
    architecture: str
    labels: Mapping[str, str]
    content: str
    """A digest of its layers and settings, without its labels."""
    layers: tuple[str, ...]
    """Digests of its layers, the lowest first."""


class Images:
    """The images of one engine."""

    def __init__(self, client: docker.DockerClient, interruption: programs.Interruption) -> None:
        self._client = client
        self._api: Any = client.api
        self._interruption = interruption

    def described(self, name: str) -> Described | None:
        """The image of that id or reference; None when there is none."""
        try:
            with engine.translated(f"image {name}"):
                found = self._api.inspect_image(name)
        except engine.EngineError as error:
            if error.status == 404:
                return None
            raise
        return Described(
            found["Id"],
            found["Architecture"],
            found["Config"]["Labels"] or {},
            listing.content(found),
            tuple(found["RootFS"].get("Layers") or ()),
        )

    def build(
        self,
        files: Mapping[str, Path | bytes],
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        platform: str,
        progress: Progress,
    ) -> str:
        """Build an image from a Dockerfile; its id.

        Args:
            files: The context by path, `Dockerfile` among them.
            arguments: Of the build; they stay in the image's history.
            labels: What the image is labelled with, last.
            platform: `amd64`, `arm64`.
            progress: Called with the steps, and what they print.

        Raises:
            EngineError: It failed; says in which step.
        """
        with context(files) as archive, engine.translated("build"):
            events = self._api.build(
                fileobj=archive,
                custom_context=True,
                encoding=None,
                rm=True,
                forcerm=True,
                decode=True,
                buildargs=dict(arguments),
                labels=dict(labels),
                platform=f"linux/{platform}",
                network_mode="none",
            )
            return _built(follow.items(events, self._interruption, self._client.close), progress)

    def label(self, image: str, labels: Mapping[str, str]) -> str:
        """The same image with these labels; its id."""
        return self.build(
            {_DOCKERFILE: f"FROM {image}\n".encode()},
            arguments={},
            labels=labels,
            platform=self._require(image).architecture,
            progress=lambda line: None,
        )

    def pull(self, reference: str, *, platform: str, progress: Progress) -> str:
        """Fetch an image from its registry; its id.

        Raises:
            RegistryMissing: No registry answers.
            EngineError: The registry answered, and said no.
        """
        try:
            with engine.translated(reference):
                events = self._api.pull(
                    reference if _has_version(reference) else f"{reference}:latest",
                    stream=True,
                    decode=True,
                    platform=f"linux/{platform}",
                )
                for event in follow.items(events, self._interruption, self._client.close):
                    _raise_if_failed(event, reference)
                    progress(" ".join(filter(None, (event.get("id"), event.get("status")))))
        except engine.EngineError as error:
            if _is_unreachable(error.message):
                raise RegistryMissing(f"No registry answers for {reference}: {error.message}") from error
            raise
        return self._require(reference).id

    def tag(self, image: str, reference: str) -> None:
        """Give an image a name; whatever had it before loses it."""
        repository, _, tag = reference.rpartition(":")
        with engine.translated(f"image {reference}"):
            self._api.tag(image, repository, tag)

    def remove_unnamed(self, label: str) -> int:
        """Remove images without a name, and without others made from them, that have a label; how many."""
        filters = {"dangling": True, "label": label}
        removed = 0
        with engine.translated("images"):
            listed = self._api.images(filters=filters)
        for each in listed:
            try:
                with engine.translated(f"image {each['Id']}"):
                    self._api.remove_image(each["Id"])
                removed += 1
            except engine.EngineError as error:
                if error.status not in (404, 409):  # Gone already, or in use.
                    raise
        return removed

    def _require(self, name: str) -> Described:
        found = self.described(name)
        if found is None:
            raise engine.EngineError(f"image {name}: It is gone.", status=404, hint="Run this again.")
        return found


def context(files: Mapping[str, Path | bytes]) -> io.BufferedIOBase:
    """A build's context as tar, the same for the same content; large files are read as they are sent.

    Returns:
        A file to read from; close it.
    """
    import tempfile  # noqa: PLC0415

    archive = tempfile.TemporaryFile()  # noqa: SIM115 - its reader closes it.
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as packed:
        for place, source in sorted(files.items()):
            add(packed, place, source)
    archive.seek(0)
    return archive  # type: ignore[return-value]


def add(packed: tarfile.TarFile, place: str, source: Path | bytes) -> None:
    """Add a file to an archive: root's, not newer than others, and runnable when it is here."""
    entry = tarfile.TarInfo(place)
    if isinstance(source, bytes):
        entry.size, entry.mode = len(source), 0o644
        packed.addfile(entry, io.BytesIO(source))
        return
    found = source.stat()
    entry.size, entry.mode = found.st_size, 0o755 if found.st_mode & 0o100 else 0o644
    with source.open("rb") as file:
        packed.addfile(entry, file)


def _built(events: Iterator[Mapping[str, Any]], progress: Progress) -> str:
    """The id that a stream of events ends with."""
    built = step = ""
    for event in events:
        line = str(event.get("stream", "")).strip()
        if _NEWS.match(line):
            step = line
        _raise_if_failed(event, step or "build")
        if line and not line.startswith("--->"):
            progress(line)
        built = (event.get("aux") or {}).get("ID", built)
    if not built:
        raise engine.EngineError(f"{step}: The engine ended the build without saying why.", status=None)
    return str(built)


def _raise_if_failed(event: Mapping[str, Any], thing: str) -> None:
    if said := event.get("error"):
        raise engine.said_no(thing, str(said))


def _has_version(reference: str) -> bool:
    return ":" in reference.rpartition("/")[2] or "@" in reference


def _is_unreachable(said: str) -> bool:
    """Whether nobody answered, as against an answer that is no."""
    signs = (
        "no such host", "connection refused", "i/o timeout", "timeout exceeded", "network is unreachable",
        "no route to host", "x509", "temporary failure in name resolution", "server misbehaving", "eof",
        "tls handshake", "connection reset", "proxyconnect",
    )  # fmt: skip
    return any(sign in said.lower() for sign in signs)
