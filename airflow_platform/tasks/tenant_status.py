"""`tenant-status`: how tenants are, and whether they are what their spec says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from airflow_platform import errors
from airflow_platform.engine.report import Outcome, StepReport, TenantReport
from airflow_platform.reporting import summary
from airflow_platform.runtimes import contract
from airflow_platform.runtimes import runtime_table as runtimes
from airflow_platform.tasks import tenant_up
from airflow_platform.tasks.command_line import CommandLine


def status(line: CommandLine) -> int:
    """Answer `tenant-status`: 0 healthy and as declared, 1 not healthy, 3 different from the spec."""
    spec = line.spec()
    runtime = runtimes.of(spec)
    report = tenant_up.planned(line)
    if report.exit_code in errors.INTERRUPTED:
        return line.finish(report)
    rows = [_row(runtime, tenant, report.steps) for tenant in report.tenants]
    unhealthy = any(row[1] != "healthy" for row in rows)
    left = [] if line.tenants else contract.left_running(spec, runtime)
    rows += [(name, "running, not declared", "", _count(runtime, name), "", "not declared") for name in left]
    code = 1 if unhealthy else 3 if report.exit_code or left else 0
    headings = ("tenant", "status", "url", "components", "dag commit", "differs")
    tenants = tuple(
        TenantReport(tenant.name, str(row[1]), tenant.steps, tenant.outputs)
        for tenant, row in zip(report.tenants, rows, strict=False)
    )
    words = {0: "healthy", 1: "not healthy", 3: "differs"}
    answer = dataclasses.replace(report, status=words[code], exit_code=code, tenants=tenants)
    line.answer(headings, rows, answer)
    if line.tracebacks:
        summary.show_tracebacks(answer)
    return code


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
