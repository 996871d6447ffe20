"""What a run came to: outcomes, the report envelope, and the verbs of a reporter."""

from __future__ import annotations

import enum
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from airflow_platform.engine.step import Json, Outputs
from airflow_platform.errors import ExitCode, Fault

SCHEMA = "https://airflow-platform.invalid/report/1"
"""Names the envelope's version; docs/report.schema.json is that schema."""


class Outcome(enum.Enum):
    """How one step ended."""

    CHANGED = "changed"
    """Its change was made."""
    UNCHANGED = "unchanged"
    """There was nothing to change."""
    PENDING = "pending"
    """With `--plan` only: it would change something, or cannot know until another step has run."""
    SKIPPED = "skipped"
    """Left out on purpose, such as deleting data without `--delete-data`."""
    BLOCKED = "blocked"
    """Not begun, because a step that it requires, or a check, said no."""
    FAILED = "failed"
    """The work said no."""
    BROKEN = "broken"
    """A defect of ours."""

    @property
    def good(self) -> bool:
        """Whether steps that require this one may go on."""
        return self in (Outcome.CHANGED, Outcome.UNCHANGED, Outcome.PENDING, Outcome.SKIPPED)


@dataclass(frozen=True)
class Node:
    """A step in a graph: of one tenant, or of the environment (`tenant` is None)."""

    step: str
    tenant: str | None = None

    def __str__(self) -> str:
        return f"{self.tenant}/{self.step}" if self.tenant else self.step


@dataclass(frozen=True)
class StepReport:
    """How one step of one tenant, or of the environment, ended."""

    name: str
    status: Outcome
    reason: str = ""
    seconds: float = 0.0
    outputs: Outputs = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    traceback: str = ""
    """Only for `broken`, or with `--traceback`; shown by reporters, not in the envelope."""

    def to_json(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "status": self.status.value,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class TenantReport:
    """One tenant in the envelope: `status` is a word such as "healthy" or "failed"."""

    name: str
    status: str
    steps: tuple[StepReport, ...] = ()
    outputs: Outputs = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "status": self.status,
            "steps": [step.to_json() for step in self.steps],
            "outputs": dict(self.outputs),
        }


@dataclass(frozen=True)
class Report:
    """The envelope that every task answers with; `--json` prints it."""

    task: str
    environment: str | None
    status: str
    exit_code: int
    faults: tuple[Fault, ...] = ()
    steps: tuple[StepReport, ...] = ()
    tenants: tuple[TenantReport, ...] = ()
    data: Json = None

    def to_json(self) -> dict[str, Json]:
        return {
            "schema": SCHEMA,
            "task": self.task,
            "environment": self.environment,
            "status": self.status,
            "exit_code": self.exit_code,
            "faults": [fault.to_json() for fault in self.faults],
            "steps": [step.to_json() for step in self.steps],
            "tenants": [tenant.to_json() for tenant in self.tenants],
            "data": self.data,
        }


class Reporter(Protocol):
    """The verbs by which a run tells what happens; called from several threads, one call at a time."""

    def begin(self, nodes: Sequence[Node], expected: Mapping[Node, float]) -> None:
        """The steps to come, in order, with the seconds that each took last time where known."""

    def note(self, text: str) -> None:
        """A line that belongs to no step: a lock taken over, a journal set aside."""

    def started(self, node: Node) -> None:
        """A step is being observed or changed."""

    def progress(self, node: Node, text: str) -> None:
        """News of a running step."""

    def ended(self, node: Node, result: StepReport) -> None:
        """A step is over."""

    def end(self) -> None:
        """No more steps: the board may be taken down."""


class OneAtATime:
    """Passes a reporter's verbs on, one call at a time, whichever threads they come from."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._lock = threading.RLock()

    def begin(self, nodes: Sequence[Node], expected: Mapping[Node, float]) -> None:
        with self._lock:
            self._reporter.begin(nodes, expected)

    def note(self, text: str) -> None:
        with self._lock:
            self._reporter.note(text)

    def started(self, node: Node) -> None:
        with self._lock:
            self._reporter.started(node)

    def progress(self, node: Node, text: str) -> None:
        with self._lock:
            self._reporter.progress(node, text)

    def ended(self, node: Node, result: StepReport) -> None:
        with self._lock:
            self._reporter.ended(node, result)

    def end(self) -> None:
        with self._lock:
            self._reporter.end()


def exit_code_of(outcomes: Sequence[Outcome], *, checks_failed: bool) -> ExitCode:
    """The exit code of a run that was neither interrupted nor refused.

    A failed or broken step is 1. A run in which a check said no is 1 when anything was changed,
    else 4. With `--plan`, pending steps are 3.
    """
    if any(outcome in (Outcome.FAILED, Outcome.BROKEN) for outcome in outcomes):
        return ExitCode.FAILED
    if checks_failed:
        return ExitCode.FAILED if Outcome.CHANGED in outcomes else ExitCode.PREFLIGHT
    if Outcome.PENDING in outcomes:
        return ExitCode.DIFFERENCES
    return ExitCode.DONE
