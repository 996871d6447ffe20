"""Containers of an engine: found by label, made and started, asked, stopped and removed.

A container is made, given its files, and only then started; one that a killed run left without being
started is no running container, and is replaced. Names are taken by one container each, whoever made it.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import math
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools.containers import engine, follow, output_lines
from airflow_platform.tools.containers.spec import Container, File, FoundContainer

if TYPE_CHECKING:
    import docker

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ended:
    """How a program in a container ended."""

    code: int
    tail: tuple[str, ...]
    """Its last lines."""


class Containers:
    """The containers of one engine."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._api: Any = client.api

    def found(self, labels: Mapping[str, str]) -> tuple[FoundContainer, ...]:
        """All containers with these labels, by name; those that run and those that do not."""
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]}
        with engine.translated("containers"):
            listed = self._api.containers(all=True, filters=filters)
            known = (self._described(each["Id"]) for each in listed)
            return tuple(sorted((each for each in known if each), key=lambda each: each.name))

    def named(self, name: str) -> FoundContainer | None:
        """The container of that name; None when there is none."""
        with engine.translated(f"container {name}"):
            return self._described(name)

    def start(self, spec: Container) -> None:
        """Make a container and start it.

        Raises:
            EngineError: Status 409: the name is taken; 404: the image is not there.
        """
        with engine.translated(f"container {spec.name}"):
            made = self._api.create_container(**self._arguments(spec))["Id"]
            try:
                self._put(made, spec)
                self._api.start(made)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._api.remove_container(made, force=True, v=True)
                raise

    def remove(self, name: str, *, timeout: int | None = None) -> None:
        """Stop a container and remove it; nothing happens when it is not there.

        Args:
            name: Its name.
            timeout: Seconds from its stop signal to SIGKILL; by default what it was made with.
        """
        with _gone_is_well(), engine.translated(f"container {name}"):
            self._api.stop(name, timeout=timeout)
        with _gone_is_well(), engine.translated(f"container {name}"):
            self._api.remove_container(name, force=True, v=True)

    def run(
        self,
        spec: Container,
        *,
        timeout: float,
        interruption: programs.Interruption,
        progress: Callable[[str], None],
    ) -> Ended:
        """Run a container to its end, and remove it, however this ends.

        Args:
            spec: What to run; a container of that name that a killed run left is removed first.
            timeout: Seconds.
            interruption: What ends it.
            progress: Called with its lines.

        Raises:
            EngineError: It did not end in time.
            Interrupted: A signal came.
        """
        self.remove(spec.name, timeout=0)
        self.start(spec)
        thing, said = f"container {spec.name}", output_lines.Printed(progress)
        chunks = engine.streamed(thing, self._chunks(spec.name))
        try:
            with _in_time(spec.name, timeout):
                said.follow(
                    follow.items(
                        chunks, interruption, lambda: self.remove(spec.name, timeout=0), timeout=timeout
                    )
                )
            with engine.translated(thing):
                code = self._api.wait(spec.name)["StatusCode"]
        finally:
            self.remove(spec.name, timeout=0)
        return Ended(int(code), said.last)

    def execute(
        self,
        name: str,
        command: Iterable[str],
        *,
        on_output: Callable[[bool, bytes], None],
        interruption: programs.Interruption | None = None,
        timeout: float = math.inf,
    ) -> int:
        """Run a program in a running container; its exit code. The engine has no way to end one.

        Args:
            name: The container.
            command: The program and its arguments.
            on_output: Called with whether it is standard error, and what was printed.
            interruption: What ends the waiting for it.
            timeout: Seconds to wait for it.

        Raises:
            EngineError: It did not end in time.
            Interrupted: A signal came.
        """
        interruption = interruption or programs.Interruption()
        thing = f"container {name}"
        with contextlib.ExitStack() as stack:
            with engine.translated(thing):
                made = self._api.exec_create(name, list(command))["Id"]
                channel = stack.enter_context(follow.closing(self._api.exec_start(made, socket=True)))
            frames = engine.streamed(thing, follow.frames(channel))
            with _in_time(name, timeout):
                for is_error, data in follow.items(
                    frames, interruption, lambda: follow.cut(channel), timeout=timeout
                ):
                    on_output(is_error, data)
        with engine.translated(thing):
            return int(self._api.exec_inspect(made)["ExitCode"])

    def lines(self, name: str, *, last: int | None = None, since: float = 0.0) -> Iterator[tuple[float, str]]:
        """What a container printed, with the time of each line; nothing when it is not there.

        Args:
            name: The container.
            last: Only the last lines, so many.
            since: Only what was printed after this time, in Unix seconds.
        """
        asked: dict[str, Any] = {"tail": "all" if last is None else last}
        if since:
            asked["since"] = since
        with _gone_is_well(), engine.translated(f"log of {name}"):
            said: bytes = self._api.logs(name, timestamps=True, **asked)
            for line in said.decode(errors="replace").splitlines():
                stamp, _, text = line.partition(" ")
                if (when := _seconds(stamp)) > since:
                    yield when, text

    def _chunks(self, name: str) -> Iterator[bytes]:
        """What a container prints, until it ends."""
        with contextlib.closing(self._api.logs(name, stream=True, follow=True)) as chunks:
            yield from chunks

    def _arguments(self, spec: Container) -> dict[str, Any]:
        api = self._api
        mounts = [
            *(
                {"Type": "bind", "Target": to, "Source": of, "ReadOnly": True}
                for to, of in spec.binds.items()
            ),
            *({"Type": "volume", "Target": to, "Source": of} for to, of in spec.volumes.items()),
        ]
        host = api.create_host_config(
            mounts=mounts,
            port_bindings={port: (LOOPBACK, at or None) for port, at in spec.ports.items()},
            mem_limit=spec.memory or None,
            memswap_limit=spec.memory or None,
            nano_cpus=nano_cpus(self._client, spec),
            shm_size=spec.shared_memory,
            restart_policy={"Name": "unless-stopped" if spec.restarts else "no"},
            network_mode=spec.network or "none",
            # What a tenant's code runs must not get more rights than it was started with.
            security_opt=["no-new-privileges"],
            cap_drop=["ALL"],
            log_config=api_log_config(),
        )
        endpoint = api.create_endpoint_config(aliases=[spec.hostname] if spec.hostname else None)
        return {
            "image": spec.image,
            "command": list(spec.command) or None,
            "name": spec.name,
            "hostname": spec.hostname or None,
            "environment": dict(spec.environment),
            "ports": list(spec.ports),
            "labels": spec.marks(),
            "stop_timeout": spec.stop_timeout,
            # By default the library adds proxies of Docker's own settings, with their passwords.
            "use_config_proxy": False,
            "host_config": host,
            "networking_config": api.create_networking_config({spec.network: endpoint})
            if spec.network
            else None,
        }

    def _put(self, container: str, spec: Container) -> None:
        if spec.files and not self._api.put_archive(container, "/", archive(spec.files, spec.owner)):
            raise errors.StepError(
                f"container {spec.name}: its files were not taken.",
                hint="Run this again; if they are not taken again, the engine's log says why.",
            )

    def _described(self, name: str) -> FoundContainer | None:
        import docker.errors  # noqa: PLC0415

        try:
            return _found(self._api.inspect_container(name))
        except docker.errors.NotFound:
            return None


