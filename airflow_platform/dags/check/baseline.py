"""What a DAG version is held against: tenants, their values, limits; from specs, or as it was kept.

Loading specs takes a quarter of the time of a check in which one file has changed, and they change seldom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_platform.dags.check.rules.subject import DEFAULT_POOL, Limits, Tenant

if TYPE_CHECKING:
    from airflow_platform.config import dag_rules, specs


@dataclass(frozen=True)
class Baseline:
    """All that decides about findings, besides the DAGs."""

    tenants: tuple[Tenant, ...]
    """Those that are considered."""
    declared: tuple[str, ...]
    """Names of all tenants, also of environments that are not considered."""
    smoke: tuple[str, ...]
    """Ids of the DAGs that tenant-up runs last."""
    limits: Limits
    variables: Mapping[str, str]
    """What files find while they are imported."""
    connections: Mapping[str, Mapping[str, Any]]
    """What files find while they are imported."""


def declared(names: Sequence[str] = ()) -> Baseline:
    """What is declared for the tenants of the environments of these names, or of all, from the files.

    Raises:
        ConfigurationError: Some file, also of another environment, does not say what it must.
    """
    from airflow_platform.config import load  # noqa: PLC0415 - what was kept needs no specs.

    environments = load.all_environments()
    return of(
        [each for each in environments if not names or each.name in names],
        load.dag_project().rules,
        [tenant.name for each in environments for tenant in each.tenants],
    )


def of(
    environments: Sequence[specs.Environment], rules: dag_rules.Rules, everybody: Iterable[str]
) -> Baseline:
    """What the tenants of these environments are, and the rules of the project.

    Args:
        environments: Whose tenants are considered.
        rules: Of the project.
        everybody: Names of all tenants that a DAG may be for.
    """
    from airflow_platform.config import specs  # noqa: PLC0415 - what was kept needs no specs.
    from airflow_platform.dags.check import import_values  # noqa: PLC0415

    tenants = (
        Tenant(
            environment.name,
            each.name,
            _sorted(specs.SNOWFLAKE_CONNECTION, *(connection.id for connection in each.connections)),
            _sorted(DEFAULT_POOL, *(pool.name for pool in each.pools)),
            _executor(environment),
        )
        for environment in environments
        for each in environment.tenants
    )
    return Baseline(
        tenants=tuple(tenants),
        declared=tuple(sorted(set(everybody))),
        smoke=tuple(sorted({each.dags.smoke for each in environments})),
        limits=Limits(**rules.model_dump()),
        variables=import_values.variables(environments),
        connections=import_values.connections(environments),
    )


def _sorted(*names: str) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _executor(environment: specs.Environment) -> str:
    """The executor of an environment's tenants; "" where nothing declares it yet."""
    return {"process": "LocalExecutor", "docker": environment.docker.executor}.get(environment.runtime, "")
