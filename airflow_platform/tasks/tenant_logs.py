"""`tenant-logs`: what a tenant's components print."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_platform import errors
from airflow_platform.config import load
from airflow_platform.engine import signals
from airflow_platform.programs import programs
from airflow_platform.reporting import output
from airflow_platform.runtimes import contract
from airflow_platform.runtimes import runtime_table as runtimes
from airflow_platform.tools.logs import Line

_LOOK_AGAIN = 0.3
"""Seconds between two looks for new lines: soon enough for who reads along."""


class _Abandoned(Exception):
    """Nobody reads our answer any more."""


def logs(env: str, tenant: str, chosen: Sequence[str], *, lines: str, follow: bool) -> int:
    """Print the last lines, and new ones with `follow`; the exit code."""
    spec = load.environment(env)
    runtime = runtimes.of(spec)
    if tenant not in runtime.tenants_found():
        load.select(spec, (tenant,))
        raise errors.UsageError(f"Tenant {tenant} was never up.", hint=f"Run: inv tenant-up --env={env}")
    found = runtime.log_names(tenant)
    contract.require_component(chosen, found)
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


def _print_line(line: Line, wanted: Sequence[str]) -> bool:
    """Whether somebody still reads."""
    start = f"{line.source:<{max(map(len, wanted))}} | " if len(wanted) > 1 else ""
    return output.answer(f"{start}{line.text}\n")
