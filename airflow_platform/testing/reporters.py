"""A reporter that records what it was told, and refuses what a run may not tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from airflow_platform.engine.report import Node, Outcome, StepReport


@dataclass(frozen=True)
class Event:
    """One verb that a run told: `begin`, `note`, `started`, `progress`, `ended` or `end`."""

    verb: str
    node: Node | None = None
    text: str = ""
    """Of a note or of progress; the outcome's word of `ended`."""


class RecordingReporter:
    """Implements `engine.report.Reporter`; a sequence that makes no sense raises AssertionError.

    Such an error may be raised in a worker thread, where the engine takes it for a defect of the
    step. So end a test with `verify()`, which raises it again.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        """All that was told, in order."""
        self.results: dict[Node, StepReport] = {}
        """How each step ended."""
        self.expected: Mapping[Node, float] = {}
        """Seconds that each step took last time, as the run told."""
        self._nodes: frozenset[Node] = frozenset()
        self._violations: list[str] = []
        self._one_at_a_time = threading.Lock()

    def begin(self, nodes: Sequence[Node], expected: Mapping[Node, float]) -> None:
        with self._telling():
            self._require(not self._told("begin"), "began twice")
            self._require(len(set(nodes)) == len(nodes), "began with a step twice")
            self._nodes = frozenset(nodes)
            self.expected = expected
            self.events.append(Event("begin"))

    def note(self, text: str) -> None:
        with self._telling():
            self._require(not self._told("end"), f"noted after the end: {text}")
            self.events.append(Event("note", text=text))

    def started(self, node: Node) -> None:
        with self._telling():
            self._require_open(node, "started")
            self._require(not self._told("started", node), f"started {node} twice")
            self.events.append(Event("started", node))

    def progress(self, node: Node, text: str) -> None:
        with self._telling():
            self._require_open(node, "progressed")
            self.events.append(Event("progress", node, text))

    def ended(self, node: Node, result: StepReport) -> None:
        with self._telling():
            self._require_open(node, "ended")
            worked = result.status in (Outcome.CHANGED, Outcome.FAILED, Outcome.PENDING)
            self._require(self._told("started", node) or not worked, f"ended {node}, which never started")
            self.results[node] = result
            self.events.append(Event("ended", node, result.status.value))

    def end(self) -> None:
        with self._telling():
            self._require(self._told("begin"), "ended before it began")
            self._require(not self._told("end"), "ended twice")
            self.events.append(Event("end"))

    def verify(self) -> None:
        """Raise what was refused, and what is missing: the end, and a result for each step."""
        assert not self._violations, self._violations
        assert self.events, "the run told nothing"
        assert self.events[-1].verb == "end", f"the run did not end; it last told {self.events[-1]}"
        missing = self._nodes - self.results.keys()
        assert not missing, f"no result for {', '.join(sorted(map(str, missing)))}"

    @property
    def notes(self) -> list[str]:
        """The notes, in order."""
        return [event.text for event in self.events if event.verb == "note"]

    @property
    def outcomes(self) -> dict[str, str]:
        """Each step's outcome by its name in reports: `{"packages": "changed", "a/home": "failed"}`."""
        return {str(node): result.status.value for node, result in self.results.items()}

    def position(self, verb: str, name: str) -> int:
        """Where in `events` a step was told of; `name` as in `outcomes`."""
        return next(
            place for place, event in enumerate(self.events) if event.verb == verb and str(event.node) == name
        )

    def _told(self, verb: str, node: Node | None = None) -> bool:
        return any(event.verb == verb and event.node == node for event in self.events)

    def _require_open(self, node: Node, verb: str) -> None:
        self._require(self._told("begin"), f"{verb} {node} before it began")
        self._require(not self._told("end"), f"{verb} {node} after the end")
        self._require(node in self._nodes, f"{verb} {node}, which it did not begin with")
        self._require(node not in self.results, f"{verb} {node}, which has ended")

    def _require(self, condition: bool, violation: str) -> None:
        if not condition:
            self._violations.append(violation)
            raise AssertionError(violation)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        self._require(self._one_at_a_time.acquire(blocking=False), "told two things at the same time")
        try:
            yield
        finally:
            self._one_at_a_time.release()
