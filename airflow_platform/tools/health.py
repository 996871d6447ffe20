"""Whether a tenant's Airflow is healthy: every component alive, with a heartbeat of its present start."""

from __future__ import annotations

from airflow_platform.supervisor.spec import Status
from airflow_platform.tools import airflow, airflow_session, processes


def missing(status: Status | None, client: airflow.Airflow, *, user: int | None = None) -> str:
    """What keeps a tenant from being healthy, in the order in which it comes about; "" for nothing.

    Airflow itself calls a heartbeat of 30 s ago healthy, also that of a process which has gone
    since. So each component's newest job must also be from after the start of its process; both
    times are taken by clocks of the tenant's machine, never by the caller's.

    Args:
        status: What the tenant's supervisor says.
        client: Of its api-server.
        user: The tenant's user id. Nobody else who listens on the tenant's port is told its password.
    """
    if status is None:
        return "the supervisor"
    for each in status.components:
        if each.state != "running":
            return f"{each.name} ({each.last_exit or each.state})"
    try:
        return _said(client, status, user)
    except airflow_session.NotReachable:
        return "an answer of the api-server"
    except airflow_session.AirflowError as error:
        return f"a good answer of the api-server ({error.message})"


def _said(client: airflow.Airflow, status: Status, user: int | None) -> str:
    """What the api-server's answers say is missing."""
    health = client.health()
    if stranger := _stranger(client.port, user):
        return f"its own port, which {stranger} has"
    if health.healthy:
        return _jobs_of_earlier_starts(client, status)
    parts = {
        "scheduler": health.scheduler,
        "dag-processor": health.dag_processor,
        "triggerer": health.triggerer,
    }
    late = [name for name, part in parts.items() if part.status != "healthy"]
    return f"a heartbeat of {', '.join(late) or 'the metadata database'}"


def _stranger(port: int, user: int | None) -> str:
    """Who of another user listens on a port; "" for nobody, or where tenants have no users of their own."""
    if user is None:
        return ""
    strangers = [
        each for each in processes.listening(port) if each.pid and processes.user_of(each.pid) != user
    ]
    return str(strangers[0]) if strangers else ""


def _jobs_of_earlier_starts(client: airflow.Airflow, status: Status) -> str:
    jobs = client.jobs()
    late = [
        each.name
        for each in status.components
        if each.name in airflow.JOB_TYPES
        and (each.name not in jobs or jobs[each.name].started.timestamp() < each.started_at)
    ]
    return f"a heartbeat of this start of {', '.join(late)}" if late else ""
