"""The wiring of a run: spec, runtime, reporter, engine, summary."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.config import load, specs
from airflow_platform.engine import run, step
from airflow_platform.engine.order import Order
from airflow_platform.engine.report import Outcome
from airflow_platform.reporting import document, summary
from airflow_platform.runtimes import choosing as runtimes
from airflow_platform.runtimes import runtime as contract
from airflow_platform.steps import becoming_healthy
from airflow_platform.tasks import declaring, flags, wiring

if TYPE_CHECKING:
    from airflow_platform.engine.report import Report, StepReport

RESTARTED = ("components", "restart", "smoke")
"""Steps that may be pending for a tenant that is merely unhealthy, as long as no component is redefined."""


@dataclasses.dataclass(frozen=True)
class Call:
    """What a command line says, apart from what it is about."""

    task: str
    environment: str
    tenants: tuple[str, ...] = ()
    plan: bool = False
    json: bool = False
    tracebacks: bool = False
    lock_timeout: str = flags.LOCK_SECONDS

    def spec(self) -> specs.Environment:
        """The environment that it names."""
        return load.environment(self.environment)


def up(call: Call, *, restart: tuple[str, ...] = ()) -> int:
    """Bring tenants up; the exit code."""
    spec = call.spec()
    runtime = runtimes.of(spec)
    order = _order(call, spec, runtime, load.select(spec, call.tenants), step.Goal.PRESENT)
    steps = runtime.steps(contract.Options(restart=restart))
    report = run.execute(dataclasses.replace(order, steps=steps, reached="healthy"))
    left, unsure = _left_running(spec, runtime) if call.plan and not call.tenants else ([], "")
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
    return _tell(call, report, _next_commands(report), notes=notes)


def _left_running(spec: specs.Environment, runtime: contract.Runtime) -> tuple[list[str], str]:
    """Tenants that run and are declared nowhere; or why nobody knows, which must not cost the report."""
    try:
        return contract.left_running(spec, runtime), ""
    except errors.PlatformError as error:
        return [], error.message


def restarted(call: Call, components: tuple[str, ...]) -> int:
    """Restart components, unless that would bring in what was never asked for; the exit code.

    Raises:
        PreflightError: Something else than a restart is pending.
    """
    report = planned(call)
    if report.exit_code in errors.INTERRUPTED:
        return finish(call, report)
    if pending := _pending_besides_restart(report):
        raise errors.PreflightError(
            "A restart would also change what tenant-up has not brought in yet.",
            pending,
            hint=f"Run `{wiring.DOOR} tenant-up --env={call.environment}` first, or instead.",
        )
    return up(call, restart=components)


def _pending_besides_restart(report: Report) -> list[errors.Fault]:
    """What is to be known after another step follows from that one, which is pending itself."""
    found = [(report.environment or "", each) for each in report.steps]
    found += [(tenant.name, each) for tenant in report.tenants for each in tenant.steps]
    return [
        errors.Fault(f"{owner}/{each.name}", f"Pending: {each.reason}{_redefined(each)}.", "")
        for owner, each in found
        if each.status is Outcome.PENDING
        and (each.name not in RESTARTED or each.details.get(becoming_healthy.REDEFINED))
        and not each.reason.startswith("known after")
    ]


def _redefined(pending: StepReport) -> str:
    """Why its restart is more than a restart, for people; "" when it is not."""
    names = pending.details.get(becoming_healthy.REDEFINED)
    return f" (declared otherwise now: {', '.join(map(str, names))})" if isinstance(names, Sequence) else ""


def down(call: Call, *, tenants: Sequence[specs.Tenant], delete_data: bool) -> int:
    """Take tenants down; the exit code."""
    spec = call.spec()
    runtime = runtimes.of(spec)
    order = _order(call, spec, runtime, tenants, step.Goal.ABSENT)
    steps = runtime.steps(contract.Options())
    reason = "data is kept; --delete-data deletes it"
    kept = {} if delete_data else {each.name: reason for each in steps if each.keeps_data}
    reached = "deleted" if delete_data else "stopped"
    report = run.execute(dataclasses.replace(order, steps=steps, reached=reached, skip=kept))
    again = f"{wiring.DOOR} tenant-up --env={spec.name}"
    return _tell(
        call, report, () if delete_data or report.exit_code else (f"{again}   # up again, with its data",)
    )


def examined(call: Call) -> tuple[Report, contract.Runtime]:
    """Every check of bringing tenants up, and nothing else."""
    spec = call.spec()
    runtime = runtimes.of(spec)
    order = _order(call, spec, runtime, load.select(spec, call.tenants), step.Goal.PRESENT)
    steps = runtime.steps(contract.Options())
    return run.examine(dataclasses.replace(order, steps=steps)), runtime


def planned(call: Call) -> Report:
    """What bringing tenants up would change; nobody is told."""
    spec = call.spec()
    runtime = runtimes.of(spec)
    order = _order(call, spec, runtime, load.select(spec, call.tenants), step.Goal.PRESENT)
    steps = runtime.steps(contract.Options())
    silent = dataclasses.replace(order, steps=steps, planning=True, reporter=_Silent(), reached="healthy")
    return run.execute(silent)


def finish(call: Call, report: Report) -> int:
    """Tell a report as the call asks for it; the exit code."""
    return _tell(call, report, ())


def _order(
    call: Call,
    spec: specs.Environment,
    runtime: contract.Runtime,
    tenants: Sequence[specs.Tenant],
    goal: step.Goal,
) -> Order[specs.Environment, specs.Tenant]:
    reporter = wiring.reporter(json=call.json)
    runner = wiring.runner(spec.name)
    return Order(
        task=call.task,
        environment=spec,
        tenants=tenants,
        goal=goal,
        steps=(),
        store=runtime.store(runner, lock_timeout=declaring.seconds(call.lock_timeout), on_note=reporter.note),
        reporter=reporter,
        programs=runner,
        planning=call.plan,
        workers=max(4, 2 * (os.cpu_count() or 1)),
    )


def _tell(call: Call, report: Report, next_commands: Sequence[str], *, notes: Sequence[str] = ()) -> int:
    if call.json:
        document.write(report)
    summary.show(report, notes=notes, next_commands=next_commands, tracebacks=call.tracebacks)
    return report.exit_code


def _next_commands(report: Report) -> tuple[str, ...]:
    if report.exit_code:
        return ()
    where = f"--env={report.environment}"
    first = report.tenants[0].name if report.tenants else "TENANT"
    return (
        f"{wiring.DOOR} tenant-status {where}",
        f"{wiring.DOOR} tenant-logs {where} --tenant={first} --component=scheduler --follow",
        f'{wiring.DOOR} airflow {where} --tenant={first} --args="dags list"',
        f"{wiring.DOOR} tenant-down {where}",
    )


class _Silent:
    """A reporter for runs whose report is an answer, not news."""

    def __getattr__(self, verb: str) -> Any:
        return lambda *arguments: None
