"""The proof that a tenant serves the wanted DAG commit, every file of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_platform import errors
from airflow_platform.engine import step
from airflow_platform.manifests import airflow as manifest
from airflow_platform.steps.contexts import TenantContext, TenantStep, connected
from airflow_platform.tools import airflow, airflow_answers

SETTLING = 10.0
"""Seconds after a commit arrived until its changed files are surely parsed; 2 on a quiet machine."""

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
        with connected(context) as client:
            return self._look(context, client)

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
        wanted = context.outputs("dag-repository")["commit"]
        with connected(context) as client:
            waiting = _Waiting(client, wanted, context.clock)
            context.wait_for(
                f"commit {wanted[:12]} to be served",
                lambda: waiting.behind(self._look(context, client)),
                timeout=TIMEOUT,
                hint="Look into the dag-processor's log: inv tenant-logs --component=dag-processor.",
            )
            return self._outputs(context, self._look(context, client).dags)

    def _look(self, context: TenantContext, client: airflow.Airflow) -> Observed:
        wanted = context.outputs("dag-repository")["commit"]
        dags = [dag for dag in client.dags() if not dag.stale and dag.bundle == manifest.BUNDLE]
        return Observed(
            commit=self._served(context.tenant.name),
            behind=tuple(dag.id for dag in dags if dag.version != wanted and not dag.has_import_errors),
            failures=_told(client.import_failures()),
            dags=len(dags),
        )

    def _outputs(self, context: TenantContext, dags: int) -> step.Outputs:
        repository = context.outputs("dag-repository")
        return {"dag_commit": repository["commit"], "dag_version": repository["tree"], "dags": dags}


class _Waiting:
    """What a wait for one commit remembers."""

    def __init__(self, client: airflow.Airflow, wanted: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._wanted = wanted
        self._clock = clock
        self._asked: set[str] = set()
        self._arrived = 0.0

    def behind(self, observed: Observed) -> str:
        """What is still behind; "" when all is served.

        Airflow parses an unchanged file again only after minutes, so those are asked for.

        Raises:
            StepError: A file of that commit cannot be imported: waiting longer is of no use.
        """
        if observed.commit != self._wanted:
            return f"the bundle is at {observed.commit[:12] or 'no commit'}"
        self._arrived = self._arrived or self._clock()
        for dag in (dag for dag in observed.behind if dag not in self._asked):
            self._client.reparse(dag)
            self._asked.add(dag)
        if observed.failures:
            return self._failing(observed.failures)
        if observed.behind:
            return f"{len(observed.behind)} DAGs are parsed again"
        return "" if observed.dags else "no DAG is parsed yet"

    def _failing(self, failures: Sequence[str]) -> str:
        """Failures of the commit before this one are told until their files are parsed again."""
        number = f"{len(failures)} DAG file{'s' * (len(failures) > 1)}"
        if self._clock() < self._arrived + SETTLING:
            return f"{number} cannot be imported"
        raise errors.StepError(
            f"{number} of commit {self._wanted[:12]} cannot be imported: {'; '.join(failures)}.",
            hint="Mend and commit, then run this again; the tenant serves its other DAGs.",
        )


def _told(failures: Sequence[airflow_answers.ImportFailure]) -> tuple[str, ...]:
    return tuple(sorted(f"{each.file}: {each.reason}" for each in failures))
