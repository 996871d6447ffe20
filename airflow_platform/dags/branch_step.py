"""The branch that all environments follow, moved forward to a DAG version."""

from __future__ import annotations

from airflow_platform import errors
from airflow_platform.dags import dag_branch
from airflow_platform.dags.dag_branch import Synced
from airflow_platform.dags.dag_contexts import ProjectContext, ProjectStep
from airflow_platform.engine import step
from airflow_platform.programs import programs
from airflow_platform.tools.git import git_remote


class MovedBranch(ProjectStep):
    """Outputs: `commit` of the branch, `tree` (the DAG version), `source` (the project's commit).

    The branch only ever moves forward, also to an older version: nothing that was on it is lost.
    """

    name = "dag-branch"

    def __init__(
        self,
        branch: dag_branch.DagBranch,
        wanted: dag_branch.Wanted,
        *,
        over: str = "",
        onto: str = "",
    ) -> None:
        """Make the step.

        Args:
            branch: The branch.
            wanted: What it should hold.
            over: The beginning of a commit made by hand that may be covered.
            onto: The one commit that may be covered; "" for any that the toolkit made.
        """
        self._branch = branch
        self._wanted = wanted
        self._over = over
        self._onto = onto

    def observe(self, context: ProjectContext) -> Synced | None:
        self._branch.refresh(context.programs)
        return self._branch.head(context.programs)

    def plan(self, context: ProjectContext, observed: Synced | None) -> step.Change | step.NoChange:
        version = self._wanted.tree[:12]
        if observed is not None and observed.tree == self._wanted.tree:
            return step.NoChange(
                f"{self._branch.name} is at {observed.commit[:12]} with version {version}", _outputs(observed)
            )
        self._refuse(observed)
        now = f"now {observed.tree[:12]}" if observed else "new"
        return step.Change(
            f"put version {version} of commit {self._wanted.source[:12]} on {self._branch.name} ({now})"
        )

    def apply(self, context: ProjectContext, change: step.Change) -> step.Outputs:
        runner, head = context.programs, self._branch.head(context.programs)
        for left in reversed(range(dag_branch.TRIES)):
            self._refuse(head)
            try:
                return _outputs(self._branch.advance(runner, self._wanted, onto=head))
            except (git_remote.LostRace, git_remote.Cut) as error:
                if not left:
                    raise
                context.progress(f"{error.message} Trying again.")
                self._look_again(runner, error)
            head = self._branch.head(runner)
            if head is not None and head.tree == self._wanted.tree:
                # Ours arrived although the answer did not, or somebody wanted the same.
                return _outputs(head)
        raise AssertionError("the last try raised")

    def _look_again(self, runner: programs.Programs, lost: errors.PlatformError) -> None:
        """Learn where the branch is now; of a server that is gone, that ours may have arrived is what counts."""
        try:
            self._branch.refresh(runner)
        except git_remote.NotReachable as error:
            if isinstance(lost, git_remote.Cut):
                raise git_remote.Cut(
                    f"{lost.message} Whether {self._branch.name} has moved is not known: {error.message}",
                    hint="Run this again when it is reachable: it looks first.",
                ) from error
            raise

    def _refuse(self, head: Synced | None) -> None:
        """What somebody put there by hand may be what keeps production running: it is not covered unasked."""
        if self._onto and head is not None and head.commit != self._onto:
            raise errors.RefusedError(
                f"{self._branch.name} is at {head.commit[:12]} by {head.who} meanwhile.",
                hint="Nothing was taken back: whoever synced that has seen to it.",
                untouched=True,
            )
        if head is None or not head.foreign or (self._over and head.commit.startswith(self._over)):
            return
        raise errors.RefusedError(
            f"{self._branch.name} is at {head.commit[:12]} by {head.who} of {head.when} ({head.subject}), "
            "which `inv dags-sync` did not make.",
            hint="Bring its changes into the project and sync that; or put your version on top of it with "
            f"--over={head.commit[:12]}: it stays in the branch's history.",
            untouched=True,
        )


def _outputs(head: Synced) -> dict[str, str]:
    return {"commit": head.commit, "tree": head.tree, "source": head.source}
