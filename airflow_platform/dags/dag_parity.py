"""The proof that a tenant serves the wanted DAG commit, every file of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_platform.dags import dag_arrival, dag_changes, dag_serving
from airflow_platform.engine import step
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tenants.access import OpenAccess
from airflow_platform.tenants.contexts import TenantContext, TenantStep
from airflow_platform.tools.airflow import airflow_client
from airflow_platform.tools.git import git


@dataclass(frozen=True)
class Observed:
    """The commit of the bundle, what is lacking of the wanted one, and how many DAGs there are."""

    commit: str
    lacking: str
    dags: int


class ServedDags(TenantStep):
    """Outputs: `dag_commit`, `dag_version` (the tree of the folder), `dags` (how many)."""

    name = "dags"
    publishes = ("dag_commit", "dag_version", "dags")

    def __init__(
        self,
        access: OpenAccess,
        served: Callable[[str], str],
        *,
        refreshed: Callable[[str], datetime.datetime | None] = lambda tenant: None,
        dags: Callable[[str], Mapping[str, str] | None] = lambda tree: None,
    ) -> None:
        """Make the step.

        Args:
            access: Opens the way to a tenant's Airflow.
            served: The commit that a tenant's dag-processor serves, by the tenant's name; "" for none.
            refreshed: When it looked for a new commit the last time, by the tenant's name.
            dags: The ids of a version's DAGs, with their files, by its tree; None where nobody has looked.
        """
        self._access = access
        self._dags = dags
        self._served = served
        self._refreshed = refreshed

    def observe(self, context: TenantContext) -> Observed:
        context.outputs("components")  # Unknown with `--plan` while the api-server is yet to be started.
        served = context.outputs("dag-repository")
        wanted = _wanted(context, Path(served["repository"]), served["commit"], self._dags)
        with self._access(context.tenant.name) as opened:
            now = self._bundle(context, opened.airflow).look()
        return Observed(now.commit, str(dag_serving.lacking(now, wanted)), len(now.dags))

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        wanted = context.outputs("dag-repository")["commit"]
        if not observed.lacking:
            return step.NoChange(
                f"{observed.dags} DAGs of commit {wanted[:12]}", self._outputs(context, observed.dags)
            )
        if observed.commit == wanted:
            return step.Change(f"serve commit {wanted[:12]} whole: {observed.lacking}")
        now = observed.commit[:12] or "none yet"
        return step.Change(f"serve commit {wanted[:12]} (now {now})")

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        name = context.tenant.name
        with self._access(name) as opened:
            waiting = _Waiting(
                context,
                self._bundle(context, opened.airflow),
                self._served(name),
                lambda: self._refreshed(name),
                self._dags,
            )
            context.wait_for(
                f"commit {waiting.wanted.commit[:12]} to be served",
                waiting.missing,
                timeout=dag_arrival.LONGEST,
                patience=dag_arrival.TIMEOUT,
                hint="Look into the dag-processor's log: inv tenant-logs --component=dag-processor.",
            )
        outputs = self._outputs(context, waiting.dags)
        return {**outputs, "dag_commit": waiting.wanted.commit, "dag_version": waiting.tree()}

    def _bundle(self, context: TenantContext, client: airflow_client.Airflow) -> dag_serving.Bundle:
        return dag_serving.Bundle(client, manifest.BUNDLE, lambda: self._served(context.tenant.name))

    def _outputs(self, context: TenantContext, dags: int) -> step.Outputs:
        repository = context.outputs("dag-repository")
        return {"dag_commit": repository["commit"], "dag_version": repository["tree"], "dags": dags}


class _Waiting:
    """A wait that goes on with the newer commit when somebody syncs meanwhile."""

    def __init__(
        self,
        context: TenantContext,
        bundle: dag_serving.Bundle,
        before: str,
        refreshed: Callable[[], datetime.datetime | None],
        dags: Callable[[str], Mapping[str, str] | None],
    ) -> None:
        self._dags = dags
        self._refreshed = refreshed
        self._context = context
        self._bundle = bundle
        self._before = before
        self._repository = Path(context.outputs("dag-repository")["repository"])
        self._follow(context.outputs("dag-repository")["commit"])

    def _follow(self, commit: str) -> None:
        self.wanted = _wanted(self._context, self._repository, commit, self._dags)
        self._coming = dag_arrival.Coming(
            self._bundle, self.wanted, self._before, self._context.clock, self._refreshed
        )

    @property
    def dags(self) -> int:
        """How many DAGs are served."""
        return len(self._coming.served.dags)

    def missing(self) -> str:
        """What is still missing; "" when all is served."""
        head = git.branch(self._context.programs, self._repository, manifest.BRANCH)
        if head not in ("", self.wanted.commit):
            self._follow(head)
        return self._coming.missing()

    def tree(self) -> str:
        """The DAG version that was waited for."""
        planned = self._context.outputs("dag-repository")
        if self.wanted.commit == planned["commit"]:
            return str(planned["tree"])
        return git.tree(self._context.programs, self._repository, self.wanted.commit, manifest.FOLDER)


def _wanted(
    context: TenantContext,
    repository: Path,
    commit: str,
    dags: Callable[[str], Mapping[str, str] | None],
) -> dag_serving.Expected:
    known = dag_changes.Known(context.programs)

    def version(of: str) -> dag_changes.Version | None:
        return known.version(of, [repository], manifest.FOLDER)

    def concerned(old: str) -> dag_changes.Concerned:
        new = version(commit)
        return known.way(version(old), new) if new else dag_changes.ALL

    def between(old: str) -> tuple[str, ...] | None:
        return git.between(context.programs, repository, old, commit)

    now = version(commit)
    return dag_serving.Expected(
        commit,
        concerned,
        dags(now.tree) if now else None,
        between=between,
    )
