"""What is installed in a container and kept as an image, without a trace of how it got there.

A Dockerfile cannot be given a secret: the classic builder, which is what the docker library speaks, writes
arguments into the history and copies files into layers. A program that is run in a container has an
environment that no layer gets, and volumes that are no part of the image.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_platform import errors, programs
from airflow_platform.tools.containers import engine, follow, images

if TYPE_CHECKING:
    import docker

PLACE = "/mnt"
"""Where the files of an installation are; a directory that every Debian has."""

CACHE = "/srv"
"""Where the cache of packages is; a directory that every Debian has."""

_PASSING = (PLACE, "/tmp", "/var/cache/apt", "/var/lib/apt/lists")  # noqa: S108 - in a container of ours.
"""What an installation writes there is no part of the image."""

LIFETIME = 3600
"""Seconds after which a container whose build was killed ends by itself, and the engine removes it."""

TAIL = 15
"""Lines that an error shows."""


@dataclass(frozen=True)
class Installation:
    """What is run where."""

    image: str
    """The parent's id."""
    command: tuple[str, ...]
    files: Mapping[str, Path | bytes]
    """By their path below `PLACE`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the command alone: may hold secrets."""
    cache: str = ""
    """The volume at `CACHE`, which outlives the installation; "" for none."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the container, and of the image."""
    comment: str = ""
    """For the image's history."""


class InstallationFailed(errors.StepError):
    """The command ended with a code other than 0; carries its last lines."""


def install(
    client: docker.DockerClient,
    wanted: Installation,
    *,
    interruption: programs.Interruption,
    progress: Callable[[str], None],
) -> str:
    """Run a command as root in a container of an image, and keep what it changed; the id, without a name.

    Raises:
        InstallationFailed: The command said no.
        EngineError: The engine did.
        Interrupted: A signal came; nothing is kept.
    """
    api: Any = client.api
    with _container(api, wanted) as container:
        with engine.translated("files of the installation"):
            api.put_archive(container, PLACE, archive(wanted.files))
        with engine.translated(wanted.command[0]):
            _run(api, container, wanted, interruption, progress)
        progress("keeping what was installed")
        changes = ["CMD []", "ENTRYPOINT []", *(f"LABEL {key}={_quoted(text)}" for key, text in wanted.labels.items())]
        with engine.translated("commit"):
            return str(api.commit(container, message=wanted.comment, changes=changes)["Id"])


def remove_left(client: docker.DockerClient, label: str) -> int:
    """Remove the containers with a label, which killed builds left; how many."""
    api: Any = client.api
    with engine.translated("containers"):
        listed = api.containers(all=True, filters={"label": label})
        for each in listed:
            remove(api, each["Id"])
    return len(listed)


@contextlib.contextmanager
def _container(api: Any, wanted: Installation) -> Iterator[str]:
    mounts = [{"Type": "volume", "Target": path} for path in _PASSING]
    if wanted.cache:
        mounts.append({"Type": "volume", "Target": CACHE, "Source": wanted.cache})
    with engine.translated("container of the installation"):
        made = api.create_container(
            wanted.image,
            ["sleep", str(LIFETIME)],
            entrypoint=[],
            user="0:0",
            labels=dict(wanted.labels),
            host_config=api.create_host_config(mounts=mounts, auto_remove=True),
        )["Id"]
    try:
        with engine.translated("container of the installation"):
            api.start(made)
        yield made
    finally:
        with contextlib.suppress(Exception):  # Removing it again is left to the next build.
            remove(api, made)


def remove(api: Any, container: str) -> None:
    import docker.errors  # noqa: PLC0415

    # It removes itself when it ends, so it may be gone, or be going.
    with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
        api.remove_container(container, force=True, v=True)


def _run(
    api: Any,
    container: str,
    wanted: Installation,
    interruption: programs.Interruption,
    progress: Callable[[str], None],
) -> None:
    made = api.exec_create(
        container, list(wanted.command), user="0:0", environment=dict(wanted.environment), workdir=PLACE
    )["Id"]
    tail: list[str] = []
    output = api.exec_start(made, stream=True)
    for line in _lines(follow.items(output, interruption, lambda: remove(api, container))):
        tail = [*tail[1 - TAIL :], line]
        progress(line)
    code = api.exec_inspect(made)["ExitCode"]
    if code != 0:
        said = "".join(f"\n    {line}" for line in tail)
        name = Path(wanted.command[0]).name
        raise InstallationFailed(f"{name} exited {code}; its last lines:{said}", hint=_remedy(tail))


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        yield from filter(None, (line.decode(errors="replace").rstrip() for line in whole))
    if rest.strip():
        yield rest.decode(errors="replace").rstrip()


def _remedy(tail: list[str]) -> str:
    if any("No space left on device" in line for line in tail):
        return "Free some space where the engine keeps its data: `docker system df`, `docker system prune`."
    return (
        "Check that containers reach the package mirrors (apt's sources, pip's index settings), "
        "then run this again: what was downloaded is kept."
    )


def archive(files: Mapping[str, Path | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as packed:
        for place, source in sorted(files.items()):
            images.add(packed, place, source)
    return buffer.getvalue()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
