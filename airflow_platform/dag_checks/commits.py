"""The check of a commit's DAGs: by what is known of that version, or found out now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from airflow_platform import programs
from airflow_platform.config import paths
from airflow_platform.dag_checks import imports, recall
from airflow_platform.dag_checks.standards import Against
from airflow_platform.rules.findings import Checked
from airflow_platform.tools import git


def check(
    commit: git.Commit,
    against: Against,
    *,
    runner: programs.Programs,
    progress: Callable[[str], None],
    checkout: Path | None = None,
) -> Checked:
    """Import every DAG file of a commit as the tenants would, and hold it against the rules.

    Args:
        commit: With the tree of its folder of DAGs.
        against: What it is held against; at least one tenant.
        runner: Starts programs; its interruption ends the check.
        progress: Called with lines of news.
        checkout: The repository that has the commit; by default the project's.

    Raises:
        PreflightError: Airflow's packages cannot be installed.
        ProgramError: The program that imports DAG files does not work; never the fault of a DAG file.
        Interrupted: A signal came.
    """
    return recall.known_or(
        commit,
        against,
        lambda: imports.find_out(
            commit, against, checkout=checkout or paths.project().root, runner=runner, progress=progress
        ),
    )
