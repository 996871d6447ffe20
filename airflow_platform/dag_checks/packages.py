"""Airflow's packages for the check of DAG files: installed by the step that installs them for tenants."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import errors, programs
from airflow_platform.config import package_recipes, paths
from airflow_platform.engine import local_store, step
from airflow_platform.steps.packages import AirflowPackages


@dataclass(frozen=True)
class _AllEnvironments:
    """What the step is told instead of an environment: the locked packages are those of all."""

    name: str = "all"


def installed(runner: programs.Programs, progress: Callable[[str], None]) -> Path:
    """The virtual environment; made if it is missing.

    Args:
        runner: Starts programs.
        progress: Called with lines of news.

    Raises:
        PreflightError: It cannot be made; carries every fault.
    """
    step_ = AirflowPackages(package_recipes.airflow(), cache=paths.cache(), ready=None)
    context: Any = step.EnvironmentContext[_AllEnvironments, Any](
        environment=_AllEnvironments(),
        goal=step.Goal.PRESENT,
        run_id="dags-check",
        artifacts=local_store.LocalArtifacts(Path(tempfile.gettempdir())),
        programs=runner,
        progress=progress,
        clock=time.monotonic,
        find_outputs=lambda name: {},
    )
    if faults := tuple(step_.check(context)):
        raise errors.PreflightError("Airflow's packages are needed to import DAG files.", faults)
    planned = step_.plan(context, step_.observe(context))
    if isinstance(planned, step.NoChange):
        return Path(planned.outputs["environment"])
    progress(planned.summary)
    return Path(step_.apply(context, planned)["environment"])