def nano_cpus(client: docker.DockerClient, spec: Container) -> int | None:
    """The limit as the engine has it; more cores than it has are all of them."""
    cpus = min(spec.cpus, engine.cores(client)) if spec.cpus > 1 else spec.cpus
    return round(cpus * 1e9) or None


def api_log_config() -> Any:
    """Logs that cannot fill the disk: at most 3 files of 10 MB a container."""
    from docker import types  # noqa: PLC0415

    return types.LogConfig(type=types.LogConfig.types.JSON, config={"max-size": "10m", "max-file": "3"})


def late(name: str, timeout: float) -> engine.EngineError:
    """The error for a program that did not end."""
    return engine.EngineError(
        f"container {name}: its program did not end within {timeout:g} s.",
        status=None,
        hint="Run this again on a machine that is less busy; if it is late again, what it waits for may be down.",
    )


@contextlib.contextmanager
def _in_time(name: str, timeout: float) -> Iterator[None]:
    try:
        yield
    except follow.Late:
        raise late(name, timeout) from None


@contextlib.contextmanager
def _gone_is_well() -> Iterator[None]:
    try:
        yield
    except engine.EngineError as error:
        if error.status != 404:
            raise


def archive(files: Mapping[str, File], owner: int) -> bytes:
    """The files and the directories that are theirs alone, as tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory in sorted({str(PurePosixPath(path).parent) for path in files}):
            entry = tarfile.TarInfo(directory.lstrip("/"))
            entry.type, entry.mode, entry.uid = tarfile.DIRTYPE, 0o700, owner
            archive.addfile(entry)
        for path, file in sorted(files.items()):
            content = file.content.reveal().encode()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.uid = len(content), file.mode, owner
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _found(described: Mapping[str, Any]) -> FoundContainer:
    state, settings = described["State"], described["NetworkSettings"]
    published = {
        int(port.partition("/")[0]): int(at[0]["HostPort"])
        for port, at in (settings["Ports"] or {}).items()
        if at
    }
    return FoundContainer(
        name=described["Name"].lstrip("/"),
        id=described["Id"],
        image=described["Image"],
        state=state["Status"],
        restarts=int(described["RestartCount"]),
        last_exit=_last_exit(state),
        started_at=_seconds(state["StartedAt"]),
        labels=described["Config"]["Labels"] or {},
        networks=tuple(sorted(settings["Networks"])),
        ports=published,
    )


def _last_exit(state: Mapping[str, Any]) -> str:
    if _seconds(state["FinishedAt"]) <= 0:
        return ""
    if state["OOMKilled"]:
        return "was killed: it needed more memory than its limit"
    return f"exited {state['ExitCode']}" + (f" ({state['Error']})" if state["Error"] else "")


def _seconds(stamp: str) -> float:
    """Unix seconds of an RFC 3339 time with up to nanoseconds; 0 for the engine's "never"."""
    text = stamp.rstrip("Z")
    whole, _, fraction = text.partition(".")
    try:
        when = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return 0.0
    return max(0.0, when + float(f"0.{fraction or 0}"))
