"""The proof that a tenant serves the wanted DAG commit, every file of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from airflow_platform.engine import step
from airflow_platform.manifests import airflow as manifest
from airflow_platform.steps.contexts import TenantContext, TenantStep, connected
from airflow_platform.tools import airflow, dag_changes, dag_serving

TIMEOUT = 120.0
"""Seconds until the commit is served; a few after the components are healthy."""


@dataclass(frozen=True)
class Observed:
    """The commit of the bundle, the DAGs parsed from another, and files that cannot be imported."""

    commit: str
    behind: tuple[str, ...]
    failures: tuple[str, ...]
    dags: int


class ServedDags(TenantStep):
    """Outputs: `dag_commit`, `dag_version` (the tree of the folder), `dags` (how many)."""

    name = "dags"
    undone_by = "directory"
    requires = ("components", "dag-repository", "settings")
    publishes = ("dag_commit", "dag_version", "dags")

    def __init__(self, served: Callable[[str], str]) -> None:
        """Make the step.

        Args:
            served: The commit that a tenant's dag-processor serves, by the tenant's name; "" for none.
        """
        self._served = served

    def observe(self, context: TenantContext) -> Observed:
        wanted = _wanted(context)
        with connected(context) as client:
            now = self._look(context, client)
        behind = now.behind(wanted.commit, wanted.concerned)
        return Observed(
            now.commit, tuple(dag.id for dag in behind), dag_serving.told(now.failures), len(now.dags)
        )

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        wanted = context.outputs("dag-repository")["commit"]
        if observed.commit == wanted and observed.dags and not observed.behind and not observed.failures:
            return step.NoChange(
                f"{observed.dags} DAGs of commit {wanted[:12]}", self._outputs(context, observed.dags)
            )
        if observed.commit == wanted and observed.failures:
            return step.Change(f"wait for files that cannot be imported: {'; '.join(observed.failures)}")
        now = observed.commit[:12] or "none yet"
        return step.Change(f"serve commit {wanted[:12]} (now {now})")

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        wanted = _wanted(context)
        with connected(context) as client:
            coming = dag_serving.Coming(client, wanted, context.clock)
            context.wait_for(
                f"commit {wanted.commit[:12]} to be served",
                lambda: coming.missing(self._look(context, client)),
                timeout=TIMEOUT,
                hint="Look into the dag-processor's log: inv tenant-logs --component=dag-processor.",
            )
            return self._outputs(context, len(self._look(context, client).dags))

    def _look(self, context: TenantContext, client: airflow.Airflow) -> dag_serving.Served:
        return dag_serving.look(client, self._served(context.tenant.name), manifest.BUNDLE)

    def _outputs(self, context: TenantContext, dags: int) -> step.Outputs:
        repository = context.outputs("dag-repository")
        return {"dag_commit": repository["commit"], "dag_version": repository["tree"], "dags": dags}


def _wanted(context: TenantContext) -> dag_serving.Wanted:
    served = context.outputs("dag-repository")
    commit, repository = served["commit"], Path(served["repository"])

    known = dag_changes.Known(context.programs)

    def version(of: str) -> dag_changes.Version | None:
        return known.version(of, [repository], manifest.FOLDER)

    def concerned(old: str) -> dag_changes.Concerned:
        new = version(commit)
        return known.way(version(old), new) if new else dag_changes.ALL

    return dag_serving.Wanted(commit, lambda other: other == commit, concerned)
