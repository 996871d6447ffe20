"""A migrated, empty metadata database in the cache: copying it takes 5 ms, migrating 5 to 8 s."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.engine import file_lock, step
from airflow_platform.runtimes.process import manifest
from airflow_platform.tenants.contexts import EnvironmentContext, EnvironmentStep
from airflow_platform.tools import files, sqlite_metadata

TIMEOUT = 300.0
"""Seconds for a migration; 10 on a busy laptop."""


@dataclass(frozen=True)
class Observed:
    """Where the template belongs, and what its description says; None when it is not there."""

    directory: Path
    programs: Path
    described: dict[str, Any] | None


class DatabaseTemplate(EnvironmentStep):
    """Outputs: `database` (the file), `revision`, `known` (all revisions that this Airflow knows)."""

    name = "database-template"

    def __init__(self, *, ready_cache: Path) -> None:
        """Make the step.

        Args:
            ready_cache: Where templates of environments belong that the toolkit did not build.
        """
        self._ready_cache = ready_cache

    def observe(self, context: EnvironmentContext) -> Observed:
        packages = context.outputs("airflow-packages")
        directory = Path(packages["directory"]) / "template"
        if packages["ready"]:
            program = Path(packages["programs"]) / "airflow"
            stamp = program.stat().st_mtime_ns if program.exists() else 0
            directory = self._ready_cache / step.digest([str(program), stamp])
        return Observed(directory, Path(packages["programs"]), _described(directory))

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.described is not None:
            return step.NoChange(
                f"the template is at revision {observed.described['revision']}", observed.described
            )
        details = {"directory": str(observed.directory), "programs": str(observed.programs)}
        return step.Change("migrate an empty metadata database, for tenants to copy", details)

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        directory, programs = Path(change.details["directory"]), Path(change.details["programs"])
        files.make_directory(directory, mode=0o755)
        lock = file_lock.FileLock(
            directory.with_suffix(".lock"),
            str(directory),
            programs=context.programs,
            on_note=context.progress,
        )
        with lock.held(timeout=TIMEOUT):
            return self._build(context, directory, programs)

    def _build(self, context: EnvironmentContext, directory: Path, programs: Path) -> step.Outputs:
        context.progress("airflow db migrate")
        # Always the same place: what a killed run left there is replaced, not piled up.
        home = directory / "home"
        shutil.rmtree(home, ignore_errors=True)
        files.make_directory(home, mode=0o700)
        try:
            context.programs.run(
                [programs / "airflow", "db", "migrate"],
                env=manifest.migration_environment(home, programs),
                cwd=home,
                timeout=TIMEOUT,
            )
            revision = sqlite_metadata.revision(home / "airflow.db")
            if not revision:
                raise errors.StepError("airflow db migrate left a database without a revision.")
            sqlite_metadata.copy(home / "airflow.db", directory / "airflow.db")
        finally:
            shutil.rmtree(home, ignore_errors=True)
        known = sqlite_metadata.known_revisions(programs.parent) or (revision,)
        described = {"database": str(directory / "airflow.db"), "revision": revision, "known": list(known)}
        files.write(directory / "template.json", json.dumps(described), mode=0o644)
        return described


def _described(directory: Path) -> dict[str, Any] | None:
    """What a template's description says; None when it, or the template, is not there or was cut."""
    try:
        found = json.loads((directory / "template.json").read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and found.keys() == {"database", "revision", "known"}
    return found if whole and Path(found["database"]).is_file() else None
