"""What a tenant is made of: the names of its components, and what is true of each wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Name = Literal[
    "api-server", "scheduler", "dag-processor", "triggerer", "worker", "broker", "fakesnow",
    "metadata-database",
]  # fmt: skip
"""A component's name: that of its process or container, and of its image where it has one."""

API_SERVER: Final = "api-server"
SCHEDULER: Final = "scheduler"
DAG_PROCESSOR: Final = "dag-processor"
TRIGGERER: Final = "triggerer"
WORKER: Final = "worker"
"""Runs tasks, where the executor is CeleryExecutor."""
BROKER: Final = "broker"
"""Redis, between scheduler and workers."""
FAKESNOW: Final = "fakesnow"
"""Stands for Snowflake where a tenant names no account."""
METADATA_DATABASE: Final = "metadata-database"
"""The server that tenants in containers share."""

AIRFLOW: tuple[Name, ...] = (API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER)
"""What makes an Airflow everywhere, in the order in which people know them."""

IMAGES: tuple[Name, ...] = (*AIRFLOW, WORKER)
"""Those with an image that adds its command and its health check to `BASE_IMAGE`."""

BASE_IMAGE: Final = "airflow-base"
"""Airflow with its providers."""

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    API_SERVER: ("api-server",),
    # The api-server reads all logs from one place: no need for servers of logs, and their ports.
    SCHEDULER: ("scheduler", "--skip-serve-logs"),
    DAG_PROCESSOR: ("dag-processor",),
    TRIGGERER: ("triggerer", "--skip-serve-logs"),
    WORKER: ("celery", "worker", "--skip-serve-logs"),
}
"""What the program `airflow` is started with."""

STOP_TIMEOUT = 25
"""Seconds from the stop signal to SIGKILL: time for tasks to end."""

STOP_TIMEOUTS: Mapping[str, int] = {
    # Its runner answers within a second or never; triggers go on with the next triggerer.
    TRIGGERER: 8,
    # It can lose a SIGTERM, and takes the one that is sent again after 4 s.
    DAG_PROCESSOR: 12,
    BROKER: 5,
    FAKESNOW: 10,
    METADATA_DATABASE: 30,
}
"""The same for those that have no tasks."""
