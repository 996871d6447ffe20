"""What a run came to: outcomes, the report envelope, and the verbs of a reporter."""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from airflow_platform.engine.step import Json, Outputs
from airflow_platform.errors import ExitCode, Fault, PlatformError, RefusedError

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
    """Of what was raised; `--traceback` shows it, the envelope does not."""
    refusal: ExitCode | None = None
    """`PREFLIGHT`, `BUSY` or `REFUSED` when that ended it before it touched anything."""
    details: Mapping[str, Json] = field(default_factory=dict)
    """Of a change that is pending, as its step planned it; the envelope does not show them."""

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
    """The events of a run; called from several threads, one call at a time."""

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
    """Passes a reporter's verbs on, one call at a time, whichever threads they come from.

    A reporter that cannot write any more (a closed pipe, a terminal that is gone) is not called
    again: the work goes on, and the exit code still says how the run ended.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._lock = threading.RLock()
        self._gone = False

    def begin(self, nodes: Sequence[Node], expected: Mapping[Node, float]) -> None:
        self._tell(lambda: self._reporter.begin(nodes, expected))

    def note(self, text: str) -> None:
        self._tell(lambda: self._reporter.note(text))

    def started(self, node: Node) -> None:
        self._tell(lambda: self._reporter.started(node))

    def progress(self, node: Node, text: str) -> None:
        self._tell(lambda: self._reporter.progress(node, text))

    def ended(self, node: Node, result: StepReport) -> None:
        self._tell(lambda: self._reporter.ended(node, result))

    def end(self) -> None:
        self._tell(self._reporter.end)

    def _tell(self, verb: Callable[[], None]) -> None:
        with self._lock:
            if self._gone:
                return
            try:
                verb()
            except OSError:
                self._gone = True


def faults_of(error: PlatformError, node: Node) -> tuple[Fault, ...]:
    """What an error says, as faults of a node; at least one."""
    found = error.faults() or (Fault("", error.message, error.hint),)
    unnamed = ("", type(error).__name__)
    return tuple(
        Fault(str(node) if fault.thing in unnamed else f"{node}: {fault.thing}", fault.cause, fault.remedy)
        for fault in found
    )


def refusal_of(error: PlatformError, *, begun: bool = False) -> ExitCode | None:
    """The exit code that outlives the step, when the error is about who may work here, or with what.

    Once the step's change has begun, only where the error says that nothing came of it.
    """
    stands = not begun or (isinstance(error, RefusedError) and error.untouched)
    outliving = (ExitCode.PREFLIGHT, ExitCode.BUSY, ExitCode.REFUSED)
    return error.exit_code if stands and error.exit_code in outliving else None


def masked(result: StepReport, mask: Callable[[str], str], *, seconds: float | None = None) -> StepReport:
    """The result without secrets, and with the time that it took."""
    return dataclasses.replace(
        result,
        reason=mask(result.reason),
        seconds=result.seconds if seconds is None else seconds,
        outputs=masked_json(result.outputs, mask),
        details=masked_json(result.details, mask),
        faults=tuple(Fault(mask(f.thing), mask(f.cause), mask(f.remedy)) for f in result.faults),
        traceback=mask(result.traceback),
    )


def masked_json(value: Json, mask: Callable[[str], str]) -> Json:
    """A serialisable value, every text in it masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {masked_json(key, mask): masked_json(item, mask) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_json(item, mask) for item in value]
    return value


def exit_code_of(results: Sequence[StepReport], *, checks_failed: bool) -> ExitCode:
    """The exit code of a run that was not interrupted.

    A failed or broken step is 1. A run in which a check said no is 1 when anything was changed,
    else 4. Where nothing was changed and the only fault is that something is missing that work needs, that
    somebody else is at work, or that we may not, it is 4, 5 or 6. With `--plan`, pending steps are 3.
    """
    outcomes = {result.status for result in results}
    refusals = {result.refusal for result in results if result.faults}
    refusal = refusals.pop() if len(refusals) == 1 else None
    if refusal is not None and Outcome.CHANGED not in outcomes:
        return refusal
    if outcomes & {Outcome.FAILED, Outcome.BROKEN}:
        return ExitCode.FAILED
    if checks_failed:
        return ExitCode.FAILED if Outcome.CHANGED in outcomes else ExitCode.PREFLIGHT
    return ExitCode.DIFFERENCES if Outcome.PENDING in outcomes else ExitCode.DONE
