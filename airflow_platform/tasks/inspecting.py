"""Looks into tenants: how they are, what their logs say, and Airflow's own CLI."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from airflow_platform import errors, programs
from airflow_platform.config import load
from airflow_platform.engine import signals
from airflow_platform.engine.report import Outcome, StepReport, TenantReport
from airflow_platform.reporting import document, output, summary, tables
from airflow_platform.runtimes import choosing as runtimes
from airflow_platform.runtimes import runtime as contract
from airflow_platform.tasks import running, selecting
from airflow_platform.tools import logs as log_files

_LOOK_AGAIN = 0.3
"""Seconds between two looks for new lines: soon enough for who reads along."""


class _Abandoned(Exception):
    """Nobody reads our answer any more."""


def status(call: running.Call) -> int:
    """Answer `tenant-status`: 0 healthy and as declared, 1 not healthy, 3 different from the spec."""
    spec = call.spec()
    runtime = runtimes.of(spec)
    report = running.planned(call)
    if report.exit_code in errors.INTERRUPTED:
        return running.finish(call, report)
    rows = [_row(runtime, tenant, report.steps) for tenant in report.tenants]
    unhealthy = any(row[1] != "healthy" for row in rows)
    left = [] if call.tenants else contract.left_running(spec, runtime)
    rows += [(name, "running, not declared", "", _count(runtime, name), "", "not declared") for name in left]
    code = 1 if unhealthy else 3 if report.exit_code or left else 0
    headings = ("tenant", "status", "url", "components", "dag commit", "differs")
    tenants = tuple(
        TenantReport(tenant.name, str(row[1]), tenant.steps, tenant.outputs)
        for tenant, row in zip(report.tenants, rows, strict=False)
    )
    words = {0: "healthy", 1: "not healthy", 3: "differs"}
    answer = dataclasses.replace(
        report, status=words[code], exit_code=code, tenants=tenants, data=tables.objects(headings, rows)
    )
    if call.json:
        document.write(answer)
    else:
        tables.write(headings, rows)
    if call.tracebacks:
        summary.show_tracebacks(answer)
    return code


def logs(env: str, tenant: str, chosen: Sequence[str], *, lines: str, follow: bool) -> int:
    """Answer `tenant-logs`."""
    spec = load.environment(env)
    runtime = runtimes.of(spec)
    if tenant not in runtime.tenants_found():
        load.select(spec, (tenant,))
        raise errors.UsageError(f"Tenant {tenant} was never up.", hint=f"Run: inv tenant-up --env={env}")
    found = runtime.log_names(tenant)
    selecting.require_known(chosen, found)
    wanted = tuple(name for name in found if not chosen or name in chosen)
    if not lines.isdecimal():
        raise errors.UsageError(f"--lines={lines} is no number of lines.", hint="For example --lines=100.")
    for line in runtime.last_lines(tenant, wanted, int(lines)):
        if not _print_line(line, wanted):
            return 0
    return _follow(runtime, tenant, wanted) if follow else 0


def _follow(runtime: contract.Runtime, tenant: str, wanted: Sequence[str]) -> int:
    """Print new lines until nobody reads them, or a signal comes: how one ends this, and no failure."""
    interruption = programs.Interruption()

    def wait() -> None:
        interruption.sleep(_LOOK_AGAIN)
        if output.is_abandoned():
            raise _Abandoned

    with signals.handled(interruption):
        try:
            for line in runtime.new_lines(tenant, wanted, wait):
                if not _print_line(line, wanted):
                    break
        except errors.Interrupted as ended:
            return ended.code
        except _Abandoned:
            pass
    return 0


def airflow(env: str, tenant: str, arguments: str) -> int:
    """Run `airflow`."""
    spec = load.environment(env)
    runtime = runtimes.of(spec)
    (chosen,) = load.select(spec, (tenant,))
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise errors.UsageError(
            f"--args cannot be split into words: {error}.", hint="Close the quotes."
        ) from None
    return runtime.run_airflow(chosen, words)


def _row(
    runtime: contract.Runtime, tenant: TenantReport, shared: Sequence[StepReport]
) -> tuple[str, str, str, str, str, str]:
    """`healthy` is what the tenant says of itself; `differs` is what tenant-up would change."""
    unwell = _unwell(runtime, tenant.name)
    state = "healthy"
    if unwell:
        state = f"unhealthy: {unwell}" if runtime.is_running(tenant.name) else "stopped"
    pending = [each for each in (*shared, *tenant.steps) if each.status is not Outcome.UNCHANGED]
    known = [each for each in pending if not each.reason.startswith("known after")]
    differs = "; ".join(f"{each.name}: {each.reason}" for each in known[:3]) if state != "stopped" else ""
    commit = _commit(runtime, tenant.name, state) if state != "stopped" else ""
    return (tenant.name, state, runtime.url(tenant.name), _count(runtime, tenant.name), commit, differs)


def _unwell(runtime: contract.Runtime, tenant: str) -> str:
    """Why it is not healthy; "" when it is. Trouble of one tenant leaves the others their rows."""
    try:
        missing = runtime.unwell(tenant)
    except errors.PlatformError as error:
        return error.message
    return f"waits for {missing}" if missing else ""


def _commit(runtime: contract.Runtime, tenant: str, state: str) -> str:
    """What it serves; "" for an unhealthy tenant whose database cannot be asked."""
    try:
        return runtime.dag_commit(tenant)[:12]
    except errors.PlatformError:
        if state == "healthy":
            raise
        return ""


def _count(runtime: contract.Runtime, tenant: str) -> str:
    """`5/5`, and how often they were restarted."""
    found = runtime.components(tenant)
    running_ = sum(each.state == "running" for each in found)
    restarts = sum(each.restarts for each in found)
    return f"{running_}/{len(found)}" + (f", {restarts} restarts" if restarts else "") if found else "0"


def _print_line(line: log_files.Line, wanted: Sequence[str]) -> bool:
    """Whether somebody still reads."""
    start = f"{line.source:<{max(map(len, wanted))}} | " if len(wanted) > 1 else ""
    return output.answer(f"{start}{line.text}\n")
