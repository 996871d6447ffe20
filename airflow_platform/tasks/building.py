"""The wiring of runs that are about images: steps, store, reporter, engine, summary."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_platform import errors
from airflow_platform.config import built, load, specs
from airflow_platform.engine import run, step
from airflow_platform.engine.order import Order
from airflow_platform.engine.report import Outcome
from airflow_platform.reporting import document, summary
from airflow_platform.runtimes import images, registries
from airflow_platform.tasks import declaring, wiring

WORKERS = 2
"""Images that are made at the same time: each keeps a core, and all of them the disk, busy."""


@dataclasses.dataclass(frozen=True)
class Call:
    """What a command line says, apart from what it is about."""

    task: str
    plan: bool = False
    json: bool = False
    tracebacks: bool = False


def build(call: Call, *, pull: bool, lock_timeout: str) -> int:
    """Build the images; the exit code."""
    made = images.Images()
    reporter = wiring.reporter(json=call.json)
    runner = wiring.runner("images")
    order: Order[Any, Any] = Order(
        task=call.task,
        environment=images.Place(),
        tenants=(),
        goal=step.Goal.PRESENT,
        steps=made.build_steps(anew=pull),
        store=made.store(runner, lock_timeout=declaring.seconds(lock_timeout), on_note=reporter.note),
        reporter=reporter,
        programs=runner,
        reached="built",
        planning=call.plan,
        workers=WORKERS,
    )
    report = dataclasses.replace(run.execute(order), environment=None)
    recorded = built.read() if report.exit_code == 0 and not call.plan else None
    if recorded:
        data = {name: dataclasses.asdict(each) for name, each in recorded.images.items()}
        report = dataclasses.replace(report, data={"images": data, "record": str(built.RECORD)})
    if call.json:
        document.write(report)
    changed = any(each.status is Outcome.CHANGED for each in report.steps)
    next_commands = _next_commands() if recorded and changed else ()
    summary.show(report, notes=(), next_commands=next_commands, tracebacks=call.tracebacks)
    return report.exit_code


def _next_commands() -> tuple[str, ...]:
    """What images are for, in the environments that there are; where they could go to several registries, none."""
    declared = load.suggested()
    run_here = [each.name for each in declared if each.runtime == "docker"]
    pushed_to = [each.name for each in declared if _has_registry(each)]
    commands = [f"{wiring.DOOR} tenant-up --env={name}" for name in run_here[:1]]
    return (*commands, *(f"{wiring.DOOR} push --env={name}" for name in pushed_to if len(pushed_to) == 1))


def _has_registry(spec: specs.Environment) -> bool:
    try:
        registries.address(spec)
    except errors.UsageError:
        return False
    return True
