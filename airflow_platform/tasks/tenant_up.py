"""`tenant-up` and `tenant-restart`, and the same work as a plan or as checks alone."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.config import load, specs
from airflow_platform.engine import run, step
from airflow_platform.engine.report import Outcome
from airflow_platform.runtimes import contract
from airflow_platform.runtimes import runtime_table as runtimes
from airflow_platform.tasks.command_line import DOOR, CommandLine
from airflow_platform.tenants import startup

if TYPE_CHECKING:
    from airflow_platform.engine.order import Order
    from airflow_platform.engine.report import Report, StepReport

WORKERS = max(4, 2 * (os.cpu_count() or 1))
"""Steps that work at the same time; most of them wait for programs."""

RESTARTED = ("components", "restart", "smoke")
"""Steps that may be pending for a tenant that is merely unhealthy, as long as no component is redefined."""


def up(line: CommandLine, *, restart: tuple[str, ...] = ()) -> int:
    """Bring tenants up; the exit code."""
    order, runtime = _order(line, restart=restart)
    report = run.execute(order)
    left, unsure = _left_running(order.environment, runtime) if line.plan and not line.tenants else ([], "")
    if left or unsure:
        report = dataclasses.replace(report, data={"running_undeclared": None if unsure else left})
    notes = [runtime.isolation()] if report.exit_code == 0 else []
    notes += [
        f"{len(names)} under dags/ not committed, so not served: {', '.join(names)}."
        for each in report.steps
        if (names := each.outputs.get("uncommitted"))
    ]
    notes += [f"Tenant {name} runs, but is not declared; tenant-down stops it, too." for name in left]
    notes += [f"Which tenants run and are not declared is not known: {unsure}"] if unsure else []
    return line.finish(report, notes=notes, next_commands=_next_commands(report))


def restart(line: CommandLine, chosen: Sequence[str]) -> int:
    """Restart components, all by default, unless that would bring in what tenant-up has not; the exit code.

    Raises:
        UsageError: There is no such component.
        PreflightError: Something else than a restart is pending.
    """
    known = runtimes.of(line.spec()).component_names()
    contract.require_component(chosen, known)
    report = planned(line)
    if report.exit_code in errors.INTERRUPTED:
        return line.finish(report)
    if pending := _pending_besides_restart(report):
        raise errors.PreflightError(
            "A restart would also change what tenant-up has not brought in yet.",
            pending,
            hint=f"Run `{DOOR} tenant-up --env={line.environment}` first, or instead.",
        )
    return up(line, restart=tuple(chosen) or known)


def examined(line: CommandLine) -> tuple[Report, contract.Runtime]:
    """Run the checks of bringing tenants up, and nothing else."""
    order, runtime = _order(line)
    return run.examine(order), runtime


def planned(line: CommandLine) -> Report:
    """Plan what bringing tenants up would change, without showing it."""
    order, _ = _order(line)
    return run.execute(dataclasses.replace(order, planning=True, reporter=_Silent()))


def _order(
    line: CommandLine, *, restart: tuple[str, ...] = ()
) -> tuple[Order[specs.Environment, specs.Tenant], contract.Runtime]:
    spec = line.spec()
    runtime = runtimes.of(spec)
    store = runtime.store(line.runner, lock_timeout=line.lock_seconds, on_note=line.reporter.note)
    order = line.order(
        spec,
        load.select(spec, line.tenants),
        runtime.steps(contract.Options(restart=restart)),
        store,
        goal=step.Goal.PRESENT,
        reached="healthy",
        workers=WORKERS,
    )
    return order, runtime


def _left_running(spec: specs.Environment, runtime: contract.Runtime) -> tuple[list[str], str]:
    """Tenants that run and are declared nowhere; or why nobody knows, which must not cost the report."""
    try:
        return contract.left_running(spec, runtime), ""
    except errors.PlatformError as error:
        return [], error.message


def _pending_besides_restart(report: Report) -> list[errors.Fault]:
    """What is to be known after another step follows from that one, which is pending itself."""
    found = [(report.environment or "", each) for each in report.steps]
    found += [(tenant.name, each) for tenant in report.tenants for each in tenant.steps]
    return [
        errors.Fault(f"{owner}/{each.name}", f"Pending: {each.reason}{_redefined(each)}.", "")
        for owner, each in found
        if each.status is Outcome.PENDING
        and (each.name not in RESTARTED or each.details.get(startup.REDEFINED))
        and not each.reason.startswith("known after")
    ]


def _redefined(pending: StepReport) -> str:
    """Why its restart is more than a restart, for people; "" when it is not."""
    names = pending.details.get(startup.REDEFINED)
    return f" (declared otherwise now: {', '.join(map(str, names))})" if isinstance(names, Sequence) else ""


def _next_commands(report: Report) -> tuple[str, ...]:
    if report.exit_code:
        return ()
    where = f"--env={report.environment}"
    first = report.tenants[0].name if report.tenants else "TENANT"
    return (
        f"{DOOR} tenant-status {where}",
        f"{DOOR} tenant-logs {where} --tenant={first} --component=scheduler --follow",
        f'{DOOR} airflow {where} --tenant={first} --args="dags list"',
        f"{DOOR} tenant-down {where}",
    )


class _Silent:
    """A reporter for runs whose report is an answer, not news."""

    def __getattr__(self, verb: str) -> Any:
        return lambda *arguments: None
