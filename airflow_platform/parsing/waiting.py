"""How long an import waited: neither at work nor kept from it by a machine that is busy."""

from __future__ import annotations

import time

_SCHEDULED = "/proc/thread-self/schedstat"
"""Linux's figures of a thread: nanoseconds on a processor and in line for one, and how often."""


class Stopwatch:
    """Measures this thread from when it is made."""

    def __init__(self) -> None:
        self._began = _clocks()

    def waited(self) -> float:
        """Seconds; 0 where the system does not say how long a thread was in line for a processor."""
        clocks = _clocks()
        if clocks is None or self._began is None:
            return 0.0
        passed, busy = clocks[0] - self._began[0], clocks[1] - self._began[1]
        return round(max(0.0, passed - busy), 2)


def _clocks() -> tuple[float, float] | None:
    """Seconds by the clock, and those in which the process worked or the thread was in line."""
    try:
        with open(_SCHEDULED, encoding="ascii") as file:  # noqa: PTH123 - as in confinement.
            on_processor, in_line, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return None
    if not on_processor:  # A kernel that does not count: whoever reads this was on a processor.
        return None
    return time.monotonic(), time.process_time() + in_line / 10**9
