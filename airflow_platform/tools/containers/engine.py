"""The way to a Docker engine, and its errors in our words."""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.parse
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_platform import errors

if TYPE_CHECKING:
    import docker

ItemT = TypeVar("ItemT")

TIMEOUT = 60
"""Seconds for one answer of the engine; on a busy machine it takes some for a container to stop."""

LOCAL = "unix:///var/run/docker.sock"
"""Where an engine listens when nothing else is said."""

ROOTLESS = "docker.sock"
"""Below XDG_RUNTIME_DIR: where a user's own engine listens, one that root does not run."""

DESKTOP = ".docker/run/docker.sock"
"""Below a user's home: where Docker Desktop listens, which makes the first one only when asked to."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine."""

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
    """Where the engine is: as an environment's file says, else as Docker's own programs find it.

    Raises:
        EngineMissing: Docker's current context is not there, or says nothing of an engine.
    """
    return host or os.environ.get("DOCKER_HOST") or _of_context() or _local()


def elsewhere(host: str | None) -> errors.Fault | None:
    """What is wrong with an engine of another machine where containers are to be used from here.

    It could neither mount a directory of this machine nor publish on this machine's 127.0.0.1.
    """
    where = urllib.parse.urlsplit(address(host))
    if where.scheme not in ("tcp", "ssh", "http", "https") or where.hostname in LOOPBACK:
        return None
    return errors.Fault(
        "Docker engine",
        f"That at {where.geturl()} is on another machine, which has neither this one's files nor its 127.0.0.1.",
        "Use an engine of this machine: unset DOCKER_HOST, or `docker context use default`, or fix docker.host in "
        "the environment's file; or run this there.",
    )


def require_here(host: str | None) -> None:
    """Refuse an engine of another machine.

    Raises:
        PreflightError: It is on one.
    """
    if fault := elsewhere(host):
        raise errors.PreflightError("The Docker engine is not on this machine.", [fault])


def _of_context() -> str:
    """Where the current context of Docker's own programs has its engine; "" for their default."""
    from docker.context import ContextAPI, config  # noqa: PLC0415

    name = os.environ.get("DOCKER_CONTEXT") or config.get_current_context_name() or "default"
    if name == "default":
        return ""
    try:
        found = ContextAPI.get_context(name).Host
    except Exception:  # noqa: BLE001 - the library raises no class of its own for what is missing or damaged.
        found = None
    if not found:
        cause = f"Docker's current context {name} is not there, or names no engine."
        remedy = "Choose another (`docker context ls`, `docker context use default`), or set DOCKER_HOST."
        fault = errors.Fault("Docker engine", cause, remedy)
        raise EngineMissing("No Docker engine answers.", [fault])
    return str(found).removeprefix("http+")


def _local() -> str:
    root = Path(LOCAL.removeprefix("unix://"))
    own = os.environ.get("XDG_RUNTIME_DIR")
    others = (*([Path(own) / ROOTLESS] if own else []), Path.home() / DESKTOP)
    return f"unix://{next((each for each in (root, *others) if each.exists()), root)}"


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
    # Errors of whoever has the client are not the engine's: each question to it is translated where it is asked.
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


def streamed(thing: str, stream: Iterable[ItemT]) -> Generator[ItemT]:
    """A stream whose errors are translated; those of whoever takes its items are not: output may have no reader."""
    with translated(thing):
        yield from stream


def failure(event: Mapping[str, Any]) -> str:
    """What went wrong, as an event in the middle of an answer says; "" for nothing.

    Newer engines say it in `errorDetail` (API 1.48 deprecates `error`).
    """
    detail = event.get("errorDetail") or {}
    return str(detail.get("message") or event.get("error") or "")


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
    from docker import utils  # noqa: PLC0415

    # DOCKER_TLS_VERIFY and DOCKER_CERT_PATH are of no use to a socket.
    certificates: Any = utils.kwargs_from_env() if where.startswith("tcp://") else {}
    tls = certificates.get("tls", False)
    client = docker.DockerClient(base_url=where, timeout=timeout, tls=tls)
    try:
        client.ping()
    except BaseException:
        client.close()
        raise
    return client


def _missing(host: str | None, error: Exception) -> EngineMissing:
    where = address(host)
    denied = "permission denied" in str(error).lower()
    cause = f"None answers at {where}." if not denied else f"You may not use the one at {where}."
    if "SSL" in str(error) or "TLS" in str(error) or "ertificate" in str(error):
        cause = f"The one at {where} cannot be talked to: {error}"
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
    if "non-overlapping IPv4 address pool" in said:
        return (
            "Remove networks that nobody uses (`docker network prune`), or give the engine more addresses: "
            "`default-address-pools` in its daemon.json."
        )
    if "no such image" in said.lower():
        return "It was removed meanwhile. Run this again: what is missing is looked for first, and how it is had."
    return ""


def images(host: str | None, ids: Sequence[str]) -> frozenset[str]:
    """Which of these images an engine has, by id."""
    with connected(host) as client, translated("images"):
        return frozenset(ids) & {each["Id"] for each in client.api.images(all=True)}


def cores(client: docker.DockerClient) -> int:
    """How many the engine has; it makes no container that is to have more."""
    with translated("cores"):
        return int(client.api.info()["NCPU"])


def identity(client: docker.DockerClient) -> str:
    """The id that the engine made for itself and keeps."""
    with translated("id"):
        return str(client.api.info()["ID"])


def architecture(host: str | None) -> str:
    """What the engine runs without emulation: `amd64`, `arm64`."""
    with connected(host) as client, translated("version"):
        return str(client.api.version()["Arch"])
