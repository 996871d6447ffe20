"""The walk over the graph: independent nodes at the same time, in a bounded pool."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping
from typing import Any

from airflow_platform.engine.graph import Graph
from airflow_platform.engine.order import Order
from airflow_platform.engine.report import Node, Outcome, StepReport

TICK = 0.1
"""Seconds; how often the main thread wakes so that a signal's handler can run."""


def walk(
    graph: Graph,
    perform: Callable[[Node, frozenset[str]], StepReport],
    ruled_out: Mapping[Node, StepReport],
    *,
    order: Order[Any, Any],
) -> dict[Node, StepReport]:
    """Perform every node once all that it needs has ended.

    Args:
        perform: Called in a worker thread with a node and the tenants that a fan-in receives.
        ruled_out: Results that are settled before the walk begins.

    Returns:
        A result for every node of the graph.
    """
    results = dict(ruled_out)
    for node, result in results.items():
        order.reporter.ended(node, result)
    waiting = [node for node in graph.nodes if node not in results]
    running: dict[concurrent.futures.Future[StepReport], Node] = {}
    with concurrent.futures.ThreadPoolExecutor(order.workers, "step") as pool:
        while waiting or running:
            for node in [node for node in waiting if graph.needs[node] <= results.keys()]:
                waiting.remove(node)
                tenants, reason = _admit(graph, node, results, order)
                if reason:
                    results[node] = StepReport(node.step, Outcome.BLOCKED, reason)
                    order.reporter.ended(node, results[node])
                else:
                    running[pool.submit(perform, node, tenants)] = node
            ended, _ = concurrent.futures.wait(running, TICK, concurrent.futures.FIRST_COMPLETED)
            for future in ended:
                node = running.pop(future)
                results[node] = future.result()
                order.reporter.ended(node, results[node])
    return results


def _admit(
    graph: Graph, node: Node, results: Mapping[Node, StepReport], order: Order[Any, Any]
) -> tuple[frozenset[str], str]:
    """The tenants that a node works for, and why it must not begin ("" when it may)."""
    everyone = frozenset(tenant.name for tenant in order.tenants)
    if order.programs.interruption.requested:
        return everyone, "the run was interrupted"
    needs = [need for need in graph.nodes if need in graph.needs[node]]
    bad = [need for need in needs if not results[need].status.good]
    if not bad:
        return everyone, ""
    lost = {need.tenant for need in bad}
    succeeded = everyone.difference(tenant for tenant in lost if tenant is not None)
    if graph.gathers(node) and None not in lost and succeeded:
        return succeeded, ""
    cause = next((need for need in bad if results[need].status is not Outcome.BLOCKED), bad[0])
    return succeeded, f"{cause} {results[cause].status.value}"
