"""The DAGs that an environment serves: one commit, in a bare repository that the toolkit owns."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import places
from airflow_platform.engine import step
from airflow_platform.manifests import airflow
from airflow_platform.steps.contexts import EnvironmentContext, EnvironmentStep, inhabitants
from airflow_platform.tools import files, git


@dataclass(frozen=True)
class Observed:
    """The commit that should be served, the one that is, and what is not committed."""

    wanted: git.Commit | None
    """None on the way down."""
    served: str
    uncommitted: tuple[str, ...]
    exists: bool
    inhabitants: tuple[str, ...]
    """On the way down: tenants that have a directory, or are about to get one."""
    served_tree: str = ""
    """The DAG version of a served commit that is not the wanted one."""


class DagRepository(EnvironmentStep):
    """Outputs: `repository`, `commit` (40 digits), `tree` (the DAG version), `uncommitted` (files)."""

    name = "dag-repository"
    required_by = ("directory",)  # So that it goes last on the way down, when nobody uses it any more.
    keeps_data = True

    def __init__(self, place: places.EnvironmentPlace, *, checkout: Path, revision: str = "HEAD") -> None:
        """Make the step.

        Args:
            place: Where the environment's files are.
            checkout: The repository with the DAGs.
            revision: What to serve: a commit, branch or tag of it.
        """
        self._place = place
        self._checkout = checkout
        self._revision = revision

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        if context.goal is step.Goal.ABSENT:
            return
        try:
            git.resolve(context.programs, self._checkout, self._revision, airflow.FOLDER)
        except git.NoCommit as error:
            yield errors.Fault("DAGs", error.message, error.hint)
        except errors.ProgramMissing as error:
            yield errors.Fault("git", error.message, "Install the package git.")

    def observe(self, context: EnvironmentContext) -> Observed:
        runner = context.programs
        if context.goal is step.Goal.ABSENT:
            users = inhabitants(context, self._place)
            return Observed(None, "", (), self._place.repository.exists(), users)
        wanted = git.resolve(runner, self._checkout, self._revision, airflow.FOLDER)
        served = git.branch(runner, self._place.repository, airflow.BRANCH)
        differs = served not in ("", wanted.sha)
        return Observed(
            wanted=wanted,
            served=served,
            served_tree=git.tree(runner, self._place.repository, served, airflow.FOLDER) if differs else "",
            uncommitted=git.uncommitted(runner, self._checkout, airflow.FOLDER),
            exists=self._place.repository.exists(),
            inhabitants=(),
        )

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.wanted is None:
            return _plan_removal(observed)
        outputs = {
            "repository": str(self._place.repository),
            "commit": observed.wanted.sha,
            "tree": observed.wanted.tree,
            "uncommitted": list(observed.uncommitted),
        }
        left_out = _left_out(observed.uncommitted)
        if observed.served == observed.wanted.sha:
            return step.NoChange(f"commit {observed.wanted.sha[:12]} is served{left_out}", outputs)
        if observed.served_tree == observed.wanted.tree:
            # A commit that leaves the DAGs alone is no other DAG version.
            same = f"commit {observed.served[:12]} is served, with the DAGs of {observed.wanted.sha[:12]}{left_out}"
            return step.NoChange(same, {**outputs, "commit": observed.served})
        return step.Change(f"serve commit {observed.wanted.sha[:12]}{left_out}", {"outputs": outputs})

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        repository = self._place.repository
        if context.goal is step.Goal.ABSENT:
            with files.state_errors(repository):
                shutil.rmtree(repository)
            return {}
        files.make_directory(repository, mode=0o755)
        git.make_bare(context.programs, repository, airflow.BRANCH)
        commit = change.details["outputs"]["commit"]
        git.fetch(context.programs, repository, self._checkout, commit, airflow.BRANCH)
        outputs: step.Outputs = change.details["outputs"]
        return outputs


def _plan_removal(observed: Observed) -> step.Change | step.NoChange:
    if not observed.exists:
        return step.NoChange("it is not there")
    if observed.inhabitants:
        return step.NoChange(f"tenants still use it: {', '.join(observed.inhabitants)}")
    return step.Change("delete the bare repository; no tenant is left")


def _left_out(files_: tuple[str, ...]) -> str:
    """What is not served because nobody committed it: counted and named."""
    if not files_:
        return ""
    shown = ", ".join(files_[:3]) + (", …" if len(files_) > 3 else "")
    return f"; {len(files_)} uncommitted under {airflow.FOLDER}/ not served: {shown}"
