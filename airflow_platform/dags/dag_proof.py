"""The proof that a tenant serves a DAG version: waited for, and read from the tenant itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.dags import dag_arrival, dag_changes, dag_serving
from airflow_platform.dags.dag_contexts import Target, TargetContext, TargetStep
from airflow_platform.engine import step
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tools import sqlite_metadata
from airflow_platform.tools.airflow import airflow_answers, airflow_client, airflow_session
from airflow_platform.tools.git import git


@dataclass(frozen=True)
class Difference:
    """What a tenant would see of a new version."""

    added: tuple[str, ...]
    """Ids of DAGs."""
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    staying: tuple[str, ...]
    """Runs in flight, which keep to the version that they started with."""

    def __str__(self) -> str:
        parts = {"+": self.added, "~": self.changed, "-": self.removed}
        told = [f"{sign} {', '.join(ids)}" for sign, ids in parts.items() if ids]
        told += [f"{len(self.staying)} in flight stay: {', '.join(self.staying[:3])}"] if self.staying else []
        return "; ".join(told)

    def to_json(self) -> dict[str, list[str]]:
        return {name: list(getattr(self, name)) for name in ("added", "changed", "removed", "staying")}


@dataclass(frozen=True)
class Observed:
    """What a tenant serves, and what it would see of the wanted version; nothing of one that is down."""

    silent: str = ""
    """Why a tenant that is up does not answer now."""
    served: dag_serving.Served | None = None
    tree: str = ""
    """The version that its dag-processor serves."""
    runs: tuple[airflow_answers.Run, ...] = ()


class Proof(TargetStep):
    """Outputs: `state` (`served` or `down`), and of one that is up `commit`, `version`, `dags` (how many)."""

    name = "serving"
    publishes = ("state", "commit", "version", "dags")

    def __init__(
        self,
        wanted: dag_changes.Version,
        *,
        known: dag_changes.Known,
        source: Path,
        dags: Callable[[TargetContext], Mapping[str, str] | None],
        unread: Callable[[TargetContext], Collection[str]] = lambda context: (),
        before: Callable[[str], str] | None = None,
        on_difference: Callable[[str, Difference], None] = lambda place, difference: None,
        on_unimportable: Callable[[str], None] = lambda place: None,
    ) -> None:
        """Make the step.

        Args:
            wanted: The wanted version.
            known: What is known of versions, for all tenants.
            source: The repository with the branch, for commits that no environment's own repository has.
            dags: The ids of the DAGs of the wanted version, with their files; None where nobody has looked.
            unread: Files of it whose DAGs are not among those, because nobody could import them.
            before: The commit that a place served before the branch was moved, by the place's name; "" where
                nobody knows. By default what it serves when the step begins.
            on_difference: Called with a place's name and what it would see of the version.
            on_unimportable: Called with the name of a place that cannot import a file of the version.
        """
        self._new = wanted
        self._known = known
        self._tree = wanted.tree
        self._source = source
        self._dags = dags
        self._unread = unread
        self._before = before
        self._on_difference = on_difference
        self._on_unimportable = on_unimportable

    def observe(self, context: TargetContext) -> Observed:
        place = context.tenant
        if place.down():
            return Observed()
        try:
            with place.access() as opened:
                served = _bundle(place, opened.airflow).look()
                tree = self._tree_of(context, served.commit)
                runs = () if tree == self._tree else opened.airflow.unfinished_runs()
        except (airflow_session.NotReachable, sqlite_metadata.Busy) as error:
            return Observed(silent=error.message)
        return Observed(served=served, tree=tree, runs=runs)

    def plan(self, context: TargetContext, observed: Observed) -> step.Change | step.NoChange:
        now, version = observed.served, self._tree[:12]
        if observed.silent:
            return step.Change(f"serve version {version} (now unknown: {observed.silent})")
        if now is None:
            return step.NoChange("it is down; it catches up when it comes up", {"state": "down"})
        if observed.tree != self._tree:
            difference = self._difference(context, observed, now)
            self._on_difference(context.tenant.name, difference)
            told = f": {difference}" if str(difference) else ""
            return step.Change(f"serve version {version} (now {observed.tree[:12] or 'none yet'}){told}")
        wanted = self._wanted(context, context.outputs("dag-branch")["commit"])
        if lacking := str(dag_serving.lacking(now, wanted)):
            return step.Change(f"have version {version} served whole: {lacking}")
        if self._before and self._before(context.tenant.name) != wanted.commit:
            return step.Change(f"have version {version} served whole: it has just come")
        return step.NoChange(f"serves version {version}", _outputs(now, self._tree))

    def apply(self, context: TargetContext, change: step.Change) -> step.Outputs:
        place = context.tenant
        wanted = self._wanted(context, context.outputs("dag-branch")["commit"])
        before = self._before(place.name) if self._before else place.commit()
        with place.access() as opened:
            bundle = _bundle(place, opened.airflow)
            coming = dag_arrival.Coming(bundle, wanted, before, context.clock, place.refreshed)
            hint = (
                f"Look into the log: inv tenant-logs --env={place.environment} --tenant={place.tenant} "
                "--component=dag-processor."
            )
            context.wait_for(
                f"version {self._tree[:12]} to be served",
                lambda: self._missing(context, coming),
                timeout=dag_arrival.LONGEST,
                patience=dag_arrival.TIMEOUT,
                hint=hint,
            )
            return _outputs(coming.served, self._tree)

    def _missing(self, context: TargetContext, coming: dag_arrival.Coming) -> str:
        """What is missing; a tenant that is busy for a moment does not end the wait."""
        try:
            missing = coming.missing()
        except airflow_session.NotReachable:
            return "an answer of its api-server"
        except sqlite_metadata.Busy:
            return "an answer of its metadata database"
        except dag_arrival.CannotImport:
            self._on_unimportable(context.tenant.name)
            raise
        if missing:
            self._refuse_later(context, coming.served.commit)
        return missing

    def _refuse_later(self, context: TargetContext, served: str) -> None:
        """A tenant that is at a commit on top of the wanted one never comes back to that."""
        commit, repository = context.outputs("dag-branch")["commit"], context.tenant.repository
        if served in ("", commit) or repository is None:
            return
        if git.contains(context.programs, repository, served, commit):
            raise errors.StepError(
                f"It serves {served[:12]} already, which somebody else has put on top of {commit[:12]}.",
                hint="`inv dags-status` shows what is served.",
            )

    def _wanted(self, context: TargetContext, commit: str) -> dag_serving.Expected:
        def concerned(old: str) -> dag_changes.Concerned:
            return self._known.way(self._version(context, old), self._new)

        def between(old: str) -> tuple[str, ...] | None:
            return git.between(context.programs, self._source, old, commit)

        unread = frozenset(self._unread(context))
        return dag_serving.Expected(commit, concerned, self._dags(context), unread, between)

    def _version(self, context: TargetContext, commit: str) -> dag_changes.Version | None:
        mine = context.tenant.repository
        places = [self._source] if mine is None else [mine, self._source]
        return self._known.version(commit, places, manifest.FOLDER) if commit else None

    def _tree_of(self, context: TargetContext, commit: str) -> str:
        found = self._version(context, commit)
        return found.tree if found else ""

    def _difference(self, context: TargetContext, observed: Observed, now: dag_serving.Served) -> Difference:
        there = {dag.id for dag in now.dags}
        coming, unread = self._dags(context), self._unread(context)
        if coming is None:
            return Difference((), (), (), _in_flight(observed.runs))
        concerned = self._known.way(self._version(context, now.commit), self._new)
        changed = (dag for dag in coming.keys() & there if coming[dag] in concerned)
        return Difference(
            added=tuple(sorted(coming.keys() - there)),
            changed=tuple(sorted(changed)),
            removed=tuple(
                sorted(dag.id for dag in now.dags if dag.id not in coming and dag.file not in unread)
            ),
            staying=_in_flight(observed.runs),
        )


def _bundle(place: Target, client: airflow_client.Airflow) -> dag_serving.Bundle:
    return dag_serving.Bundle(client, manifest.BUNDLE, place.commit)


def _in_flight(runs: Sequence[airflow_answers.Run]) -> tuple[str, ...]:
    return tuple(f"{run.dag}/{run.id}" for run in runs)


def _outputs(now: dag_serving.Served, tree: str) -> dict[str, step.Json]:
    return {"state": "served", "commit": now.commit, "version": tree, "dags": len(now.dags)}
