"""What is known of a run while it goes on: one entry a step. Both reporters draw from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from airflow_platform.engine.report import Node, Outcome, StepReport


@dataclass(frozen=True)
class Entry:
    """One step: waiting (`began` is None), running, or ended with an outcome."""

    node: Node
    expected: float | None = None
    """Seconds that it took last time."""
    began: float | None = None
    """On the run's clock."""
    news: str = ""
    """What it said last."""
    outcome: Outcome | None = None
    seconds: float = 0.0
    reason: str = ""

    @property
    def running(self) -> bool:
        """Whether it has begun and not ended."""
        return self.began is not None and self.outcome is None


class Progress:
    """The entries of a run, in the order of the plan."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.began = clock()
        self._entries: dict[Node, Entry] = {}

    def begin(self, nodes: Sequence[Node], expected: Mapping[Node, float]) -> None:
        """Know all steps before the first one starts."""
        self.began = self.clock()
        self._entries = {node: Entry(node, expected.get(node)) for node in nodes}

    def started(self, node: Node) -> None:
        """A step begins."""
        self._entries[node] = dataclasses.replace(self.of(node), began=self.clock())

    def told(self, node: Node, text: str) -> None:
        """A step has news."""
        self._entries[node] = dataclasses.replace(self.of(node), news=first_line(text))

    def ended(self, node: Node, result: StepReport) -> None:
        """A step is over."""
        self._entries[node] = dataclasses.replace(
            self.of(node), outcome=result.status, seconds=result.seconds, reason=first_line(result.reason)
        )

    def of(self, node: Node) -> Entry:
        """The entry of a step; one that nobody announced is made."""
        return self._entries.get(node, Entry(node))

    def entries(self) -> list[Entry]:
        """All of them, in order."""
        return list(self._entries.values())

    def sections(self) -> list[tuple[str | None, list[Entry]]]:
        """The entries of the environment (None) and of each tenant, in the order of their first steps."""
        found: dict[str | None, list[Entry]] = {}
        for entry in self.entries():
            found.setdefault(entry.node.tenant, []).append(entry)
        return list(found.items())

    def elapsed(self, entry: Entry) -> float:
        """Seconds since a running step began."""
        return 0.0 if entry.began is None else self.clock() - entry.began


def first_line(text: str) -> str:
    """What fits on a step's line; the summary shows the rest."""
    return text.strip().split("\n")[0]


def duration(seconds: float) -> str:
    """Seconds with one decimal up to a minute, then minutes: `12.3 s`, `2 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
