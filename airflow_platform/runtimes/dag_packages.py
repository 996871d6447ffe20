"""Airflow's packages for the check of DAG files: installed by the step that installs them for tenants."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from airflow_platform import errors, programs
from airflow_platform.config import paths, specs
from airflow_platform.engine import step
from airflow_platform.runtimes import recipes
from airflow_platform.steps import contexts, packages


def installed(
    environment: specs.Environment, runner: programs.Programs, progress: Callable[[str], None]
) -> Path:
    """The virtual environment; made if it is missing.

    Args:
        environment: Whose context the step has; it decides nothing.
        runner: Starts programs.
        progress: Called with lines of news.

    Raises:
        PreflightError: It cannot be made; carries every fault.
    """
    step_ = packages.AirflowPackages(recipes.AIRFLOW, cache=paths.cache(), ready=None)
    context = contexts.EnvironmentContext(
        environment=environment,
        goal=step.Goal.PRESENT,
        run_id="dags-check",
        run_directory=Path(tempfile.gettempdir()),
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
