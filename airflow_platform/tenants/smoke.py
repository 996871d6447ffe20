"""The smoke DAG: green means that tasks run, Snowflake answers and DAGs are delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_platform import errors
from airflow_platform.engine import step
from airflow_platform.tenants.access import OpenAccess
from airflow_platform.tenants.contexts import TenantContext, TenantStep
from airflow_platform.tools.airflow import airflow_answers, airflow_session

CONF = "airflow_platform"
"""The key in a run's configuration under which the toolkit says what the run proves."""


@dataclass(frozen=True)
class Observed:
    """Whether the DAG is paused, and its newest run for this start, DAG version and settings."""

    paused: bool
    run: airflow_answers.Run | None


class Smoke(TenantStep):
    """Outputs: `smoke_run` (its id) and `smoke_commit` (the commit that it ran)."""

    name = "smoke"
    publishes = ("smoke_run",)

    def __init__(self, access: OpenAccess) -> None:
        self._access = access

    def observe(self, context: TenantContext) -> Observed:
        smoke = context.environment.dags.smoke
        proves = self._proves(context)
        try:
            with self._access(context.tenant.name) as opened:
                client = opened.airflow
                dag = client.dag(smoke)
                runs = [run for run in client.runs(smoke) if run.conf.get(CONF) == proves]
        except airflow_session.NotFound:
            raise errors.StepError(
                f"Commit {context.outputs('dag-repository')['commit'][:12]} has no DAG {smoke}.",
                hint="Commit it under dags/, or name another one as `smoke` under [dags] in the environment's file.",
            ) from None
        return Observed(dag.paused, runs[0] if runs else None)

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        smoke = context.environment.dags.smoke
        if observed.run is not None and observed.run.state == "success":
            return step.NoChange(
                f"{smoke} has succeeded since this start ({observed.run.id})", _outputs(observed.run)
            )
        if observed.run is not None and not observed.run.finished:
            details = {"run": observed.run.id, "unpause": observed.paused}
            return step.Change(f"wait for {smoke} ({observed.run.id})", details)
        return step.Change(f"run {smoke}", {"run": None, "unpause": observed.paused})

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        smoke = context.environment.dags.smoke
        with self._access(context.tenant.name) as opened:
            client = opened.airflow
            if change.details["unpause"]:
                client.set_paused(smoke, paused=False)
            run_id = change.details["run"] or client.trigger(smoke, conf={CONF: self._proves(context)}).id
            run = client.wait_for_run(
                smoke,
                run_id,
                timeout=context.environment.dags.smoke_timeout,
                sleep=context.programs.interruption.sleep,
                clock=context.clock,
                progress=lambda state: context.progress(f"{smoke} is {state}"),
            )
            if run.state != "success":
                why = context.programs.mask(client.failure(smoke, run_id))
                raise errors.StepError(
                    f"{smoke} failed ({run_id}). {why}",
                    hint=f"Its page: {context.outputs('components')['url']}/dags/{smoke}/runs/{run_id}",
                )
            return _outputs(run)

    def _proves(self, context: TenantContext) -> dict[str, Any]:
        """What a run of now would prove; a run that proves the same need not be repeated."""
        return {
            "start": context.outputs("components")["start"],
            "dag_version": context.outputs("dag-repository")["tree"],
            "settings": context.outputs("settings")["digest"],
        }


def _outputs(run: airflow_answers.Run) -> step.Outputs:
    return {"smoke_run": run.id, "smoke_commit": run.version}
