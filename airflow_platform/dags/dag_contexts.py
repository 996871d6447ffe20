"""The engine's contexts and step classes for work on the DAGs of all environments at once.

The "environment" of such a run is the project, and its "tenants" are targets: each tenant of each environment.
"""

from __future__ import annotations

import datetime
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from airflow_platform.engine import step
from airflow_platform.engine.store import Lock
from airflow_platform.tenants.access import Access


@dataclass(frozen=True)
class Project:
    """All environments together."""

    name: str = "dags"


class Target(Protocol):
    """One tenant of one environment, and how one gets at it."""

    @property
    def name(self) -> str:
        """`environment/tenant`."""

    @property
    def environment(self) -> str:
        """The environment's name."""

    @property
    def tenant(self) -> str:
        """The tenant's name."""

    @property
    def repository(self) -> Path | None:
        """The bare repository of its environment that its tenants track; None where they track the branch itself."""

    def down(self) -> bool:
        """Whether it serves nothing, because it was not brought up, or was taken down."""

    def commit(self) -> str:
        """The commit that its dag-processor serves; "" for none yet."""

    def refreshed(self) -> datetime.datetime | None:
        """When its dag-processor looked for a new commit the last time; None when it never did."""

    def access(self) -> AbstractContextManager[Access]:
        """The way to its Airflow."""

    def turn(self) -> AbstractContextManager[Lock]:
        """Its environment's lock: held while the repository is changed."""


ProjectContext = step.EnvironmentContext[Project, Target]
TargetContext = step.TenantContext[Project, Target]
ProjectStep = step.EnvironmentStep[Project, Target]
TargetStep = step.TenantStep[Project, Target]
