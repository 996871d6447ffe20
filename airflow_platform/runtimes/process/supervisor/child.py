"""One component: started, started again after a growing delay, and stopped with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection

from airflow_platform.runtimes.process.supervisor import linux, log, spawn
from airflow_platform.runtimes.process.supervisor.spec import Component, ComponentStatus, Spec

FIRST_DELAY = 1.0
"""Seconds until a component that ended is started again; doubled each time it ends soon."""
LONGEST_DELAY = 60.0
LONG_RUN = 60.0
"""Seconds; a component that ran this long did not end soon."""
TERM_EVERY = 4.0
"""Seconds. Airflow's DAG processor loses one SIGTERM in some 25: a logging hook swallows its exit."""

_LOOK_EVERY = 0.2
"""Seconds between two looks at what a stopping component left; the end of a grandchild is not told."""


def next_delay(delay: float, ran: float) -> float:
    """The delay before the next start, after one that came `delay` seconds late and ran `ran` seconds."""
    return FIRST_DELAY if ran >= LONG_RUN else min(delay * 2, LONGEST_DELAY)


class Child:
    """One definition of one component; a changed definition is another child."""

    def __init__(self, spec: Spec, component: Component, now: float) -> None:
        self.component = component
        self.digest = spec.digest_of(component)
        self.pid = 0
        self.tried = False
        self.stopping = False
        self.finished = False
        self._owner = spec.owner
        self._user = spec.user
        self._started = now
        self._started_at = 0.0
        self._starts = 0
        self._last_exit = ""
        self._delay = FIRST_DELAY / 2
        self._due = now
        self._kill_at = 0.0
        self._old_sessions: set[int] = set()

    def status(self) -> ComponentStatus:
        """How it is, for people and for the toolkit."""
        idle = "stopped" if self.stopping else "waiting"
        return ComponentStatus(
            name=self.component.name,
            state="running" if self.pid else idle,
            pid=self.pid,
            started_at=self._started_at,
            restarts=max(self._starts - 1, 0),
            last_exit=self._last_exit,
            digest=self.digest,
        )

    def due(self, now: float) -> float | None:
        """When `advance` has something to do, if nothing happens before."""
        if self.finished:
            return None
        if self.stopping:
            return self._due if self.pid else now + _LOOK_EVERY
        return None if self.pid else self._due

    def advance(self, now: float) -> None:
        """Do what is due."""
        if self.stopping:
            self._advance_stop(now)
        elif not self.pid and now >= self._due:
            self._start(now)

    def stop(self, now: float) -> None:
        """From now on it is being stopped, with everything that its earlier starts left."""
        if not self.stopping:
            self.stopping = True
            self._due = now
            self._kill_at = now + self.component.stop_timeout

    def start_now(self, now: float) -> None:
        """Do not wait any longer, in case the reason that it ended is gone."""
        if not self.stopping:
            self._due = min(self._due, now)

    def ended(self, status: int, now: float) -> None:
        """Its first process has ended with this wait status; others of its session may live on."""
        code = os.waitstatus_to_exitcode(status)
        self._fail(f"signal {-code}" if code < 0 else f"exited {code}", now)
        self._old_sessions.add(self.pid)
        self.pid = 0

    def keep_sessions(self, alive: Collection[int]) -> None:
        """Forget sessions that have no process left: their number may soon be somebody else's."""
        self._old_sessions.intersection_update(alive)

    def _start(self, now: float) -> None:
        name = self.component.name
        self.tried = True
        self._starts += 1
        self._started = now
        self._started_at = time.time()
        try:
            environment = spawn.environment_of(self.component, self._owner, self._user)
            self.pid = spawn.spawn(self.component, environment, self._user)
        except (OSError, ValueError) as error:
            self._fail(f"not started: {error}", now)
        else:
            log.say(f"{name} started as process {self.pid}")

    def _fail(self, reason: str, now: float) -> None:
        self._last_exit = reason
        if self.stopping:
            log.say(f"{self.component.name} stopped: {reason}")
            return
        self._delay = next_delay(self._delay, now - self._started)
        self._due = now + self._delay
        log.say(f"{self.component.name} {reason}; it is started again in {self._delay:g} s")

    def _advance_stop(self, now: float) -> None:
        if self.pid and now < self._due:
            return
        members = self._members()
        if not self.pid and not members:
            self.finished = True
        elif now >= self._kill_at:
            self._due = now + _LOOK_EVERY
            self._signal(members, signal.SIGKILL)
        elif now >= self._due:
            self._due = min(now + TERM_EVERY, self._kill_at)
            self._signal(members, signal.SIGTERM)

    def _members(self) -> list[linux.Process]:
        sessions = self._old_sessions | {self.pid}
        if not any(sessions):
            return []
        return [one for one in linux.descendants(os.getpid()) if one.session in sessions]

    def _signal(self, members: list[linux.Process], number: int) -> None:
        if self.pid:  # Not reaped yet, so that the number of its group is still its own.
            with contextlib.suppress(OSError):
                os.killpg(self.pid, number)
        for one in members:
            if not self.pid or one.group != self.pid:
                linux.send(one, number)
