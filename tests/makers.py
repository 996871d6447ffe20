"""Whose is what tests leave when they are killed: the next ones find it by this name of a process, and take it away."""

from __future__ import annotations

import os

from airflow_platform.runtimes.process.supervisor import linux


def this() -> str:
    """The name of this process: no later one with the same id has it."""
    return _named(os.getpid())


def lives(name: str) -> bool:
    """Whether the process of that name is still there."""
    pid, _, _ = name.partition("-")
    return pid.isdecimal() and _named(int(pid)) == name


def _named(pid: int) -> str:
    found = linux.process(pid)
    return f"{pid}-{found.started}" if found else ""
