"""Where DAG files are imported: with which packages, in which worker, with which user ids."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from airflow_platform import errors, programs
from airflow_platform.config import paths
from airflow_platform.dag_checks import recall
from airflow_platform.manifests import parsing as manifest
from airflow_platform.parsing import protocol
from airflow_platform.tools import parsing_worker, results, users

IDLE = "AIRFLOW_PLATFORM_WARM"
"""The variable with the seconds that a worker stays for the next check."""

_IDLE_SECONDS = 900.0
"""A quarter of an hour: somebody who mends DAGs comes back sooner, and 150 MB are not kept for nobody."""

_MOST = 8
"""Imports at the same time; each may take a GB."""


def place(runner: programs.Programs, progress: Callable[[str], None]) -> parsing_worker.Place:
    """The worker that has Airflow's locked packages, which are installed if they are missing.

    Raises:
        PreflightError: They cannot be installed; carries every fault.
    """
    kept, key = recall.kept(), results.key(str(paths.cache()), recall.surroundings())
    known = kept.get("packages", key)
    if known is None or not _is_whole(Path(known)):
        from airflow_platform.dag_checks import packages  # noqa: PLC0415 - rarely needed, and heavy.

        known = str(packages.installed(runner, progress))
        kept.put("packages", key, known)
    found = _place(Path(known), progress)
    parsing_worker.sweep(found.directory.parent, found.scratch.parent, without=found.directory.name)
    return found


def _is_whole(environment: Path) -> bool:
    """Whether an environment is there as it was built: the step that builds it writes this file last."""
    try:
        built = (environment.parent / "complete").read_text().strip()
    except OSError:
        return False
    return built == str(environment.parent)


def _place(environment: Path, tell: Callable[[str], None]) -> parsing_worker.Place:
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
        users=tuple(_user(scratch / str(number)) for number in range(count)),
        idle=_idle(),
        tell=tell,
    )


def _user(scratch: Path) -> int | None:
    """Whom an import runs as: as root never root, also where this machine lends root few user ids."""
    found = users.of_tenant(scratch)
    return protocol.NOBODY if found is None and os.geteuid() == 0 else found


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
