"""Checks alone: everything that would stop a run, found without beginning one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.engine import checking, graph, perform, signals
from airflow_platform.engine.report import Node, Outcome, Report, StepReport, TenantReport, exit_code_of
from airflow_platform.engine.run import Order


def examine(order: Order[Any, Any]) -> Report:
    """Run the checks of an order; locks nothing, changes nothing, and names every fault at once."""
    arranged = graph.build(order.steps, [tenant.name for tenant in order.tenants], order.goal)
    with (
        signals.handled(order.programs.interruption),
        tempfile.TemporaryDirectory(prefix="airflow-platform-check-") as directory,
    ):
        said_no = checking.check(perform.Performer(order, arranged, None, Path(directory)))
    order.programs.interruption.raise_if_requested()
    refused = _refused(order)
    results = list(said_no.values())
    broken = {node: result for node, result in said_no.items() if result.status is Outcome.BROKEN}
    return Report(
        task=order.task,
        environment=order.environment.name,
        status="not ready" if said_no or refused else "ready",
        exit_code=int(exit_code_of(results, checks_failed=bool(said_no or refused))),
        faults=(*refused, *(fault for result in results for fault in result.faults)),
        steps=_of(broken, None),
        tenants=tuple(
            TenantReport(name, "broken", _of(broken, name), {})
            for name in dict.fromkeys(node.tenant for node in broken)
            if name is not None
        ),
    )


def _refused(order: Order[Any, Any]) -> tuple[errors.Fault, ...]:
    """What keeps the state from being used at all."""
    try:
        order.store.check()
    except errors.PreflightError as error:
        return error.faults()
    return ()


def _of(results: Mapping[Node, StepReport], tenant: str | None) -> tuple[StepReport, ...]:
    return tuple(result for node, result in results.items() if node.tenant == tenant)
