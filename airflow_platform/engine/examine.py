"""Checks alone: everything that would stop a run, found without beginning one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from airflow_platform.engine import checking, graph, perform, signals
from airflow_platform.engine.report import Report, exit_code_of
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
    results = list(said_no.values())
    return Report(
        task=order.task,
        environment=order.environment.name,
        status="not ready" if said_no else "ready",
        exit_code=int(exit_code_of(results, checks_failed=bool(said_no))),
        faults=tuple(fault for result in results for fault in result.faults),
    )
