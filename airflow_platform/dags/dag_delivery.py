"""The branch's commit, brought to where an environment's tenants look for it."""

from __future__ import annotations

from pathlib import Path

from airflow_platform import errors
from airflow_platform.dags.dag_contexts import TargetContext, TargetStep
from airflow_platform.engine import step
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tools.git import git


class Delivery(TargetStep):
    """Outputs: none. Tenants of one environment share a repository: the first one that comes delivers."""

    name = "delivery"

    def __init__(self, source: Path) -> None:
        """Make the step.

        Args:
            source: The repository that has the branch's commit.
        """
        self._source = source

    def observe(self, context: TargetContext) -> str | None:
        """The commit that the environment's repository has; None without a repository."""
        repository = context.tenant.repository
        if repository is None or not (repository / "HEAD").is_file():
            return None
        return git.branch(context.programs, repository, manifest.BRANCH)

    def plan(self, context: TargetContext, observed: str | None) -> step.Change | step.NoChange:
        place = context.tenant
        if place.repository is None:
            return step.NoChange(f"{place.environment} follows the branch itself")
        if observed is None:
            return step.NoChange(f"{place.environment} was never up; tenant-up serves the branch")
        commit = context.outputs("dag-branch")["commit"]
        if observed == commit:
            return step.NoChange(f"{place.environment} has commit {commit[:12]}")
        return step.Change(f"bring commit {commit[:12]} to {place.environment}")

    def apply(self, context: TargetContext, change: step.Change) -> step.Outputs:
        repository, commit = context.tenant.repository, context.outputs("dag-branch")["commit"]
        assert repository is not None
        with context.tenant.turn():
            there = self.observe(context)
            if there == commit:
                return {}
            if there and git.contains(context.programs, repository, there, commit):
                raise errors.StepError(
                    f"{context.tenant.environment} has a newer commit already, {there[:12]}: somebody else has "
                    f"synced after {commit[:12]}.",
                    hint="`inv dags-status` shows what is served.",
                )
            # A Git that was killed leaves its lock.
            git.make_bare(context.programs, repository, manifest.BRANCH)
            git.fetch(context.programs, repository, self._source, commit, manifest.BRANCH)
        return {}
