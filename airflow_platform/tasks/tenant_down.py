"""`tenant-down`: stop tenants and keep their data, or delete it too."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_platform import errors
from airflow_platform.config import load, specs
from airflow_platform.engine import run, step
from airflow_platform.runtimes import contract
from airflow_platform.runtimes import runtime_table as runtimes
from airflow_platform.tasks.command_line import DOOR, CommandLine
from airflow_platform.tasks.tenant_up import WORKERS


def down(line: CommandLine, confirmed: Sequence[str], *, delete_data: bool) -> int:
    """Take tenants down; the exit code.

    Raises:
        UsageError, RefusedError: As of `leaving`.
    """
    spec = line.spec()
    runtime = runtimes.of(spec)
    steps = runtime.steps(contract.Options())
    reason = "data is kept; --delete-data deletes it"
    order = line.order(
        spec,
        leaving(line, spec, runtime, confirmed),
        steps,
        runtime.store(line.runner, lock_timeout=line.lock_seconds, on_note=line.reporter.note),
        goal=step.Goal.ABSENT,
        reached="deleted" if delete_data else "stopped",
        workers=WORKERS,
        skip={} if delete_data else {each.name: reason for each in steps if each.keeps_data},
    )
    report = run.execute(order)
    again = f"{DOOR} tenant-up --env={spec.name}   # up again, with its data"
    return line.finish(report, next_commands=() if delete_data or report.exit_code else (again,))


def leaving(
    line: CommandLine, spec: specs.Environment, runtime: contract.Runtime, confirmed: Sequence[str]
) -> tuple[specs.Tenant, ...]:
    """The tenants to take down: also those that are no longer declared, when they run or are named.

    Stopped tenants that no file declares are only removed when named with --tenant.

    Raises:
        UsageError: None is known by that name.
        RefusedError: The environment is protected, and this was not confirmed.
    """
    undeclared = contract.undeclared(spec, runtime)
    if spec.protected and not line.plan:
        _require_confirmation(spec, line.tenants, confirmed)
    named = [name for name in line.tenants if name not in undeclared]
    declared = load.select(spec, named) if named or not line.tenants else ()
    others = [name for name in undeclared if name in line.tenants]
    others = others if line.tenants else contract.left_running(spec, runtime)
    return (*declared, *(specs.undeclared(name) for name in others))


def _require_confirmation(spec: specs.Environment, tenants: Sequence[str], confirmed: Sequence[str]) -> None:
    lacking = [f"{spec.name}/{name}" for name in tenants if f"{spec.name}/{name}" not in confirmed]
    if not tenants or lacking:
        example = lacking[0] if lacking else f"{spec.name}/{spec.tenants[0].name}"
        raise errors.RefusedError(
            f"Environment {spec.name} is protected.",
            hint=f"Name what you mean: --tenant={example.split('/')[1]} --confirm={example}",
        )
