"""What outlives its parent: orphans that may finish their work, and strays that may not."""

from __future__ import annotations

import os
import re
import signal
import time

from airflow_platform.runtimes.process.supervisor import linux, log

LOOK_EVERY = 2.0
"""Seconds; an orphan that becomes idle holds some 145 MB until it is ended."""
_KILL_AFTER = 2.0
"""Seconds that an idle orphan has after SIGTERM."""
_GIVE_UP_AFTER = 10.0
"""Seconds after SIGKILL; what is left then sleeps in the kernel, and no signal reaches it."""


class Patrol:
    """Looks at orphans while there are any, and ends those that are idle."""

    def __init__(self) -> None:
        self.due: float | None = None
        self._told: dict[linux.Process, float] = {}

    def look(self, leaders: set[int], idle_titles: set[str], now: float) -> set[int]:
        """Tell idle orphans to end; returns the sessions of all orphans.

        Only our own children are asked for their title: what works for a busy orphan is its business.
        """
        own = os.getpid()
        orphans = linux.descendants(own, without=leaders)
        for one in orphans:
            title = linux.title(one.pid) if one.parent == own else ""
            if title and any(re.search(pattern, title) for pattern in idle_titles):
                self._end(one, title, now)
        self._told = {one: at for one, at in self._told.items() if one in orphans}
        self.due = now + LOOK_EVERY if orphans else None
        return {one.session for one in orphans}

    def _end(self, orphan: linux.Process, title: str, now: float) -> None:
        if orphan not in self._told:
            log.say(f"process {orphan.pid} ({title}) lost its parent and is idle: it is ended")
        told = self._told.setdefault(orphan, now)
        linux.send(orphan, signal.SIGKILL if now >= told + _KILL_AFTER else signal.SIGTERM)


def end_descendants(grace: float) -> None:
    """End every living descendant of this process: SIGTERM, and after `grace` seconds SIGKILL."""
    kill_at = time.monotonic() + grace
    told: set[tuple[linux.Process, int]] = set()
    while found := linux.descendants(os.getpid()):
        now = time.monotonic()
        if now > kill_at + _GIVE_UP_AFTER:
            log.say(f"processes {[one.pid for one in found]} cannot be ended")
            return
        number = signal.SIGKILL if now >= kill_at else signal.SIGTERM
        for one in found:
            if (one, number) not in told:
                told.add((one, number))
                linux.send(one, number)
        time.sleep(0.02)
