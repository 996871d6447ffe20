"""What the wiring of every run has in common."""

from __future__ import annotations

import os
import sys

from airflow_platform import programs
from airflow_platform.engine.report import OneAtATime
from airflow_platform.reporting import choosing as reporters

DOOR = "scripts/inv"
"""How commands are shown to people: the door works on every machine, and stock `inv` is shorter."""


def reporter(*, json: bool) -> OneAtATime:
    """What tells of a run while it goes on, on standard error.

    Args:
        json: Whether standard output will get a document.
    """
    return OneAtATime(reporters.choose(sys.stderr, os.environ, json=json))


def runner(what: str) -> programs.Programs:
    """What starts the programs of a run; they are marked with what it is about, and this process."""
    return programs.Programs(marker={"AIRFLOW_PLATFORM_RUN": f"{what}-{os.getpid()}"})
