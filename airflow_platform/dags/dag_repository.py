"""The DAGs that an environment serves: one commit, in a bare repository that the toolkit owns."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.dags import dag_branch
from airflow_platform.engine import step
from airflow_platform.programs import programs
from airflow_platform.tenants import airflow_settings
from airflow_platform.tenants.contexts import EnvironmentContext, EnvironmentStep, inhabitants
from airflow_platform.tools import files
from airflow_platform.tools.git import git

FOLLOWING = 30.0
"""Seconds for the answer of the branch's server; half of what others wait for us who use the same repository."""


@dataclass(frozen=True)
class Wanted:
    """What should be served, and where Git finds it."""

    commit: git.Commit
    source: Path
    """The repository that has it."""
    branch: str = ""
    """The branch that it comes from; "" for the checkout's own commit."""
    notes: tuple[str, ...] = ()
    """What the reader of the plan should know about the choice."""

    def __str__(self) -> str:
        return f"commit {self.commit.sha[:12]}" + (f" of {self.branch}" if self.branch else "")


@dataclass(frozen=True)
class Observed:
    """The commit that should be served, the one that is, and what is not committed."""

    wanted: Wanted | None
    """None on the way down."""
    served: str
    uncommitted: tuple[str, ...]
    exists: bool
    inhabitants: tuple[str, ...]
    """On the way down: tenants that have a directory, or are about to get one."""
    served_tree: str = ""
    """The DAG version of a served commit that is not the wanted one."""


FindBranch = Callable[[programs.Programs, Callable[[str], None]], dag_branch.DagBranch | None]
"""Finds the branch; from what starts Git, and what is called with lines for people while somebody is waited for."""


class DagRepository(EnvironmentStep):
    """Outputs: `repository`, `commit` (40 digits), `tree` (the DAG version), `uncommitted` (files).

    What is served is the branch that all environments follow, once something was synced; before that,
    the commit that is checked out.
    """

    name = "dag-repository"
    keeps_data = True

    def __init__(
        self,
        place: state_files.EnvironmentFiles,
        *,
        checkout: Path,
        branch: FindBranch = lambda runner, on_note: None,
    ) -> None:
        """Make the step.

        Args:
            place: Where the environment's files are.
            checkout: The repository with the DAGs.
            branch: The branch that all environments follow; None where nothing can have been synced.
        """
        self._place = place
        self._checkout = checkout
        self._branch = branch

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        if context.goal is step.Goal.ABSENT:
            return
        try:
            git.resolve(context.programs, self._checkout, "HEAD", airflow_settings.FOLDER)
        except git.NoCommit as error:
            yield errors.Fault("DAGs", error.message, error.hint)
        except errors.ProgramMissing as error:
            yield errors.Fault("git", error.message, "Install the package git.")

    def observe(self, context: EnvironmentContext) -> Observed:
        runner = context.programs
        if context.goal is step.Goal.ABSENT:
            users = inhabitants(context, self._place, self._place.found())
            return Observed(None, "", (), self._place.repository.exists(), users)
        wanted = self._wanted(context)
        served = git.branch(runner, self._place.repository, airflow_settings.BRANCH)
        differs = served not in ("", wanted.commit.sha)
        return Observed(
            wanted=wanted,
            served=served,
            served_tree=git.tree(runner, self._place.repository, served, airflow_settings.FOLDER)
            if differs
            else "",
            uncommitted=git.uncommitted(runner, self._checkout, airflow_settings.FOLDER),
            exists=self._place.repository.exists(),
            inhabitants=(),
        )

    def _wanted(self, context: EnvironmentContext) -> Wanted:
        """The branch's commit; the checkout's where nothing was synced yet."""
        runner = context.programs
        here = git.resolve(runner, self._checkout, "HEAD", airflow_settings.FOLDER)
        branch = self._branch(runner, context.progress)
        if branch is None:
            return Wanted(here, self._checkout)
        notes = []
        try:
            branch.refresh(runner, timeout=FOLLOWING)
        except (errors.StepError, errors.RefusedError, errors.BusyError) as error:
            # An environment that comes up must not depend on that server, nor on who waits for it: the last that
            # is known will do.
            if branch.head(runner) is None:
                raise
            notes.append(f"as last known: {error.message}")
        if (head := branch.head(runner)) is None:
            return Wanted(here, self._checkout)
        if not head.tree:
            raise errors.StepError(
                f"{branch.name} is at {head.commit[:12]} by {head.who}, which has no folder {airflow_settings.FOLDER}/.",
                hint=f"`inv dags-rollback --over={head.commit[:12]}` puts the last good DAGs on top of it.",
            )
        if head.tree != here.tree:
            notes.append("HEAD has other DAGs: `inv dags-sync` brings them everywhere")
        return Wanted(git.Commit(head.commit, head.tree), branch.repository, branch.name, tuple(notes))

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.wanted is None:
            return _plan_removal(observed)
        wanted, commit = observed.wanted, observed.wanted.commit
        told = "".join(f"; {note}" for note in (*wanted.notes, *_left_out(observed.uncommitted)))
        outputs = {
            "repository": str(self._place.repository),
            "commit": commit.sha,
            "tree": commit.tree,
            "uncommitted": list(observed.uncommitted),
        }
        if observed.served == commit.sha:
            return step.NoChange(f"{wanted} is served{told}", outputs)
        if observed.served_tree == commit.tree:
            # A commit that leaves the DAGs alone is no other DAG version.
            same = f"commit {observed.served[:12]} is served, with the DAGs of {commit.sha[:12]}{told}"
            return step.NoChange(same, {**outputs, "commit": observed.served})
        details = {"outputs": outputs, "source": str(observed.wanted.source)}
        return step.Change(f"serve {wanted}{told}", details)

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        repository = self._place.repository
        if context.goal is step.Goal.ABSENT:
            with errors.state_errors(repository):
                shutil.rmtree(repository)
            return {}
        files.make_directory(repository, mode=0o755)
        git.make_bare(context.programs, repository, airflow_settings.BRANCH)
        commit = change.details["outputs"]["commit"]
        git.fetch(
            context.programs, repository, Path(change.details["source"]), commit, airflow_settings.BRANCH
        )
        outputs: step.Outputs = change.details["outputs"]
        return outputs


def _plan_removal(observed: Observed) -> step.Change | step.NoChange:
    if not observed.exists:
        return step.NoChange("it is not there")
    if observed.inhabitants:
        return step.NoChange(f"tenants still use it: {', '.join(observed.inhabitants)}")
    return step.Change("delete the bare repository; no tenant is left")


def _left_out(files_: tuple[str, ...]) -> Iterator[str]:
    """What is not served because nobody committed it: counted and named."""
    if files_:
        shown = ", ".join(files_[:3]) + (", …" if len(files_) > 3 else "")
        yield f"{len(files_)} uncommitted under {airflow_settings.FOLDER}/ not served: {shown}"
