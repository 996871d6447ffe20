"""Runs steps on the real engine, with doubles around them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform.engine import run
from airflow_platform.engine.order import Order
from airflow_platform.engine.report import Report, Reporter
from airflow_platform.engine.step import Goal, Named, Step
from airflow_platform.engine.store import Store
from airflow_platform.programs import programs
from airflow_platform.testing.reporters import RecordingReporter
from airflow_platform.testing.stores import MemoryStore, RefusingStore


@dataclass(frozen=True)
class Thing:
    """An environment or a tenant that has a name and nothing else."""

    name: str


def run_steps(
    *steps: Step,
    environment: Named | None = None,
    tenants: Sequence[Named | str] = ("a",),
    goal: Goal = Goal.PRESENT,
    planning: bool = False,
    skip: Mapping[str, str] | None = None,
    workers: int = 4,
    store: Store | None = None,
    reporter: Reporter | None = None,
    with_programs: programs.Programs | None = None,
) -> Report:
    """Run steps to their end and return the report.

    Args:
        steps: What to run.
        environment: A spec, such as `testing.specs.environment()`; by default a thing called "test".
        tenants: Specs, such as `testing.specs.tenant("a")`, or names.
        goal: Where to go.
        planning: As `--plan` has it. Without a `store`, asking for a lock or a journal is refused.
        skip: Steps to leave out, each with the reason.
        workers: Steps that may work at the same time.
        store: To continue an earlier run's history; by default a new one in memory.
        reporter: By default a `RecordingReporter`, which is verified.
        with_programs: What `context.programs` is; by default the real thing.
    """
    recording = RecordingReporter()
    with tempfile.TemporaryDirectory() as directory:
        order: Order[Any, Any] = Order(
            task="test",
            environment=environment or Thing("test"),
            tenants=[Thing(each) if isinstance(each, str) else each for each in tenants],
            goal=goal,
            steps=steps,
            store=store or (RefusingStore() if planning else MemoryStore(Path(directory))),
            reporter=reporter or recording,
            programs=with_programs or programs.Programs(),
            planning=planning,
            skip=skip or {},
            workers=workers,
        )
        report = run.execute(order)
    if reporter is None:
        recording.verify()
    return report


def outcomes(report: Report) -> dict[str, str]:
    """Each step's outcome: `{"packages": "changed", "a/home": "failed"}`."""
    found = {step.name: step.status.value for step in report.steps}
    for tenant in report.tenants:
        found |= {f"{tenant.name}/{step.name}": step.status.value for step in tenant.steps}
    return found
