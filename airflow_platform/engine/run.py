"""One run: arrange, lock, check, walk, report. Or its checks alone."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.engine import checking, graph, local_store, perform, signals, walk
from airflow_platform.engine.order import Order
from airflow_platform.engine.report import (
    Node,
    OneAtATime,
    Outcome,
    Report,
    StepReport,
    TenantReport,
    exit_code_of,
)
from airflow_platform.engine.step import EnvironmentT, Goal, TenantT
from airflow_platform.engine.store import Journal


def execute(order: Order[EnvironmentT, TenantT]) -> Report:
    """Run an order to its end and report; what the work says is in the report, not raised.

    Raises:
        ConfigurationError: The steps do not fit together.
        PreflightError: A newer version of the toolkit has written the state.
        BusyError: Somebody else holds the lock of a selected tenant.
        StateError: Lock or journal cannot be written.
        Interrupted: A signal came before the first step.
    """
    order = dataclasses.replace(order, reporter=OneAtATime(order.reporter))
    names = [tenant.name for tenant in order.tenants]
    arranged = graph.build(order.steps, names, order.goal)
    with signals.handled(order.programs.interruption), _opened(order, names) as opened:
        order.reporter.begin(arranged.nodes, opened.journal.expected() if opened.journal else {})
        try:
            performer = perform.Performer(order, arranged, opened)
            said_no = checking.check(performer)
            ruled_out = checking.rule_out(performer, said_no)
            results = walk.walk(arranged, performer.perform, ruled_out, order=order)
            report = _summarise(order, arranged, results, checks_failed=bool(said_no))
            _end_run(order, opened.journal, report.exit_code)
        finally:
            order.reporter.end()
    return report


def examine(order: Order[Any, Any]) -> Report:
    """Run the checks of an order and nothing else: lock nothing, change nothing, name every fault at once."""
    arranged = graph.build(order.steps, [tenant.name for tenant in order.tenants], order.goal)
    with signals.handled(order.programs.interruption), _temporary_artifacts() as artifacts:
        said_no = checking.check(perform.Performer(order, arranged, perform.Opened("check", artifacts)))
    order.programs.interruption.raise_if_requested()
    refused: tuple[errors.Fault, ...] = ()
    try:
        order.store.check()
    except errors.PreflightError as error:
        refused = error.faults()
    broken = {node: result for node, result in said_no.items() if result.status is Outcome.BROKEN}
    nodes = [node for node in arranged.nodes if node in broken]
    return Report(
        task=order.task,
        environment=order.environment.name,
        status="not ready" if said_no or refused else "ready",
        exit_code=int(exit_code_of([*said_no.values()], checks_failed=bool(said_no or refused))),
        faults=(*refused, *(fault for result in said_no.values() for fault in result.faults)),
        steps=_steps_of(nodes, broken, None),
        tenants=tuple(
            TenantReport(name, "broken", _steps_of(nodes, broken, name), {})
            for name in dict.fromkeys(node.tenant for node in nodes)
            if name is not None
        ),
    )


def _end_run(order: Order[Any, Any], opened: Journal | None, exit_code: int) -> None:
    """Close the run; when that fails only history is lost, so the report still stands."""
    if opened is not None:
        try:
            opened.end_run(exit_code)
        except errors.StateError as error:
            order.reporter.note(str(error))


@contextlib.contextmanager
def _opened(order: Order[EnvironmentT, TenantT], names: Sequence[str]) -> Iterator[perform.Opened]:
    """Locks, journal and artifacts; with `--plan` none but artifacts in a temporary directory."""
    if order.planning:
        order.store.check()
        with _temporary_artifacts() as artifacts:
            yield perform.Opened("plan", artifacts)
        return
    locked = order.store.tenant_locks(names, leaving=order.goal is Goal.ABSENT)
    with locked as tenants, contextlib.closing(order.store.open_journal()) as opened:
        run_id = opened.begin_run(order.task, names)
        for left in opened.unfinished():
            order.reporter.note(
                f"Run {left.run} was ended in the middle of {left.node} (to {left.summary}); "
                "what it left is observed and taken up."
            )
        yield perform.Opened(run_id, order.store.artifacts(run_id), opened, tenants)


@contextlib.contextmanager
def _temporary_artifacts() -> Iterator[local_store.LocalArtifacts]:
    try:
        made = tempfile.TemporaryDirectory(prefix="airflow-platform-plan-", ignore_cleanup_errors=True)
    except OSError as error:
        raise errors.StateError.of(Path("the temporary directory"), error) from error
    with made as directory:
        yield local_store.LocalArtifacts(Path(directory))


def _summarise(
    order: Order[EnvironmentT, TenantT],
    arranged: graph.Graph,
    results: Mapping[Node, StepReport],
    *,
    checks_failed: bool,
) -> Report:
    everything = [results[node] for node in arranged.nodes]
    code = int(exit_code_of(everything, checks_failed=checks_failed))
    faults = [fault for result in everything for fault in result.faults]
    status = _status(order, everything)
    if order.programs.interruption.requested:
        error = order.programs.interruption.error()
        code, status = error.code, "interrupted"
        faults.append(errors.Fault(order.task, error.message, error.hint))
    mine = functools.partial(_steps_of, arranged.nodes, results)
    return Report(
        task=order.task,
        environment=order.environment.name,
        status=status,
        exit_code=code,
        faults=tuple(faults),
        steps=mine(None),
        tenants=tuple(
            TenantReport(
                tenant.name,
                _status(order, mine(tenant.name)),
                mine(tenant.name),
                _published(arranged, mine(tenant.name)),
            )
            for tenant in order.tenants
        ),
    )


def _steps_of(
    nodes: Sequence[Node], results: Mapping[Node, StepReport], tenant: str | None
) -> tuple[StepReport, ...]:
    return tuple(results[node] for node in nodes if node.tenant == tenant)


def _status(order: Order[Any, Any], results: Sequence[StepReport]) -> str:
    """The worst outcome's word, or the word for being where it should be."""
    found = {result.status for result in results}
    for outcome in (Outcome.BROKEN, Outcome.FAILED, Outcome.BLOCKED, Outcome.PENDING):
        if outcome in found:
            return "interrupted" if order.programs.interruption.requested else str(outcome.value)
    return order.reached


def _published(arranged: graph.Graph, results: Sequence[StepReport]) -> dict[str, object]:
    return {
        key: result.outputs[key]
        for result in results
        for key in arranged.steps[result.name].publishes
        if key in result.outputs
    }
