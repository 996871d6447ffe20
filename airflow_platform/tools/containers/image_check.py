"""Running a program in a container of an image to its end, and what it says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools.containers import archives, engine, follow, installs, output_lines

TIMEOUT = 900.0
"""Seconds for a program: importing all of Airflow's providers takes half a minute, without compiled files some more."""

_THING = "container of the trial"


@dataclass(frozen=True)
class Trial:
    """What is run where: without a network, as the image's own user."""

    image: str
    """Its id."""
    command: tuple[str, ...]
    files: archives.Files
    """By their path below `installs.PLACE`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the container."""
    timeout: float = TIMEOUT
    """Seconds until it must have ended."""


class NotAccepted(errors.StepError):
    """The program said no, or did not end in time: the image must not be used."""


def run(
    api: Any, trial: Trial, *, interruption: programs.Interruption, progress: Callable[[str], None]
) -> str:
    """What the program prints on its standard output.

    Args:
        api: The engine's API, of the docker library.
        trial: What is run where.
        interruption: What ends it.
        progress: Called with each line of its standard error.

    Raises:
        NotAccepted: It ended with a code other than 0, or not in time; carries its last lines.
        EngineError: The engine said no.
        Interrupted: A signal came.
    """
    mounts = [{"Type": "volume", "Target": installs.PLACE}]
    with engine.translated(_THING):
        made = api.create_container(
            trial.image,
            list(trial.command),
            labels=dict(trial.labels),
            use_config_proxy=False,
            host_config=api.create_host_config(network_mode="none", mounts=mounts),
        )["Id"]
    try:
        with contextlib.ExitStack() as stack:
            with engine.translated(_THING):
                with archives.packed(trial.files) as files:
                    api.put_archive(made, installs.PLACE, files)
                asked = {"stdout": 1, "stderr": 1, "stream": 1, "logs": 1}
                channel = stack.enter_context(follow.closing(api.attach_socket(made, asked)))
                api.start(made)
            frames = engine.streamed(_THING, follow.frames(channel))
            output = follow.items(
                frames, interruption, lambda: installs.remove(api, made), timeout=trial.timeout
            )
            said = output_lines.Printed(progress)
            try:
                return _followed(api, made, output, said)
            except follow.Late:
                raise NotAccepted(
                    f"The image was not accepted: what it was tried with did not end within {trial.timeout:g} s; its last "
                    f"lines:{output_lines.indented(said.last)}",
                    hint="A module waits while it is imported, perhaps for a network, which a trial has not. Take back what "
                    "was last added or raised in images/airflow, then run `scripts/nox -s lock`.",
                ) from None
    finally:
        with contextlib.suppress(Exception):  # An engine that went away: the next build removes it.
            installs.remove(api, made)


def _followed(
    api: Any, container: str, output: Iterator[tuple[bool, bytes]], said: output_lines.Printed
) -> str:
    answer: list[bytes] = []

    def told() -> Iterator[bytes]:
        for is_error, data in output:
            if is_error:
                yield data
            else:
                answer.append(data)

    said.follow(told())
    with engine.translated(_THING):
        code = int(api.wait(container, timeout=60)["StatusCode"])
    if code != 0:
        raise NotAccepted(
            f"The image was not accepted: what it was tried with exited {code}; its last lines:"
            f"{output_lines.indented(said.last)}",
            hint="The lock does not hold together; pin what the lines name, then run `scripts/nox -s lock`.",
        )
    return b"".join(answer).decode()
