"""What is installed in a container and kept as an image, without a trace of how it got there.

A Dockerfile cannot be given a secret: the classic builder, which is what the docker library speaks, writes
arguments into the history and copies files into layers. A program that is run in a container has an
environment that no layer gets, and volumes that are no part of the image.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools.containers import archives, engine, follow, output_lines

PLACE = "/mnt"
"""Where the files of an installation are; a directory that every Debian has."""

CACHE = "/srv"
"""Where the cache of packages is; a directory that every Debian has."""

_PASSING = (PLACE, "/tmp", "/var/cache/apt", "/var/lib/apt/lists")  # noqa: S108 - in a container of ours.
"""What an installation writes there is no part of the image."""

LIFETIME = 3600
"""Seconds after which a container whose build was killed ends by itself, and the engine removes it."""

TIMEOUT = 3000.0
"""Seconds for one command, less than its container lives: from nothing and over a slow line it takes some minutes."""


@dataclass(frozen=True)
class Installation:
    """What is run where."""

    image: str
    """The parent's id."""
    command: tuple[str, ...]
    files: archives.Files
    """By their path below `PLACE`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the command alone: may hold secrets."""
    cache: str = ""
    """The volume at `CACHE`, which outlives the installation; "" for none."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the container, and of the image."""
    comment: str = ""
    """For the image's history."""
    network: str = ""
    """Through which mirrors are reached; "" for one of its own, which goes with the container: the engine's default
    can be switched off, and whoever else is in it could be reached."""
    before: tuple[str, ...] = ()
    """A command that is run before, in a container of its own with the same files, environment and cache, and of
    which nothing is kept but what it leaves in the cache."""
    timeout: float = TIMEOUT
    """Seconds for each of the two."""


class InstallationFailed(errors.StepError):
    """The command ended with a code other than 0, or not in time; carries its last lines."""


def install(
    api: Any,
    wanted: Installation,
    *,
    interruption: programs.Interruption,
    progress: Callable[[str], None],
) -> str:
    """Run a command as root in a container of an image, and keep what it changed; the id, without a name.

    Args:
        api: The engine's API, of the docker library.
        wanted: What is run where.
        interruption: What ends it.
        progress: Called with each line that it prints.

    Raises:
        InstallationFailed: The command said no, or did not end in time.
        EngineError: The engine did.
        Interrupted: A signal came; nothing is kept.
    """

    def run(container: str, command: tuple[str, ...]) -> None:
        name = Path(command[0]).name
        with contextlib.ExitStack() as stack:
            with engine.translated(name):
                made = api.exec_create(
                    container, list(command), user="0:0", environment=dict(wanted.environment), workdir=PLACE
                )["Id"]
                channel = stack.enter_context(follow.closing(api.exec_start(made, socket=True)))
            frames = engine.streamed(name, follow.frames(channel))
            output = follow.items(
                frames, interruption, lambda: remove(api, container), timeout=wanted.timeout
            )
            said = output_lines.Printed(progress)
            try:
                said.follow(data for _, data in output)
            except follow.Late:
                raise _failed(name, f"did not end within {wanted.timeout:g} s", said.last) from None
        with engine.translated(name):
            code = api.exec_inspect(made)["ExitCode"]
        if code != 0:
            raise _failed(name, f"exited {code}", said.last)

    if wanted.before:
        with _container(api, wanted) as container:
            run(container, wanted.before)
    with _container(api, wanted) as container:
        run(container, wanted.command)
        progress("keeping what was installed")
        labels = (f"LABEL {key}={quoted(text)}" for key, text in wanted.labels.items())
        changes = ["CMD []", "ENTRYPOINT []", *labels]
        with engine.translated("keeping what was installed"):
            return str(api.commit(container, message=wanted.comment, changes=changes)["Id"])


def remove(api: Any, container: str) -> None:
    """Stop a container at once and remove it; one that is gone, or just going, is no error."""
    try:
        with engine.translated(f"container {container}"):
            api.remove_container(container, force=True, v=True)
    except engine.EngineError as error:
        if error.status is None:
            raise


@contextlib.contextmanager
def _container(api: Any, wanted: Installation) -> Iterator[str]:
    mounts = [{"Type": "volume", "Target": path} for path in _PASSING]
    if wanted.cache:
        mounts.append({"Type": "volume", "Target": CACHE, "Source": wanted.cache})
    with _network(api, wanted) as network:
        with engine.translated("container of the installation"):
            made = api.create_container(
                wanted.image,
                ["sleep", str(LIFETIME)],
                entrypoint=[],
                user="0:0",
                labels=dict(wanted.labels),
                use_config_proxy=False,  # The image would keep its password.
                # A volume among the container's own settings would be one of the image's, too.
                host_config=api.create_host_config(mounts=mounts, auto_remove=True, network_mode=network),
            )["Id"]
        try:
            with engine.translated("container of the installation"):
                api.start(made)
                with archives.packed(wanted.files) as files:
                    api.put_archive(made, PLACE, files)
            yield made
        finally:
            with contextlib.suppress(Exception):  # An engine that went away: the next build removes it.
                remove(api, made)


@contextlib.contextmanager
def _network(api: Any, wanted: Installation) -> Iterator[str]:
    if wanted.network:
        yield wanted.network
        return
    name = f"airflow-platform-build-{uuid.uuid4().hex[:12]}"
    with engine.translated(f"network {name}"):
        made = api.create_network(name, driver="bridge", labels=dict(wanted.labels))["Id"]
    try:
        yield name
    finally:
        with contextlib.suppress(Exception):  # As above.
            _remove_network(api, made)


def _remove_network(api: Any, network: str) -> None:
    """Remove a network, whose container the engine may still be removing."""
    import docker.errors  # noqa: PLC0415

    for _ in range(20):
        try:
            api.remove_network(network)
        except docker.errors.APIError:
            time.sleep(0.1)
        else:
            return


def _failed(name: str, how: str, tail: Sequence[str]) -> InstallationFailed:
    full = any("no space left on device" in line.lower() for line in tail)
    hint = (
        "Check that containers reach the package mirrors (apt's sources, pip's index settings), "
        "then run this again: what was downloaded is kept."
    )
    message = f"{name} {how}; its last lines:{output_lines.indented(tail)}"
    return InstallationFailed(message, hint=engine.FREE_SPACE if full else hint)


def quoted(text: str) -> str:
    """A text as a Dockerfile has it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
