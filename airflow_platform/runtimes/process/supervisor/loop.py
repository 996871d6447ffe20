"""The supervisor itself: one thread that waits for signals, and makes what runs equal to the spec."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from airflow_platform.runtimes.process.supervisor import log, orphans
from airflow_platform.runtimes.process.supervisor.child import Child
from airflow_platform.runtimes.process.supervisor.signals import Signals
from airflow_platform.runtimes.process.supervisor.spec import (
    SPEC_FILE,
    STATUS_FILE,
    Spec,
    SpecError,
    Status,
    write_atomically,
)

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
STRAY_GRACE = 5.0
"""Seconds that what a component left outside of its session has to end."""
STATUS_RETRY = 1.0
"""Seconds until a status that could not be written is tried again."""


class Supervisor:
    """Keeps the components of one spec running until it is told to stop."""

    def __init__(self, directory: Path, spec: Spec) -> None:
        self._directory = directory
        self._spec = spec
        self._digests = _digests(spec)
        self._in_place = ""
        self._state = "running"
        self._started_at = time.time()
        self._children: dict[str, Child] = {}
        self._patrol = orphans.Patrol()
        self._published = ""
        self._publish_due: float | None = None

    def run(self, signals: Signals) -> None:
        """Supervise until SIGTERM or SIGINT, and until everything has ended.

        Raises:
            OSError: The first status cannot be written; nothing was started.
        """
        self._published = self._status().to_text()
        write_atomically(self._directory / STATUS_FILE, self._published)
        while not self._done():
            now = time.monotonic()
            self._converge(now)
            self._watch_orphans(now)
            self._publish(now)
            for number in sorted(signals.wait(self._timeout(now))):
                self._receive(number)
            self._reap()
        orphans.end_descendants(STRAY_GRACE)
        self._reap()
        self._state = "stopped"
        self._publish_due = None
        self._publish(time.monotonic())

    def _done(self) -> bool:
        return self._state == "stopping" and all(one.finished for one in self._children.values())

    def _receive(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT) and self._state == "running":
            log.say(f"{signal.Signals(number).name}: stopping")
            self._state = "stopping"
            # Before a component hears of it: whoever sees one end must not take this supervisor for one that stays.
            self._publish(time.monotonic())
        elif number == signal.SIGHUP and self._state == "running":
            self._reread()

    def _reread(self) -> None:
        try:
            self._spec = Spec.from_text((self._directory / SPEC_FILE).read_text())
        except (OSError, SpecError, UnicodeDecodeError) as error:
            log.say(f"{SPEC_FILE} is ignored, the one before it stays: {error}")
            return
        log.say("reread the spec")
        self._digests = _digests(self._spec)
        for child in self._children.values():
            child.start_now(time.monotonic())

    def _converge(self, now: float) -> None:
        """Stop what is no longer wanted as it is, start what is missing; what has to wait, waits."""
        stopping = self._state == "stopping"
        for name, child in list(self._children.items()):
            if stopping or child.digest != self._digests.get(name):
                child.stop(now)
            child.advance(now)
            if child.finished and not stopping:
                del self._children[name]
        if stopping:
            return
        for component in self._spec.components:
            if component.name not in self._children:
                child = self._children[component.name] = Child(self._spec, component, now)
                child.advance(now)
        if self._is_in_place():
            self._in_place = self._spec.digest

    def _is_in_place(self) -> bool:
        children = self._children.values()
        return (
            all(child.tried and not child.stopping for child in children)
            and {child.component.name: child.digest for child in children} == self._digests
        )

    def _watch_orphans(self, now: float) -> None:
        if self._patrol.due is None or now < self._patrol.due:
            return
        leaders = {child.pid for child in self._children.values() if child.pid}
        titles = {one.idle_title for one in self._spec.components if one.idle_title}
        sessions = self._patrol.look(leaders, titles, now)
        for child in self._children.values():
            child.keep_sessions(sessions)

    def _reap(self) -> None:
        """Collect every child that has ended: components, and orphans that became ours."""
        leaders = {child.pid: child for child in self._children.values() if child.pid}
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if (child := leaders.pop(ended[0], None)) is not None:
                    self._patrol.due = time.monotonic()
                    child.ended(ended[1], self._patrol.due)

    def _timeout(self, now: float) -> float | None:
        dues = [child.due(now) for child in self._children.values()]
        dues += [self._patrol.due, self._publish_due]
        known = [due for due in dues if due is not None]
        if self._done() or not known:
            return 0.0 if self._done() else None
        return max(0.0, min(known) - now)

    def _status(self) -> Status:
        removed = len(self._digests)
        order = {name: place for place, name in enumerate(self._digests)}
        children = sorted(self._children.values(), key=lambda one: order.get(one.component.name, removed))
        return Status(
            pid=os.getpid(),
            state=self._state,
            started_at=self._started_at,
            spec_digest=self._in_place,
            components=tuple(child.status() for child in children),
        )

    def _publish(self, now: float) -> None:
        """Write the status when it has changed; on a full disk, keep supervising and try again later."""
        text = self._status().to_text()
        if text == self._published:
            self._publish_due = None
            return
        if self._publish_due is not None and now < self._publish_due:
            return
        try:
            write_atomically(self._directory / STATUS_FILE, text)
        except OSError as error:
            if self._publish_due is None:
                log.say(f"{STATUS_FILE} cannot be written, it is tried again: {error}")
            self._publish_due = now + STATUS_RETRY
        else:
            self._published = text
            self._publish_due = None


def _digests(spec: Spec) -> dict[str, str]:
    return {component.name: spec.digest_of(component) for component in spec.components}
