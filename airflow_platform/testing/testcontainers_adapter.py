"""Our specs of containers, started by testcontainers: the same as the `docker` runtime starts, for a test's time.

What differs is what a test wants otherwise: nothing is restarted, so that a component that ends is noticed;
and directories of this machine are copied instead of mounted, so that no engine needs to see its disks.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.transferable import Transferable
from testcontainers.core.wait_strategies import WaitStrategy
from testcontainers.core.waiting_utils import WaitStrategyTarget

from airflow_platform import errors
from airflow_platform.tools.containers import containers, engine, output_lines
from airflow_platform.tools.containers.spec import Container

SERVICE_TIMEOUT = 90.0
"""Seconds until a database, broker or fakesnow must be well: twenty times what a quiet machine takes."""


@contextlib.contextmanager
def without_ryuk() -> Iterator[None]:
    """Let testcontainers start no container of its own: `leftovers` removes what killed runs leave."""
    before = testcontainers_config.ryuk_disabled
    testcontainers_config.ryuk_disabled = True
    try:
        yield
    finally:
        testcontainers_config.ryuk_disabled = before


class SpecContainer(DockerContainer):
    """A container as a spec says."""

    def __init__(self, spec: Container, ready: WaitStrategy | None = None) -> None:
        """Prepare; nothing is made yet.

        Args:
            spec: What it should be; its network and volumes exist.
            ready: What to wait for when it has started.
        """
        super().__init__(
            spec.image, docker_client_kw=_client(), env=dict(spec.environment), name=spec.name,
            _wait_strategy=ready,
        )  # fmt: skip
        self.image = spec.image  # Without the prefix that testcontainers may put before names of images.
        if spec.command:
            self.with_command(list(spec.command))
        for path, volume in spec.volumes.items():
            self.with_volume_mapping(volume, path, "rw")
        for port, at in spec.ports.items():
            # testcontainers has no word for the address, and would publish on all of them.
            self.ports[f"{port}/tcp"] = (containers.LOOPBACK, at or None)  # type: ignore[assignment]
        self.with_copy_into_container(containers.archive(spec.files, spec.owner), "/")
        for path, directory in spec.binds.items():
            self.with_copy_into_container(_copied(Path(directory), path, spec.owner), "/")
        endpoint = self.get_docker_client().client.api.create_endpoint_config(aliases=[spec.hostname])
        self.with_kwargs(
            network=spec.network,
            networking_config={spec.network: endpoint},
            labels=dict(spec.labels),
            use_config_proxy=False,
            hostname=spec.hostname,
            mem_limit=spec.memory or None,
            memswap_limit=spec.memory or None,
            nano_cpus=containers.nano_cpus(self.get_docker_client().client, spec),
            shm_size=spec.shared_memory,
            security_opt=["no-new-privileges"],
            cap_drop=["ALL"],
            log_config=containers.api_log_config(),
        )

    def start(self) -> SpecContainer:
        """Make it, put its files into it, start it, and wait if there is something to wait for.

        Raises:
            EngineError: The engine said no.
            StepError: It was not well in time.
        """
        with engine.translated(f"container {self._name}"):
            super().start()
        return self

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Remove it, whatever it does, and close the connection."""
        with engine.translated(f"container {self._name}"):
            super().stop(force, delete_volume)

    def close(self) -> None:
        """Close the connection; what runs goes on."""
        self.get_docker_client().client.close()

    def run(self, *, timeout: float) -> int:
        """Start it, and wait until it ends; its exit code."""
        self.start()
        with engine.translated(f"container {self._name}"):
            return int(self.get_wrapped_container().wait(timeout=timeout)["StatusCode"])

    def tail(self) -> str:
        """The last lines that it printed, each on a line of its own."""
        with engine.translated(f"container {self._name}"):
            return _last_lines(self.get_wrapped_container())

    def _transfer_into_container(self, transferable: Transferable, destination: str, mode: int) -> None:
        """Unpack an archive: the library's own copies belong to root, and our images run as others."""
        assert isinstance(transferable, bytes)
        self.get_wrapped_container().put_archive(destination, transferable)


class OwnHealthCheck(WaitStrategy):
    """Waits until the check that is in the image passes, asked at once and often.

    The engine itself asks for the first time after the image's interval, which is up to half a minute.
    """

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        """Wait.

        Raises:
            StepError: It ended, or its check did not pass in time; with its last lines.
        """
        wrapped = container.get_wrapped_container()
        check = wrapped.image.attrs["Config"]["Healthcheck"]["Test"][1:]
        deadline = time.monotonic() + SERVICE_TIMEOUT
        while True:
            wrapped.reload()
            if wrapped.status != "running":
                raise _unwell(wrapped, f"ended ({wrapped.attrs['State']['ExitCode']})")
            if _passes(wrapped, check):
                return
            if time.monotonic() > deadline:
                raise _unwell(wrapped, f"was not well after {SERVICE_TIMEOUT:g} s")
            time.sleep(0.2)


def _passes(wrapped: Any, check: list[str]) -> bool:
    try:
        with engine.translated("health check"):
            return int(wrapped.exec_run(check).exit_code) == 0
    except engine.EngineError:
        return False  # It has just ended; the next look says how.


def _unwell(wrapped: Any, what: str) -> errors.StepError:
    return errors.StepError(f"{wrapped.name} {what}; its last lines:{_last_lines(wrapped)}")


def _last_lines(wrapped: Any) -> str:
    """As an error shows them."""
    return output_lines.indented(output_lines.lines([wrapped.logs(tail=output_lines.TAIL)]))


def _client() -> dict[str, Any]:
    """The engine that the toolkit uses, which testcontainers might look for elsewhere."""
    where = {**os.environ, "DOCKER_HOST": engine.address(None)}
    return {"environment": where, "timeout": engine.TIMEOUT}


def _copied(directory: Path, path: str, owner: int) -> bytes:
    """A directory of this machine, to be unpacked at a path and belong to a user."""

    def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid, entry.gid, entry.uname, entry.gname = owner, 0, "", ""
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(directory, str(PurePosixPath(path).relative_to("/")), filter=owned)
    return buffer.getvalue()
