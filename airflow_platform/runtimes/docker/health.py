"""Whether a tenant whose components are containers is healthy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_platform.config.components import WORKER
from airflow_platform.programs import programs
from airflow_platform.tenants import health
from airflow_platform.tools.airflow import airflow_client
from airflow_platform.tools.containers import engine
from airflow_platform.tools.containers.containers import Containers
from airflow_platform.tools.containers.spec import FoundContainer

PING = ("/healthcheck", WORKER)
"""The worker is the one component whose health Airflow's api-server does not know. This is what the images' own
health check runs; the engine's runs it every half minute, which is too late."""

PING_TIMEOUT = 30.0
"""Seconds for its answer: it gives up by itself after 4, and starts Python before."""


@dataclass(frozen=True)
class _Component:
    name: str
    state: str
    last_exit: str
    started_at: float


def missing(
    containers: Containers,
    components: Mapping[str, FoundContainer | None],
    client: airflow_client.Airflow,
    interruption: programs.Interruption | None = None,
) -> str:
    """What keeps a tenant from being healthy, in the order in which it comes about; "" for nothing.

    Args:
        containers: The engine's.
        components: Those that should run, by the component's name; None for one that is not there.
        client: Of the tenant's api-server.
        interruption: What ends the waiting for an answer.

    Raises:
        Interrupted: A signal came.
    """
    running = []
    for name, found in components.items():
        if found is None:
            return f"container {name}"
        running.append(_Component(name, found.state, found.last_exit, found.started_at))
    if said := health.missing(running, client):
        return said
    worker = components.get(WORKER)
    return "" if worker is None or _answers(containers, worker, interruption) else "an answer of the worker"


def _answers(
    containers: Containers, worker: FoundContainer, interruption: programs.Interruption | None
) -> bool:
    def ping() -> int:
        return containers.execute(
            worker.name,
            PING,
            on_output=lambda is_error, data: None,
            interruption=interruption,
            timeout=PING_TIMEOUT,
        )

    try:
        return ping() == 0
    except engine.EngineError:
        return False
