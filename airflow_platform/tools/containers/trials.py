"""Running a program in a container of an image to its end, and what it says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_platform import programs
from airflow_platform.tools.containers import engine, follow, installs

if TYPE_CHECKING:
    import docker


def run(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: Mapping[str, Path | bytes],
    *,
    labels: Mapping[str, str],
    interruption: programs.Interruption,
    progress: Callable[[str], None],
) -> str:
    """What a program prints in a container of an image, without a network and as the image's own user.

    Args:
        client: The engine.
        image: Its id.
        command: The program and its arguments.
        files: By their path below `installs.PLACE`.
        labels: Of the container.
        interruption: What ends it.
        progress: Called with each line of its standard error.

    Raises:
        InstallationFailed: It ended with a code other than 0; carries its last lines.
        Interrupted: A signal came.
    """
    api: Any = client.api
    with engine.translated("container of the trial"):
        made = api.create_container(
            image,
            list(command),
            labels=dict(labels),
            host_config=api.create_host_config(
                network_mode="none", mounts=[{"Type": "volume", "Target": installs.PLACE}]
            ),
        )["Id"]
    try:
        with engine.translated("container of the trial"):
            api.put_archive(made, installs.PLACE, installs.archive(files))
            output = api.attach(made, stream=True, logs=True, demux=True)
            api.start(made)
        return _followed(api, made, output, interruption, progress)
    finally:
        with contextlib.suppress(Exception):
            installs.remove(api, made)


def _followed(
    api: Any, container: str, output: Any, interruption: programs.Interruption, progress: Callable[[str], None]
) -> str:
    said: list[bytes] = []
    tail: list[str] = []
    with engine.translated("container of the trial"):
        for out, err in follow.items(output, interruption, lambda: installs.remove(api, container)):
            said.append(out or b"")
            for line in (err or b"").decode(errors="replace").splitlines():
                tail = [*tail[1 - installs.TAIL :], line]
                progress(line)
        code = int(api.wait(container, timeout=60)["StatusCode"])
    if code != 0:
        lines = "".join(f"\n    {line}" for line in tail)
        raise installs.InstallationFailed(f"The image was not accepted; what it was tried with says:{lines}")
    return b"".join(said).decode()
