"""The check of a commit's DAGs: by what is known of that version, or found out now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from airflow_platform import programs
from airflow_platform.config import dag_rules, load, paths, specs
from airflow_platform.rules.findings import Checked
from airflow_platform.runtimes import dag_against, dag_imports, dag_recall
from airflow_platform.tools import git

__all__ = ["Checked", "check"]


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
    names = _declared() if declared is None else declared
    against = dag_against.of(environments, rules or dag_rules.Rules(), names)
    return dag_recall.known_or(
        commit,
        against,
        lambda: dag_imports.find_out(commit, against, checkout=checkout, runner=runner, progress=progress),
    )


def _declared() -> Iterable[str]:
    return (tenant.name for each in load.all_environments() for tenant in each.tenants)
