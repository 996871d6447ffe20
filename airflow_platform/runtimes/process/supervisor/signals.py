"""Signals as something to wait for: each writes its number into a pipe, and one place reads it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable


class Signals:
    """From its creation on, these signals interrupt nothing and end only `wait`."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)

    def wait(self, timeout: float | None) -> set[int]:
        """The signals that came since the last call; waits for one, at most `timeout` seconds."""
        select.select([self._reader], [], [], timeout)
        try:
            return set(os.read(self._reader, 65536))
        except BlockingIOError:
            return set()
