"""The way to a Docker engine, and its errors in our words."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_platform import errors

if TYPE_CHECKING:
    import docker

TIMEOUT = 60
"""Seconds for one answer of the engine; on a busy machine it takes some for a container to stop."""

LOCAL = "unix:///var/run/docker.sock"
"""Where an engine listens when nothing else is said."""

DESKTOP = ".docker/run/docker.sock"
"""Below a user's home: where Docker Desktop listens, which makes the other one only when asked to."""

FREE_SPACE = "Free some space where the engine keeps its data: `docker system df`, `docker system prune`."
"""The remedy for an engine whose disk is full."""


class EngineMissing(errors.PreflightError):
    """No engine answers."""


class EngineError(errors.StepError):
    """The engine said no."""

    def __init__(self, message: str, *, status: int | None, hint: str = "") -> None:
        """Make the error.

        Args:
            message: What it said, and about what.
            status: Its HTTP status: 404 for what is not there, 409 for a name that is taken.
            hint: The remedy.
        """
        super().__init__(message, hint=hint)
        self.status = status


def address(host: str | None) -> str:
    """Where the engine is: as an environment's file says, else DOCKER_HOST, else on this machine."""
    return host or os.environ.get("DOCKER_HOST") or _local()


def _local() -> str:
    desktop = Path.home() / DESKTOP
    if not Path(LOCAL.removeprefix("unix://")).exists() and desktop.exists():
        return f"unix://{desktop}"
    return LOCAL


@contextlib.contextmanager
def connected(host: str | None, *, timeout: int = TIMEOUT) -> Iterator[docker.DockerClient]:
    """A client whose engine answered, closed at the end.

    Args:
        host: As DOCKER_HOST has it; None for DOCKER_HOST itself, or this machine's.
        timeout: Seconds for one answer.

    Raises:
        EngineMissing: No engine answers there.
        EngineError: It answered that something is wrong.
    """
    _knock(host)
    import docker.errors  # noqa: PLC0415

    with translated(f"engine {address(host)}"):
        try:
            client = _client(address(host), timeout)
        except docker.errors.DockerException as error:
            raise _missing(host, error) from error
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def translated(thing: str) -> Iterator[None]:
    """Errors of the library as ours; `thing` is what was asked of the engine, or whom.

    Raises:
        EngineMissing: The connection broke: it was stopped.
        EngineError: It said no.
    """
    import docker.errors  # noqa: PLC0415
    import requests  # noqa: PLC0415
    import urllib3.exceptions  # noqa: PLC0415

    try:
        yield
    except docker.errors.APIError as error:
        status = error.response.status_code if error.response is not None else None
        said = str(error.explanation or error).rstrip(".")
        raise EngineError(f"{thing}: {said}.", status=status, hint=_remedy(said)) from error
    except requests.exceptions.Timeout as error:
        message = f"{thing}: the Docker engine did not answer in time."
        raise EngineError(message, status=None, hint="Look at its log, or restart it.") from error
    # A stream is read past the library's own translation, and a connection that it took over past that, too.
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
        fault = errors.Fault(thing, "The Docker engine went away.", "Start it again, then rerun.")
        raise EngineMissing("The Docker engine went away.", [fault]) from error
    except docker.errors.DockerException as error:
        raise EngineError(f"{thing}: {error}.", status=None) from error


def said_no(thing: str, said: str) -> EngineError:
    """The error for what the engine said in the middle of an answer that began well."""
    return EngineError(f"{thing}: {said.strip().rstrip('.')}.", status=None, hint=_remedy(said))


def fault(host: str | None) -> errors.Fault | None:
    """What keeps an engine from answering; None when one does."""
    try:
        with connected(host, timeout=10):
            return None
    except EngineMissing as error:
        return error.faults()[0]
    except EngineError as error:
        return errors.Fault("Docker engine", error.message, error.hint)


def _knock(host: str | None) -> None:
    """Refuse early where nobody listens: the library takes longer for that, and leaves a socket open."""
    kind, _, path = address(host).partition("://")
    if kind != "unix":
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as channel:
        try:
            channel.connect(path)
        except OSError as error:
            raise _missing(host, error) from error


def _client(where: str, timeout: int) -> docker.DockerClient:
    import docker  # noqa: PLC0415
    from docker import tls  # noqa: PLC0415

    settings = tls.TLSConfig(verify=True) if where.startswith("tcp://") and _wants_tls() else False
    client = docker.DockerClient(base_url=where, timeout=timeout, tls=settings)
    try:
        client.ping()
    except BaseException:
        client.close()
        raise
    return client


def _wants_tls() -> bool:
    return bool(os.environ.get("DOCKER_TLS_VERIFY"))


def _missing(host: str | None, error: Exception) -> EngineMissing:
    where = address(host)
    denied = "permission denied" in str(error).lower()
    cause = f"None answers at {where}." if not denied else f"You may not use the one at {where}."
    remedy = (
        "Become a member of the group `docker`, or use sudo."
        if denied
        else "Start Docker Desktop; on Linux install docker.io (or docker-ce) and run "
        "`sudo systemctl start docker`, or `sudo dockerd` where there is no systemd."
    )
    return EngineMissing("No Docker engine answers.", [errors.Fault("Docker engine", cause, remedy)])


def _remedy(said: str) -> str:
    if "no space left on device" in said:
        return FREE_SPACE
    if "port is already allocated" in said or "address already in use" in said:
        return "Stop the program that has the port."
    return ""


def images(host: str | None, ids: Sequence[str]) -> frozenset[str]:
    """Which of these images an engine has, by id."""
    with connected(host) as client, translated("images"):
        return frozenset(ids) & {each["Id"] for each in client.api.images(all=True)}


def architecture(host: str | None) -> str:
    """What the engine runs without emulation: `amd64`, `arm64`."""
    with connected(host) as client, translated("version"):
        return str(client.api.version()["Arch"])
