"""What happens to one node: observe, plan, write down, apply, write down."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.engine import journal
from airflow_platform.engine.graph import Graph
from airflow_platform.engine.report import Node, Outcome, StepReport
from airflow_platform.engine.step import (
    Change,
    Context,
    EnvironmentContext,
    NoChange,
    Outputs,
    OutputsUnknown,
    Scope,
    TenantContext,
    Unknown,
)

if TYPE_CHECKING:
    from airflow_platform.engine.run import Order


class Performer:
    """Performs the nodes of one run; called from several threads."""

    def __init__(
        self, order: Order[Any, Any], graph: Graph, opened: journal.Journal | None, directory: Path
    ) -> None:
        self.order = order
        self.graph = graph
        self._journal = opened
        self._directory = directory
        self._tenants = {tenant.name: tenant for tenant in order.tenants}
        self._outputs: dict[Node, Outputs | None] = {}

    def perform(self, node: Node, tenants: frozenset[str]) -> StepReport:
        """Bring one node to the goal; whatever happens becomes a result."""
        began = time.monotonic()
        self.order.reporter.started(node)
        lock = self.order.store.environment_lock if self._locks(node) else contextlib.nullcontext
        try:
            with lock():
                outcome, reason, outputs = self._advance(node, tenants, began)
            self._outputs[node] = None if outcome is Outcome.PENDING else outputs
            return StepReport(node.step, outcome, reason, time.monotonic() - began, outputs)
        except errors.PlatformError as error:
            faults = () if isinstance(error, errors.Interrupted) else error.faults()
            named = tuple(errors.Fault(str(node), fault.cause, fault.remedy) for fault in faults)
            return self._result(node, Outcome.FAILED, str(error.message), began, named)
        except Exception as error:
            fault = errors.Fault(str(node), f"This is a defect: {error!r}.", "Report it; --traceback shows where.")
            return self._result(node, Outcome.BROKEN, repr(error), began, (fault,))

    def context(self, node: Node, tenants: frozenset[str] | None = None) -> Context[Any]:
        """All that a node's step may know."""
        common = {
            "environment": self.order.environment,
            "goal": self.order.goal,
            "run_id": self._directory.name,
            "run_directory": self._directory,
            "programs": self.order.programs,
            "progress": self._progress_of(node),
            "clock": self.order.clock,
            "find_outputs": lambda step: self._find(node, step, node.tenant),
        }
        if node.tenant is not None:
            return TenantContext(**common, tenant=self._tenants[node.tenant])
        chosen = tuple(
            tenant for tenant in self.order.tenants if tenants is None or tenant.name in tenants
        )
        return EnvironmentContext(
            **common, tenants=chosen, find_tenant_outputs=lambda step, tenant: self._find(node, step, tenant)
        )

    def _advance(self, node: Node, tenants: frozenset[str], began: float) -> tuple[Outcome, str, Outputs]:
        step: Any = self.graph.step(node)
        context = self.context(node, tenants)
        context.programs.interruption.raise_if_requested()
        try:
            observed = step.observe(context)
            planned = observed if isinstance(observed, Unknown) else step.plan(context, observed)
        except OutputsUnknown as error:
            planned = Unknown(error.step)
        if isinstance(planned, NoChange):
            return Outcome.UNCHANGED, planned.reason, planned.outputs
        if isinstance(planned, Unknown):
            if not self.order.planning:
                raise errors.StepError(f"It still asks for step {planned.until}, which has run.")
            return Outcome.PENDING, f"known after {planned.until} has run", {}
        if self.order.planning:
            return Outcome.PENDING, planned.summary, {}
        return Outcome.CHANGED, planned.summary, self._apply(node, step, context, planned, began)

    def _apply(
        self, node: Node, step: Any, context: Context[Any], change: Change, began: float
    ) -> Outputs:
        assert self._journal is not None
        json.dumps(change.to_json())
        self._verify_artifacts(change)
        self._journal.begun(node, change)
        try:
            outputs: Outputs = step.apply(context, change)
        except BaseException as error:
            outcome = Outcome.FAILED if isinstance(error, errors.PlatformError) else Outcome.BROKEN
            with contextlib.suppress(errors.StateError):  # The first error is the one to show.
                self._journal.ended(node, outcome, self.order.programs.mask(str(error)), time.monotonic() - began)
            raise
        self._journal.ended(node, Outcome.CHANGED, change.summary, time.monotonic() - began)
        return outputs

    def _verify_artifacts(self, change: Change) -> None:
        for name, expected in change.artifacts.items():
            found = hashlib.sha256((self._directory / name).read_bytes()).hexdigest()
            if found != expected:
                raise errors.StepError(
                    f"{name} is not the file that was planned with (SHA-256 {found}, planned {expected}).",
                    hint="Something else writes into the run's directory; run this again.",
                )

    def _find(self, node: Node, step: str, tenant: str | None) -> Outputs:
        if step not in self.graph.ancestors[node.step]:
            raise KeyError(f"{node.step} reads the outputs of {step}, which it does not require")
        scope = self.graph.steps[step].scope
        outputs = self._outputs.get(Node(step, tenant if scope is Scope.TENANT else None))
        if outputs is None:
            raise OutputsUnknown(step)
        return outputs

    def _result(
        self, node: Node, outcome: Outcome, reason: str, began: float, faults: tuple[errors.Fault, ...]
    ) -> StepReport:
        mask = self.order.programs.mask
        shown = tuple(errors.Fault(mask(f.thing), mask(f.cause), mask(f.remedy)) for f in faults)
        trace = mask(traceback.format_exc())
        return StepReport(node.step, outcome, mask(reason), time.monotonic() - began, {}, shown, trace)

    def _progress_of(self, node: Node) -> Callable[[str], None]:
        def progress(text: str) -> None:
            self.order.reporter.progress(node, self.order.programs.mask(text))

        return progress

    def _locks(self, node: Node) -> bool:
        return node.tenant is None and not self.order.planning

