"""The supervisor's own log: its standard error, which the toolkit connects to `runtimes.process.supervisor.log`."""

from __future__ import annotations

import contextlib
import os
import time


def say(text: str) -> None:
    """One line with the time in UTC; a disk that is full loses the line and nothing else."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        os.write(2, f"{stamp} {text}\n".encode())
