"""Which components and which tenants a command means, by the names that it was given."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from airflow_platform import errors
from airflow_platform.config import load, specs
from airflow_platform.runtimes import choosing as runtimes
from airflow_platform.runtimes import runtime as contract
from airflow_platform.tasks import running


def components_of(spec: specs.Environment, chosen: Sequence[str]) -> tuple[str, ...]:
    """The components that are meant: the chosen ones, or all."""
    known = runtimes.of(spec).component_names()
    require_known(chosen, known)
    return tuple(chosen) or known


def leaving(call: running.Call, confirmed: Sequence[str]) -> tuple[specs.Tenant, ...]:
    """The tenants to take down: also those that are no longer declared, when they run or are named.

    What lies stopped in the state directory and is declared nowhere may be anybody's; nobody means
    it who does not name it.

    Raises:
        UsageError: None is known by that name.
        RefusedError: The environment is protected, and this was not confirmed.
    """
    spec = call.spec()
    runtime = runtimes.of(spec)
    undeclared = contract.undeclared(spec, runtime)
    if spec.protected and not call.plan:
        _require_confirmation(spec, call.tenants, confirmed)
    named = [name for name in call.tenants if name not in undeclared]
    declared = load.select(spec, named) if named or not call.tenants else ()
    others = [name for name in undeclared if name in call.tenants]
    others = others if call.tenants else contract.left_running(spec, runtime)
    return (*declared, *(specs.undeclared(name) for name in others))


def require_known(chosen: Sequence[str], known: Sequence[str]) -> None:
    """Refuse components that are not there.

    Raises:
        UsageError: Names the first, and the nearest match.
    """
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise errors.UsageError(
                f"There is no component {name!r}.", hint=f"{hint}Known: {', '.join(known)}."
            )


def _require_confirmation(spec: specs.Environment, tenants: Sequence[str], confirmed: Sequence[str]) -> None:
    lacking = [f"{spec.name}/{name}" for name in tenants if f"{spec.name}/{name}" not in confirmed]
    if not tenants or lacking:
        example = lacking[0] if lacking else f"{spec.name}/{spec.tenants[0].name}"
        raise errors.RefusedError(
            f"Environment {spec.name} is protected.",
            hint=f"Name what you mean: --tenant={example.split('/')[1]} --confirm={example}",
        )
