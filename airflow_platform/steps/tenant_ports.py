"""The loopback ports of a tenant: chosen once among the free ones, then kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import places
from airflow_platform.engine import locks, step
from airflow_platform.steps.contexts import TenantContext, TenantStep
from airflow_platform.tools import files, ports, processes, supervisor

USES = ("airflow", "snowflake")
"""What a tenant needs a port for."""


@dataclass(frozen=True)
class Observed:
    """The ports that the tenant has, and those that other tenants of this environment have."""

    mine: Mapping[str, int]
    others: tuple[int, ...]


class TenantPorts(TenantStep):
    """Outputs: `airflow` and `snowflake`, port numbers."""

    name = "ports"
    undone_by = "directory"
    requires = ("directory",)

    def __init__(self, place: places.EnvironmentPlace) -> None:
        self._place = place

    def check(self, context: TenantContext) -> Iterable[errors.Fault]:
        observed = self.observe(context)
        place = self._place.tenant(context.tenant.name)
        if supervisor.status(place.run) is None:
            yield from (
                errors.Fault(
                    f"port {port} of tenant {context.tenant.name}",
                    f"It is taken by {_who(port)}.",
                    "Stop that program. The tenant keeps its port, so that its address never changes; "
                    "`tenant-down --delete-data` gives it up.",
                )
                for port in observed.mine.values()
                if not ports.is_free(port) and not _ours(port, str(place.directory))
            )
        waiting = [each for each in context.environment.tenants if not _read(self._place.tenant(each.name))]
        needed = len(USES) * len(waiting)
        if not observed.mine and len(_choose(context, observed, count=needed)) < needed:
            span = context.environment.process.ports
            yield errors.Fault(
                f"ports {span.first} to {span.last}",
                f"Fewer than {needed} are free, and {len(waiting)} tenants need {len(USES)} each.",
                "Widen `ports` under [process] in the environment's file, or stop what uses them.",
            )

    def observe(self, context: TenantContext) -> Observed:
        mine = self._place.tenant(context.tenant.name)
        # Those of the other environments too: their tenants keep theirs while they are down.
        known = sorted(self._place.directory.parent.glob("*/tenants/*/ports.json"))
        others = [port for path in known if path != mine.ports for port in _read_file(path).values()]
        return Observed(_read(mine), tuple(others))

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.mine:
            return step.NoChange(f"it has ports {_listed(observed.mine)}", observed.mine)
        return step.Change("choose two free ports", {})

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        # Tenants of one environment choose at the same time: one after the other.
        path = self._place.directory / "locks" / "ports.lock"
        lock = locks.FileLock(
            path, f"ports of {context.environment.name}", programs=context.programs, on_note=context.progress
        )
        with lock.held(timeout=30.0):
            chosen = _choose(context, self.observe(context))
            if len(chosen) < len(USES):
                raise errors.StepError("The last free ports were taken meanwhile.", hint="Run this again.")
            mine = dict(zip(USES, chosen, strict=True))
            files.write(self._place.tenant(context.tenant.name).ports, json.dumps(mine), mode=0o644)
        return mine


def _choose(context: TenantContext, observed: Observed, *, count: int = len(USES)) -> tuple[int, ...]:
    span = context.environment.process.ports
    return ports.choose(range(span.first, span.last + 1), taken=observed.others, count=count)


def _read(place: places.TenantPlace) -> dict[str, int]:
    return _read_file(place.ports)


def _read_file(path: Path) -> dict[str, int]:
    """The ports in a tenant's file; none when it is not there or was cut."""
    try:
        found = json.loads(path.read_text())
        return {use: int(found[use]) for use in USES}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _listed(mine: Mapping[str, int]) -> str:
    return ", ".join(f"{port} ({use})" for use, port in mine.items())


def _who(port: int) -> str:
    found = processes.listening(port)
    return str(found[0]) if found else "a program that cannot be seen from here"


def _ours(port: int, owner: str) -> bool:
    """Whether a process that a killed supervisor left behind has it: the way up ends those."""
    holders = {each.pid for each in processes.listening(port)}
    return bool(holders) and holders <= {each.pid for each in processes.owned(owner)}
