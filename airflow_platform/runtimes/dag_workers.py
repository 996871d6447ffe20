"""Where DAG files are imported: with which packages, in which worker, with which user ids."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_platform import errors, programs, rules
from airflow_platform.config import paths, specs
from airflow_platform.engine import step
from airflow_platform.manifests import parsing as manifest
from airflow_platform.parsing import server
from airflow_platform.runtimes import process
from airflow_platform.steps import contexts
from airflow_platform.steps import packages as steps
from airflow_platform.tools import parsing_worker, results, users

IDLE = "AIRFLOW_PLATFORM_CHECK_IDLE"
"""The variable with the seconds that a worker stays for the next check."""

_IDLE_SECONDS = 900.0
"""A quarter of an hour: somebody who mends DAGs comes back sooner, and 150 MB are not kept for nobody."""

_MOST = 8
"""Imports at the same time; each takes up to a GB."""


def directory() -> Path:
    """What checks keep and make, below the cache."""
    return paths.cache() / "dag-checks"


@functools.cache
def code() -> str:
    """Changes with everything that decides about findings: what imports, and the rules."""
    found = hashlib.sha256(parsing_worker.code_digest().encode())
    for path in [
        *sorted(Path(rules.__file__).parent.glob("*.py")),
        *(Path(__file__).with_name(name) for name in ("dag_checks.py", "dag_texts.py")),
    ]:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def values(
    environments: Sequence[specs.Environment],
) -> tuple[Mapping[str, str], Mapping[str, Mapping[str, Any]]]:
    """The variables and connections that DAG files find while they are imported."""
    return manifest.variables(environments), manifest.connections(environments)


def end_all() -> None:
    """End the workers of all checkouts that share the cache."""
    parsing_worker.end_all(directory() / "workers")


class Packages:
    """Airflow's locked packages, which every tenant has: installed when they are needed."""

    def __init__(self, step_: steps.AirflowPackages, context: contexts.EnvironmentContext) -> None:
        self._step = step_
        self._context = context
        self._observed = step_.observe(context)
        self.digest = self._observed.directory.name
        """Changes with lock, Python and platform."""

    def install(self) -> None:
        """Install them, unless they are.

        Raises:
            PreflightError: They cannot be installed; carries every fault.
        """
        if faults := tuple(self._step.check(self._context)):
            raise errors.PreflightError("Airflow's packages are needed to import DAG files.", faults)
        planned = self._step.plan(self._context, self._observed)
        if isinstance(planned, step.Change):
            self._context.progress(planned.summary)
            self._step.apply(self._context, planned)

    def place(self) -> parsing_worker.Place:
        """The worker that has them."""
        environment = self._observed.directory / "venv"
        settings = manifest.environment(directory() / "home", environment / "bin")
        count = max(1, min(_MOST, server.processors()))
        name = results.key(str(environment), settings, parsing_worker.code_digest(), count, _idle())[:16]
        scratch = directory() / "scratch" / name
        return parsing_worker.Place(
            directory=directory() / "workers" / name,
            scratch=scratch,
            python=environment / "bin" / "python",
            environment=settings,
            users=tuple(users.of_tenant(scratch / str(number)) for number in range(count)),
            idle=_idle(),
        )


def packages(
    environment: specs.Environment, runner: programs.Programs, progress: Callable[[str], None]
) -> Packages:
    """Airflow's packages; nothing is installed yet."""
    step_ = steps.AirflowPackages(process.AIRFLOW, cache=paths.cache(), ready=None)
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
    return Packages(step_, context)


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
