"""Whether a tenant's Airflow is healthy: every component alive, with a heartbeat of its present start."""

from __future__ import annotations

from airflow_platform.supervisor.spec import Status
from airflow_platform.tools import airflow, airflow_session


def missing(status: Status | None, client: airflow.Airflow) -> str:
    """What keeps a tenant from being healthy, in the order in which it comes about; "" for nothing.

    Airflow itself calls a heartbeat of 30 s ago healthy, also that of a process which has gone
    since. So each component's newest job must also be from after the start of its process; both
    times are taken by clocks of the tenant's machine, never by the caller's.
    """
    if status is None:
        return "the supervisor"
    for each in status.components:
        if each.state != "running":
            return f"{each.name} ({each.last_exit or each.state})"
    try:
        health = client.health()
        if health.healthy:
            return _jobs_of_earlier_starts(client, status)
        parts = {
            "scheduler": health.scheduler,
            "dag-processor": health.dag_processor,
            "triggerer": health.triggerer,
        }
        late = [name for name, part in parts.items() if part.status != "healthy"]
        return f"a heartbeat of {', '.join(late) or 'the metadata database'}"
    except airflow_session.NotReachable:
        return "an answer of the api-server"


def _jobs_of_earlier_starts(client: airflow.Airflow, status: Status) -> str:
    jobs = client.jobs()
    late = [
        each.name
        for each in status.components
        if each.name in airflow.JOB_TYPES
        and (each.name not in jobs or jobs[each.name].started.timestamp() < each.started_at)
    ]
    return f"a heartbeat of this start of {', '.join(late)}" if late else ""
