"""Signals: the first asks the run to end, the second shortens its patience."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from airflow_platform.programs import programs

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a user, a CI runner and a closed terminal send."""


@contextlib.contextmanager
def handled(interruption: programs.Interruption) -> Iterator[None]:
    """While inside, signals are requests to `interruption`; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in HANDLED}
    for number in HANDLED:
        # nohup asked for SIGHUP to be ignored, a shell's background jobs ignore SIGINT.
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda received, frame: interruption.request(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            # None stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
