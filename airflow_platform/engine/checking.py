"""Checks first: every fault of every step is found before the first change."""

from __future__ import annotations

import concurrent.futures
import traceback
from collections.abc import Mapping
from typing import Any

from airflow_platform import errors
from airflow_platform.engine.perform import Performer
from airflow_platform.engine.report import Node, Outcome, StepReport, faults_of, masked, refusal_of
from airflow_platform.engine.step import Goal


def check(performer: Performer) -> dict[Node, StepReport]:
    """Run all checks at the same time.

    Returns:
        The results of the nodes whose check said no (blocked) or is itself a defect (broken), in
        the graph's order.
    """
    order = performer.order
    nodes = [
        node for node in performer.graph.nodes if node.step not in order.skip and not _undone(performer, node)
    ]
    with concurrent.futures.ThreadPoolExecutor(order.workers, "check") as pool:
        results = list(pool.map(lambda node: _check(performer, node), nodes))
    return {
        node: masked(result, order.programs.mask)
        for node, result in zip(nodes, results, strict=True)
        if result is not None
    }


def rule_out(performer: Performer, said_no: Mapping[Node, StepReport]) -> dict[Node, StepReport]:
    """The nodes that are not even tried: skipped, undone by something else, or blocked by a check.

    A fault of the environment blocks everything, one of a tenant that tenant. When every selected
    tenant is blocked there is nobody left to work for, so nothing is begun either.
    """
    order = performer.order
    causes: dict[str | None, Node] = {}
    for node in said_no:
        causes.setdefault(node.tenant, node)
    first = causes.get(None)
    if first is None and order.tenants and all(each.name in causes for each in order.tenants):
        first = next(iter(causes.values()))
    results = {}
    for node in performer.graph.nodes:
        cause = causes.get(node.tenant) or first
        if node.step in order.skip:
            reason = order.skip[node.step]
            results[node] = StepReport(node.step, Outcome.SKIPPED, reason)
        elif undone_by := _undone(performer, node):
            results[node] = StepReport(node.step, Outcome.UNCHANGED, f"undone by {undone_by}")
        elif node in said_no:
            results[node] = said_no[node]
        elif cause is not None:
            results[node] = StepReport(node.step, Outcome.BLOCKED, f"the check of {cause} said no")
    return results


def _undone(performer: Performer, node: Node) -> str:
    """What takes away what the node's step made, on the way down; "" when it is asked itself."""
    return performer.graph.step(node).undone_by if performer.order.goal is Goal.ABSENT else ""


def _check(performer: Performer, node: Node) -> StepReport | None:
    step: Any = performer.graph.step(node)
    refusal = None
    try:
        faults = tuple(step.check(performer.context(node)))
    except errors.Interrupted:
        return None
    except errors.PlatformError as error:
        faults, refusal = faults_of(error, node), refusal_of(error)
    except BaseException as error:  # noqa: BLE001 - a plugin's check may raise anything.
        fault = errors.Fault(
            str(node), f"Its check is broken: {error!r}.", "Report this defect; --traceback shows it."
        )
        trace = traceback.format_exc()
        return StepReport(node.step, Outcome.BROKEN, repr(error), 0.0, {}, (fault,), trace)
    if not faults:
        return None
    reason = "; ".join(f"{fault.thing}: {fault.cause}" for fault in faults)
    return StepReport(node.step, Outcome.BLOCKED, reason, faults=faults, refusal=refusal)
