"""The check of a commit's DAGs: by what is known of that version, or found out now.

A known result needs a tenth of a second, so that nothing is imported here that only finding out needs.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import programs, rules
from airflow_platform.config import dag_rules, load, paths, specs
from airflow_platform.rules.findings import FOLDER, Checked, Finding, ParsedDag, ParsedFile
from airflow_platform.tools import git, parsing_worker, results

__all__ = ["FOLDER", "Checked", "Finding", "ParsedDag", "ParsedFile", "check"]

_LOCK = paths.CHECKOUT / "images" / "airflow" / "requirements.lock"


@dataclass(frozen=True)
class Inputs:
    """All that decides about the result."""

    commit: git.Commit
    environments: Sequence[specs.Environment]
    """At least one."""
    rules: dag_rules.Rules
    declared: frozenset[str]
    """Names of all tenants."""
    checkout: Path
    """The repository that has the commit."""

    def key(self) -> str:
        """Changes with any of them, and not with the commit: only its DAGs matter."""
        return results.key(
            self.commit.tree,
            [each.model_dump_json() for each in self.environments],
            self.rules.model_dump_json(),
            sorted(self.declared),
            code(),
            hashlib.sha256(_LOCK.read_bytes()).hexdigest(),
            # What decides which Python the packages are installed for.
            [sys.version, getattr(sys, "_base_executable", sys.executable), os.environ.get("PATH", "")],
        )


def check(
    commit: git.Commit,
    environments: Sequence[specs.Environment],
    *,
    runner: programs.Programs,
    progress: Callable[[str], None],
    rules: dag_rules.Rules | None = None,
    declared: Iterable[str] | None = None,
    checkout: Path = paths.CHECKOUT,
) -> Checked:
    """Import every DAG file of a commit as the tenants would, and hold it against the rules.

    Args:
        commit: With the tree of its folder of DAGs.
        environments: Whose tenants are considered; at least one.
        runner: Starts programs; its interruption ends the check.
        progress: Called with lines of news.
        rules: By default the rules' own defaults.
        declared: Names of all tenants that a DAG may be for; by default those of all declared environments.
        checkout: The repository that has the commit.

    Raises:
        PreflightError: Airflow's packages cannot be installed.
        ProgramError: The program that imports DAG files does not work; never the fault of a DAG file.
        Interrupted: A signal came.
    """
    names = frozenset(_declared() if declared is None else declared)
    inputs = Inputs(commit, environments, rules or dag_rules.Rules(), names, checkout)
    kept = results.Results(paths.dag_checks() / "results")
    key = inputs.key()
    if (known := kept.get("versions", key)) is not None:
        return Checked.from_json({**known, "commit": commit.sha, "anew": 0})
    from airflow_platform.runtimes import dag_imports  # noqa: PLC0415 - a known result needs none of it.

    checked, lasting = dag_imports.find_out(inputs, kept, runner, progress)
    if lasting:
        kept.put("versions", key, checked.to_json())
    return checked


@functools.cache
def code() -> str:
    """Changes with everything that decides about findings: what imports, what asks, and the rules."""
    found = hashlib.sha256(parsing_worker.code_digest().encode())
    here = Path(__file__)
    files = [*sorted(Path(rules.__file__).parent.glob("*.py")), here.with_name("dag_texts.py")]
    for path in (*files, here.with_name("dag_imports.py"), Path(specs.__file__)):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _declared() -> Iterable[str]:
    return (tenant.name for name in load.names() for tenant in load.environment(name).tenants)
