"""What somebody names by a commit, branch or tag; light, because a check whose result is known imports it."""

from __future__ import annotations

from airflow_platform import errors, programs
from airflow_platform.config import paths
from airflow_platform.rules.findings import FOLDER
from airflow_platform.tools import git


def resolved(runner: programs.Programs, revision: str) -> git.Commit:
    """The project's commit that a revision names, with its DAGs.

    Raises:
        UsageError: There is no such revision, or it has no DAGs.
    """
    try:
        return git.resolve(runner, paths.project().root, revision, FOLDER)
    except git.NoCommit as error:
        raise errors.UsageError(error.message, hint=error.hint) from error
