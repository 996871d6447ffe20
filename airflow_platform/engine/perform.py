"""What happens to one node: observe, plan, write down, apply, write down."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_platform import errors
from airflow_platform.engine import phases
from airflow_platform.engine.graph import Graph
from airflow_platform.engine.order import Order
from airflow_platform.engine.phases import Phase
from airflow_platform.engine.report import (
    Node,
    Outcome,
    StepReport,
    faults_of,
    masked,
    masked_json,
    refusal_of,
)
from airflow_platform.engine.step import (
    Artifacts,
    Change,
    Context,
    EnvironmentContext,
    Goal,
    NoChange,
    Outputs,
    OutputsUnknown,
    Scope,
    TenantContext,
    Unknown,
)
from airflow_platform.engine.store import Journal, Lock


@dataclass(frozen=True)
class Opened:
    """What a run holds of its store; with `--plan` neither a journal nor a lock."""

    run_id: str
    artifacts: Artifacts
    journal: Journal | None = None
    tenants: Lock | None = None


class Performer:
    """Performs the nodes of one run; called from several threads."""

    def __init__(self, order: Order[Any, Any], graph: Graph, opened: Opened) -> None:
        self.order = order
        self.graph = graph
        self._opened = opened
        self._tenants = {tenant.name: tenant for tenant in order.tenants}
        self._outputs: dict[Node, Outputs | None] = {}
        self._begun: set[Node] = set()

    def perform(self, node: Node, tenants: frozenset[str]) -> StepReport:
        """Bring one node to the goal; whatever happens becomes a result, without secrets."""
        began = time.monotonic()
        locked = node.tenant is None and not self.order.planning
        lock = self.order.store.environment_lock if locked else contextlib.nullcontext
        try:
            self.order.reporter.started(node)
            with lock() as environment:
                result = self._advance(node, tenants, environment, began)
            self._outputs[node] = None if result.status is Outcome.PENDING else result.outputs
        except errors.PlatformError as error:
            result = StepReport(
                node.step,
                Outcome.FAILED,
                error.message,
                faults=() if isinstance(error, errors.Interrupted) else faults_of(error, node),
                traceback=traceback.format_exc(),
                refusal=refusal_of(error, begun=node in self._begun),
            )
        except BaseException as error:  # noqa: BLE001 - a plugin's step may raise anything.
            fault = errors.Fault(
                str(node), f"This is a defect: {error!r}.", "Report it; --traceback shows where."
            )
            trace = traceback.format_exc()
            result = StepReport(node.step, Outcome.BROKEN, repr(error), 0.0, {}, (fault,), trace)
        return masked(result, self.order.programs.mask, seconds=time.monotonic() - began)

    def context(self, node: Node, tenants: frozenset[str] | None = None) -> Context[Any]:
        """All that a node's step may know; for a check, no outputs and every selected tenant."""
        common = {
            "environment": self.order.environment,
            "goal": self.order.goal,
            "run_id": self._opened.run_id,
            "artifacts": self._opened.artifacts,
            "programs": self.order.programs,
            "progress": self._progress_of(node),
            "clock": self.order.clock,
            "find_outputs": lambda step: self._find(node, step, node.tenant),
        }
        if node.tenant is not None:
            return TenantContext(**common, tenant=self._tenants[node.tenant])
        return EnvironmentContext(
            **common,
            tenants=tuple(
                tenant for tenant in self.order.tenants if tenants is None or tenant.name in tenants
            ),
            find_tenant_outputs=lambda step, tenant: self._find(node, step, tenant),
            tenants_at_work=self.order.store.tenants_at_work,
        )

    def _advance(
        self, node: Node, tenants: frozenset[str], environment: Lock | None, began: float
    ) -> StepReport:
        step: Any = self.graph.step(node)
        context = self.context(node, tenants)
        context.programs.interruption.raise_if_requested()
        planned = _decide(step, context)
        if isinstance(planned, NoChange):
            outputs = _outputs(planned.outputs)
            return StepReport(node.step, Outcome.UNCHANGED, planned.reason, outputs=outputs)
        if isinstance(planned, Unknown):
            if not self.order.planning:
                raise RuntimeError(f"it is still unknown until {planned.until} has run")
            return StepReport(node.step, Outcome.PENDING, f"known after {planned.until} has run")
        if self.order.planning:
            return StepReport(node.step, Outcome.PENDING, planned.summary, details=planned.details)
        for lock in filter(None, (self._opened.tenants, environment)):
            lock.confirm()
        outputs = self._apply(node, step, context, planned, began)
        return StepReport(node.step, Outcome.CHANGED, planned.summary, outputs=outputs)

    def _apply(self, node: Node, step: Any, context: Context[Any], change: Change, began: float) -> Outputs:
        journal, mask = self._opened.journal, self.order.programs.mask
        assert journal is not None
        shown = Change(**masked_json(change.to_json(), mask))
        json.dumps(shown.to_json())
        self._verify_artifacts(change)
        phases.reached(node, Phase.BEFORE_BEGIN)
        journal.begun(node, shown)
        self._begun.add(node)
        phases.reached(node, Phase.AFTER_BEGIN)
        try:
            outputs = _outputs(step.apply(context, change))
        except BaseException as error:
            ours = not isinstance(error, errors.PlatformError)
            outcome = Outcome.BROKEN if ours else Outcome.FAILED
            seconds = time.monotonic() - began
            with contextlib.suppress(errors.StateError):  # The first error is the one to show.
                journal.ended(node, outcome, mask(str(error)), seconds)
            raise
        phases.reached(node, Phase.AFTER_EFFECT)
        journal.ended(node, Outcome.CHANGED, shown.summary, time.monotonic() - began)
        phases.reached(node, Phase.AFTER_END)
        return outputs

    def _verify_artifacts(self, change: Change) -> None:
        for name, expected in change.artifacts.items():
            path = self._opened.artifacts.get(name)
            with errors.state_errors(path), path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                raise errors.StepError(
                    f"{name} is not the file that was planned with: SHA-256 {found}, planned {expected}.",
                    hint="Something else writes into the run's directory; run this again.",
                )

    def _find(self, node: Node, step: str, tenant: str | None) -> Outputs:
        if step not in self.graph.ancestors[node.step]:
            raise KeyError(f"{node.step} reads the outputs of {step}, which it does not require")
        other = Node(step, tenant if self.graph.steps[step].scope is Scope.TENANT else None)
        if self.order.goal is Goal.ABSENT:
            raise KeyError(f"{node} reads the outputs of {other}, which on the way down ends later")
        if step in self.order.skip:
            reason = self.order.skip[step]
            raise errors.StepError(f"It needs the outputs of step {step}, left out: {reason}.")
        if other not in self._outputs:
            raise KeyError(f"{node} reads the outputs of {other}, which has not succeeded")
        outputs = self._outputs[other]
        if outputs is None:
            raise OutputsUnknown(step)
        return outputs

    def _progress_of(self, node: Node) -> Callable[[str], None]:
        def progress(text: str) -> None:
            self.order.reporter.progress(node, self.order.programs.mask(text))

        return progress


def _decide(step: Any, context: Context[Any]) -> Change | NoChange | Unknown:
    try:
        observed = step.observe(context)
        planned = observed if isinstance(observed, Unknown) else step.plan(context, observed)
    except OutputsUnknown as error:
        return Unknown(error.step)
    if not isinstance(planned, (Change, NoChange, Unknown)):
        raise TypeError(f"plan returned {planned!r}, which is neither Change nor NoChange")
    return planned


def _outputs(returned: Any) -> Outputs:
    """What a step returned, if it can be handed on and shown."""
    if not isinstance(returned, Mapping):
        raise TypeError(f"outputs must be a mapping, not {returned!r}")
    json.dumps(dict(returned))
    return returned
