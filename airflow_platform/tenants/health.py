"""Whether a tenant's Airflow is healthy: every component alive, with a heartbeat of its present start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from airflow_platform import errors
from airflow_platform.config.components import DAG_PROCESSOR, SCHEDULER, TRIGGERER
from airflow_platform.tools.airflow import airflow_client, airflow_session


class Running(Protocol):
    """A process or container of a tenant."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> str:
        """`running`, or what else."""

    @property
    def last_exit(self) -> str:
        """How it ended the last time, for people; "" when it never did."""

    @property
    def started_at(self) -> float:
        """Unix seconds."""


def missing(components: Sequence[Running], client: airflow_client.Airflow) -> str:
    """What keeps a tenant from being healthy, in the order in which it comes about; "" for nothing.

    Airflow itself calls a heartbeat of 30 s ago healthy, also that of a process which has gone
    since. So each component's newest job must also be from after the start of its process; both
    times are taken by clocks of the tenant's machine, never by the caller's.

    Args:
        components: Of the tenant, as whoever runs them says.
        client: Of its api-server.
    """
    for each in components:
        if each.state != "running":
            return f"{each.name} ({each.last_exit or each.state})"
    try:
        return _said(client, components)
    except airflow_session.NotReachable:
        return "an answer of the api-server"
    except airflow_session.StrangerListens as error:
        return f"its own port, which {error.listener} has"
    except errors.RefusedError:  # It was started with another one than the file has now.
        return "a login with the tenant's password"
    except airflow_session.AirflowError as error:
        return f"a good answer of the api-server ({error.message})"


def _said(client: airflow_client.Airflow, components: Sequence[Running]) -> str:
    """What the api-server's answers say is missing."""
    health = client.health()
    client.session.require_tenant()
    parts = {
        SCHEDULER: health.scheduler,
        DAG_PROCESSOR: health.dag_processor,
        TRIGGERER: health.triggerer,
    }
    names = {each.name for each in components}
    late = [name for name, part in parts.items() if name in names and part.status != "healthy"]
    if late or health.metadatabase.status != "healthy":
        return f"a heartbeat of {', '.join(late) or 'the metadata database'}"
    return _jobs_of_earlier_starts(client, components)


def _jobs_of_earlier_starts(client: airflow_client.Airflow, components: Sequence[Running]) -> str:
    jobs = client.jobs()
    late = [
        each.name
        for each in components
        if each.name in airflow_client.JOB_TYPES
        and (each.name not in jobs or jobs[each.name].started.timestamp() < each.started_at)
    ]
    return f"a heartbeat of this start of {', '.join(late)}" if late else ""
