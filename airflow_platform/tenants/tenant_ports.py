"""The loopback ports of a tenant: chosen once among the free ones, then kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import specs, state_files
from airflow_platform.engine import file_lock, step
from airflow_platform.tenants.contexts import TenantContext, TenantStep
from airflow_platform.tools import files, ports, processes

USES = ("airflow", "snowflake")
"""What a tenant can need a port for."""


@dataclass(frozen=True)
class Needs:
    """What a runtime's tenants need ports for, and whose ports they are while a tenant is up."""

    uses: Sequence[str]
    span: Callable[[specs.Environment], specs.PortRange]
    is_mine: Callable[[state_files.TenantFiles, int], bool]
    """Whether what listens on a port is of this tenant."""


@dataclass(frozen=True)
class Observed:
    """The ports that the tenant has, and those that other tenants of this environment have."""

    mine: Mapping[str, int]
    others: tuple[int, ...]


class TenantPorts(TenantStep):
    """Outputs: a port number a use, such as `airflow`."""

    name = "ports"

    def __init__(self, place: state_files.EnvironmentFiles, needs: Needs) -> None:
        self._place = place
        self._needs = needs

    def check(self, context: TenantContext) -> Iterable[errors.Fault]:
        observed = self.observe(context)
        place = self._place.tenant(context.tenant.name)
        yield from (
            errors.Fault(
                f"port {port} of tenant {context.tenant.name}",
                f"It is taken by {_who(port)}.",
                "Stop that program. The tenant keeps its port, so that its address never changes; "
                "`tenant-down --delete-data` gives it up.",
            )
            for port in observed.mine.values()
            if not ports.is_free(port) and not self._needs.is_mine(place, port)
        )
        waiting = [each for each in context.environment.tenants if not self._read(each.name)]
        uses = len(self._needs.uses)
        needed = uses * len(waiting)
        if not observed.mine and len(self._choose(context, observed, count=needed)) < needed:
            span = self._needs.span(context.environment)
            yield errors.Fault(
                f"ports {span.first} to {span.last}",
                f"Fewer than {needed} are free, and {len(waiting)} tenants need {uses} each.",
                f"Widen `ports` under [{context.environment.runtime}] in the environment's file, or stop "
                "what uses them.",
            )

    def observe(self, context: TenantContext) -> Observed:
        mine = self._place.tenant(context.tenant.name)
        # Those of the other environments too: their tenants keep theirs while they are down.
        known = sorted(self._place.directory.parent.glob("*/tenants/*/ports.json"))
        others = [port for path in known if path != mine.ports for port in _read_file(path).values()]
        return Observed(self._read(context.tenant.name), tuple(others))

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.mine:
            return step.NoChange(f"it has ports {_listed(observed.mine)}", observed.mine)
        return step.Change(f"choose a free port for {' and '.join(self._needs.uses)}", {})

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        # Tenants choose at the same time, also those of several environments: one after the other.
        lock = file_lock.FileLock(
            self._place.ports_lock, "ports", programs=context.programs, on_note=context.progress
        )
        with lock.held(timeout=30.0):
            uses = self._needs.uses
            chosen = self._choose(context, self.observe(context), count=len(uses))
            if len(chosen) < len(uses):
                raise errors.StepError("The last free ports were taken meanwhile.", hint="Run this again.")
            mine = dict(zip(uses, chosen, strict=True))
            files.write(self._place.tenant(context.tenant.name).ports, json.dumps(mine), mode=0o644)
        return mine

    def _choose(self, context: TenantContext, observed: Observed, *, count: int) -> tuple[int, ...]:
        span = self._needs.span(context.environment)
        return ports.choose(range(span.first, span.last + 1), taken=observed.others, count=count)

    def _read(self, tenant: str) -> dict[str, int]:
        """The ports that a tenant has; none unless it has all that it needs."""
        found = _read_file(self._place.tenant(tenant).ports)
        return found if set(self._needs.uses) <= found.keys() else {}


def _read_file(path: Path) -> dict[str, int]:
    """The ports in a tenant's file; none when it is not there or was cut."""
    try:
        found = json.loads(path.read_text())
        return {use: int(found[use]) for use in USES if use in found}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _listed(mine: Mapping[str, int]) -> str:
    return ", ".join(f"{port} ({use})" for use, port in mine.items())


def _who(port: int) -> str:
    found = processes.listeners(port)
    return str(found[0]) if found else "a program that cannot be seen from here"
