"""`build`: all images that have changed, in the local engine."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_platform import errors
from airflow_platform.config import built_images, load, paths, specs
from airflow_platform.engine import run, step
from airflow_platform.engine.order import Order
from airflow_platform.engine.report import Outcome
from airflow_platform.images import build_steps, registries
from airflow_platform.tasks.command_line import DOOR, CommandLine

WORKERS = 2
"""Images that are made at the same time: each keeps a core, and all of them the disk, busy."""


def build(line: CommandLine, *, pull: bool) -> int:
    """Build the images; the exit code."""
    made = build_steps.Images()
    store = made.store(line.runner, lock_timeout=line.lock_seconds, on_note=line.reporter.note)
    order: Order[Any, Any] = line.order(
        build_steps.AllImages(),
        (),
        made.build_steps(pull=pull),
        store,
        goal=step.Goal.PRESENT,
        reached="built",
        workers=WORKERS,
    )
    report = dataclasses.replace(run.execute(order), environment=None)
    recorded = built_images.read() if report.exit_code == 0 and not line.plan else None
    if recorded:
        data = {name: dataclasses.asdict(each) for name, each in recorded.images.items()}
        report = dataclasses.replace(
            report, data={"images": data, "record": str(paths.project().built_images)}
        )
    changed = any(each.status is Outcome.CHANGED for each in report.steps)
    return line.finish(report, next_commands=_next_commands() if recorded and changed else ())


def _next_commands() -> tuple[str, ...]:
    """What images are for, in the environments that there are; where they could go to several registries, none."""
    declared = load.suggested()
    run_here = [each.name for each in declared if each.runtime == "docker"]
    pushed_to = [each.name for each in declared if _has_registry(each)]
    commands = [f"{DOOR} tenant-up --env={name}" for name in run_here[:1]]
    return (*commands, *(f"{DOOR} push --env={name}" for name in pushed_to if len(pushed_to) == 1))


def _has_registry(spec: specs.Environment) -> bool:
    try:
        registries.address(spec)
    except errors.UsageError:
        return False
    return True
