"""The moments of a step at which a run can be killed, and a hook for tests that kill it there."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator

from airflow_platform.engine.report import Node


class Phase(enum.Enum):
    """Where a step that changes something is, relative to its two entries in the journal."""

    BEFORE_BEGIN = "before begin"
    AFTER_BEGIN = "after begin"
    AFTER_EFFECT = "after the effect"
    AFTER_END = "after end"


Watcher = Callable[[Node, Phase], None]

_watchers: list[Watcher] = []


@contextlib.contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Have `watcher` called in this process at each phase of each step, from the step's thread."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def reached(node: Node, phase: Phase) -> None:
    """Tell all watchers; a run without tests has none."""
    for watcher in _watchers:
        watcher(node, phase)
