"""Where DAG files are imported: with which packages, in which worker, with which user ids."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_platform import errors, programs
from airflow_platform.config import paths, specs
from airflow_platform.engine import step
from airflow_platform.manifests import parsing as manifest
from airflow_platform.runtimes import recipes
from airflow_platform.steps import contexts, packages
from airflow_platform.tools import parsing_worker, results, users

IDLE = "AIRFLOW_PLATFORM_WARM"
"""The variable with the seconds that a worker stays for the next check."""

_IDLE_SECONDS = 900.0
"""A quarter of an hour: somebody who mends DAGs comes back sooner, and 150 MB are not kept for nobody."""

_MOST = 8
"""Imports at the same time; each may take a GB."""


def values(
    environments: Sequence[specs.Environment],
) -> tuple[Mapping[str, str], Mapping[str, Mapping[str, Any]]]:
    """The variables and connections that DAG files find while they are imported."""
    return manifest.variables(environments), manifest.connections(environments)


def place(
    environment: specs.Environment, runner: programs.Programs, progress: Callable[[str], None]
) -> parsing_worker.Place:
    """The worker that has Airflow's locked packages, which are installed if they are missing.

    Raises:
        PreflightError: They cannot be installed; carries every fault.
    """
    return _place(_installed(environment, runner, progress))


def _installed(
    environment: specs.Environment, runner: programs.Programs, progress: Callable[[str], None]
) -> Path:
    """The virtual environment, made by the step that makes it for tenants."""
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


def _place(environment: Path) -> parsing_worker.Place:
    directory = paths.dag_checks()
    settings = manifest.environment(directory / "home", environment / "bin")
    count = max(1, min(_MOST, _processors()))
    code = parsing_worker.code_digest()
    name = results.key(str(environment), settings, code, count, _idle())[:16]
    scratch = directory / "scratch" / name
    return parsing_worker.Place(
        directory=directory / "workers" / name,
        scratch=scratch,
        python=environment / "bin" / "python",
        environment=settings,
        users=tuple(users.of_tenant(scratch / str(number)) for number in range(count)),
        idle=_idle(),
    )


def _idle() -> float:
    """Seconds that a worker stays; in CI nobody comes back.

    Raises:
        UsageError: The variable holds no number.
    """
    told = os.environ.get(IDLE, "0" if "CI" in os.environ else str(_IDLE_SECONDS))
    try:
        return max(0.0, float(told))
    except ValueError:
        raise errors.UsageError(f"{IDLE}={told} is no number of seconds.", hint="For example 900.") from None


def _processors() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
