"""A DAG version on its way: places, branch, engine; what a sync and a rollback have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.dags.check import commit_check, result_cache
from airflow_platform.dags.check.findings import Checked
from airflow_platform.engine import run, step, store
from airflow_platform.engine.report import Report, TenantReport
from airflow_platform.runtimes import dag_places, following
from airflow_platform.steps import dag_branch as branch_step
from airflow_platform.steps import dag_check, dag_delivery, dag_proof
from airflow_platform.steps.dag_contexts import Place, Project
from airflow_platform.tasks import ledger, wiring
from airflow_platform.tools import dag_branch, dag_changes, git

LOCK_TIMEOUT = 60.0
"""Seconds to wait for another sync of this checkout."""


@dataclasses.dataclass(frozen=True)
class Call:
    """What a command line says, apart from what it is about."""

    task: str
    environments: tuple[str, ...] = ()
    over: str = ""
    plan: bool = False
    json: bool = False
    tracebacks: bool = False


class Scene:
    """All that a sync or rollback is about; made once a command."""

    def __init__(self, call: Call) -> None:
        """Read what is declared.

        Raises:
            UsageError, ConfigurationError: It does not fit.
            PreflightError: The token for the branch's repository is not there.
        """
        self.call = call
        self.reporter = wiring.reporter(json=call.json)
        self.runner = wiring.runner("dags")
        chosen = dag_places.environments(call.environments)
        self.places, self.elsewhere = dag_places.of(chosen, self.runner, self.reporter.note)
        if not self.places:
            raise errors.UsageError(
                f"Nothing could be proved in {', '.join(each.name for each in chosen)}: "
                f"{'; '.join(each.why for each in self.elsewhere)}.",
                hint="Name an environment whose tenants can be asked.",
            )
        self.branch = following.branch(self.runner, self.reporter.note)
        self.known = dag_changes.Known(self.runner)
        self.differences: dict[str, dag_proof.Difference] = {}
        self.unimportable: set[str] = set()
        self.notes = [f"{each.environment} was not looked at: {each.why}." for each in self.elsewhere]

    def execute(self, task: str, wanted: dag_branch.Wanted, *, must_pass: bool, onto: str = "") -> Report:
        """Check a version, move the branch to it, and prove it in every place."""
        source = self.branch.repository
        before: dict[str, str] = {}
        version = dag_changes.Version(wanted.objects.parent if wanted.objects else source, wanted.tree)

        def look_and_check(context: step.Context[Project]) -> Checked:
            before.update(self._served())  # As late as can be, and before the branch moves.
            return self._check(context, version, wanted)

        check = dag_check.DagCheck(
            look_and_check,
            revision=wanted.source,
            must_pass=must_pass,
        )
        steps = (
            check,
            branch_step.MovedBranch(
                self.branch, wanted, over=self.call.over, onto=onto, requires=[check.name]
            ),
            dag_delivery.Delivery(source),
            dag_proof.Proof(
                version,
                known=self.known,
                source=source,
                dags=lambda context: context.outputs(check.name)["dags"],
                unread=lambda context: context.outputs(check.name)["unread"],
                before=lambda place: before.get(place, ""),
                on_difference=self.differences.__setitem__,
                on_unimportable=self.unimportable.add,
                requires=[check.name],
            ),
        )
        report = run.execute(self._order(task, steps))
        return dataclasses.replace(report, environment=None, tenants=tuple(map(_stated, report.tenants)))

    def _order(self, task: str, steps: Sequence[step.Step]) -> run.Order[Project, Place]:
        journal = store.LocalStore(
            paths.dag_state(),
            "all DAGs",
            lock_timeout=LOCK_TIMEOUT,
            programs=self.runner,
            on_note=self.reporter.note,
        )
        return run.Order(
            task=task,
            environment=Project(),
            tenants=self.places,
            goal=step.Goal.PRESENT,
            steps=steps,
            store=journal,
            reporter=self.reporter,
            programs=self.runner,
            planning=self.call.plan,
            reached=ledger.SERVED,
            workers=max(8, 2 * len(self.places)),
        )

    def _served(self) -> dict[str, str]:
        """The commits that all places serve, by their names."""
        with ThreadPoolExecutor(len(self.places)) as pool:
            return dict(
                zip((place.name for place in self.places), pool.map(_serves, self.places), strict=True)
            )

    def _check(
        self, context: step.Context[Project], version: dag_changes.Version, wanted: dag_branch.Wanted
    ) -> Checked:
        """For the tenants of all environments: the branch moves for all, whoever is waited for."""
        return commit_check.check(
            git.Commit(wanted.source, wanted.tree),
            result_cache.declared(()),
            runner=context.programs,
            progress=context.progress,
            checkout=version.repository,
        )


def _serves(place: Place) -> str:
    """The commit that a place serves; "" where nobody can say."""
    try:
        return "" if place.down() else place.commit()
    except errors.Interrupted:
        raise
    except errors.PlatformError:
        return ""


def _stated(tenant: TenantReport) -> TenantReport:
    """A tenant that is down serves nothing, and is not called served."""
    outputs = {key: value for key, value in tenant.outputs.items() if key != "state"}
    down = tenant.outputs.get("state") == "down"
    return dataclasses.replace(tenant, status="down" if down else tenant.status, outputs=outputs)
