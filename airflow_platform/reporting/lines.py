"""Plain lines for logs and pipes: one when a step ends, one when it turns out to be long, and a sign of life."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from airflow_platform.engine.report import Node, Outcome, StepReport
from airflow_platform.reporting import looks
from airflow_platform.reporting.progress import Entry, Progress, duration, first_line

LONG = 2.0
"""Seconds after which a step gets a line that it has started; shorter ones would only double the lines."""

SILENCE = 30.0
"""Seconds after which a running step is mentioned again: well below the minutes after which CI gives up."""


class LinesReporter:
    """A reporter for anything that is not a terminal."""

    def __init__(self, stream: TextIO, look: looks.Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._look = look
        self._progress = Progress(clock)
        self._mentioned: dict[Node, float] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._widths = (0, 0)

    def begin(self, nodes: Sequence[Node], expected: Mapping[Node, float]) -> None:
        """Announce nothing, but know how wide the columns are; start looking for long steps."""
        self._progress.begin(nodes, expected)
        tenants = (len(node.tenant or "") for node in nodes)
        self._widths = (max(tenants, default=0), max((len(node.step) for node in nodes), default=0))
        threading.Thread(target=self._watch, name="progress", daemon=True).start()

    def note(self, text: str) -> None:
        """One line, or as many as the text has."""
        with self._lock:
            self._write(text)

    def started(self, node: Node) -> None:
        """Nothing yet: most steps end before a reader could care."""
        with self._lock:
            self._progress.started(node)

    def progress(self, node: Node, text: str) -> None:
        """Remembered for the next sign of life."""
        with self._lock:
            self._progress.told(node, text)

    def ended(self, node: Node, result: StepReport) -> None:
        """The step's line, unless there was nothing to do, or another step's line says why not."""
        with self._lock:
            self._progress.ended(node, result)
            follows = result.status is Outcome.BLOCKED and not result.faults
            if (result.status is Outcome.UNCHANGED and node not in self._mentioned) or follows:
                return
            colour = looks.COLOURS[result.status]
            self._line(node, result.status.value, colour, result.seconds, first_line(result.reason))

    def end(self) -> None:
        """Stop looking for long steps."""
        self._over.set()

    def look_around(self) -> None:
        """Mention steps that have become long, and those that have been silent for too long."""
        with self._lock:
            for entry in self._progress.entries():
                if entry.running:
                    self._mention(entry)

    def _mention(self, entry: Entry) -> None:
        elapsed = self._progress.elapsed(entry)
        last = self._mentioned.get(entry.node)
        if elapsed < LONG or (last is not None and self._progress.clock() - last < SILENCE):
            return
        self._mentioned[entry.node] = self._progress.clock()
        usual = f"usually {duration(entry.expected)}" if entry.expected else ""
        text = "; ".join(part for part in (usual if last is None else "", entry.news) if part)
        self._line(entry.node, "started" if last is None else "running", "", elapsed, text)

    def _line(self, node: Node, state: str, colour: str, seconds: float, text: str) -> None:
        tenant, step = self._widths
        name = f"{node.tenant or '':<{tenant}}  " if tenant else ""
        painted = self._look.paint(f"{state:<9}", colour)
        self._write(f"{name}{node.step:<{step}}  {painted}  {duration(seconds):>10}  {text}".rstrip())

    def _write(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _watch(self) -> None:
        while not self._over.wait(LONG / 2):
            self.look_around()
