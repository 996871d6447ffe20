"""Checks first: every fault of every step is found before the first change."""

from __future__ import annotations

import concurrent.futures
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_platform import errors
from airflow_platform.engine.report import Node, Outcome, StepReport

if TYPE_CHECKING:
    from airflow_platform.engine.perform import Performer


@dataclass(frozen=True)
class Found:
    """What the check of one node said."""

    faults: tuple[errors.Fault, ...]
    traceback: str = ""
    """Of a check that is itself broken."""

    def report(self, node: Node) -> StepReport:
        """The node's result: blocked by its own faults, or broken."""
        outcome = Outcome.BROKEN if self.traceback else Outcome.BLOCKED
        reason = "; ".join(f"{fault.thing}: {fault.cause}" for fault in self.faults)
        return StepReport(node.step, outcome, reason, faults=self.faults, traceback=self.traceback)


def check(performer: Performer, workers: int) -> dict[Node, Found]:
    """Run all checks at the same time; returns the nodes that have faults, in the graph's order."""
    nodes = [node for node in performer.graph.nodes if node.step not in performer.order.skip]
    with concurrent.futures.ThreadPoolExecutor(workers, "check") as pool:
        results = list(pool.map(lambda node: _check(performer, node), nodes))
    return {node: found for node, found in zip(nodes, results, strict=True) if found.faults}


def _check(performer: Performer, node: Node) -> Found:
    step = performer.graph.step(node)
    try:
        return Found(tuple(step.check(performer.context(node))))  # type: ignore[attr-defined]
    except errors.Interrupted:
        return Found(())
    except errors.PlatformError as error:
        return Found(error.faults())
    except Exception as error:  # A plugin's check may raise anything.
        fault = errors.Fault(str(node), f"Its check is broken: {error!r}.", "Report this defect; --traceback shows it.")
        return Found((fault,), traceback.format_exc())
