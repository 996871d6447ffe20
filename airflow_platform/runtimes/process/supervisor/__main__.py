"""`python -m airflow_platform.runtimes.process.supervisor RUN_DIRECTORY`: supervise what its supervisor.json says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from airflow_platform.runtimes.process.supervisor import guardian, lock, log
from airflow_platform.runtimes.process.supervisor.loop import SIGNALS, Supervisor
from airflow_platform.runtimes.process.supervisor.signals import Signals
from airflow_platform.runtimes.process.supervisor.spec import (
    ALREADY_RUNNING,
    SPEC_FILE,
    UNUSABLE,
    Spec,
    SpecError,
)


def main(arguments: list[str]) -> int:
    """Supervise until told to stop; returns the exit code: 0, `ALREADY_RUNNING` or `UNUSABLE`."""
    if len(arguments) != 1:
        log.say("usage: python -m airflow_platform.runtimes.process.supervisor RUN_DIRECTORY")
        return 2
    directory = Path(arguments[0]).resolve()
    os.umask(0o077)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # What a careless starter left open is not ours to hold.
    os.chdir("/")
    try:
        held = lock.take(directory)
        if held is None:
            log.say(f"{directory} has a supervisor already")
            return ALREADY_RUNNING
        spec = Spec.from_text((directory / SPEC_FILE).read_text())
        guardian.guard()
        signals = Signals(SIGNALS)
        lock.sign(held)
        Supervisor(directory, spec).run(signals)
    except (OSError, SpecError, UnicodeDecodeError) as error:
        log.say(f"{directory} cannot be supervised: {error}")
        return UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
