#!/opt/airflow-venv/bin/python -IB
"""Whether a component of Airflow is alive, at a tenth of what `airflow jobs check` costs.

    healthcheck api-server | scheduler | dag-processor | triggerer | worker

Exits 0 when it is. Ten containers ask this every half minute, and importing Airflow takes seconds of a
core each time; so the database, the broker and the port are asked directly.
"""

from __future__ import annotations

import datetime
import os
import socket
import sys
import urllib.request
from pathlib import Path

SECRETS = Path("/run/airflow/environment")

JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
"""Component, and the type of its row in the table `job`."""

ALIVE_SECONDS = 60
"""Age of a heartbeat: components write one every 5 s, and a busy database may delay some."""

TIMEOUT = 8
"""Seconds for an answer; Docker stops a check after 10."""


def setting(name: str, default: str = "") -> str:
    """A setting of Airflow, from a secret's file or the environment."""
    try:
        return (SECRETS / name).read_text(encoding="utf-8").rstrip("\n")
    except OSError:
        return os.environ.get(name, default)


def check_api_server() -> None:
    """Ask it for its own health; raises when it does not answer."""
    port = setting("AIRFLOW__API__PORT", "8080")
    scheme = "https" if setting("AIRFLOW__API__SSL_CERT") else "http"
    address = f"{scheme}://127.0.0.1:{port}/api/v2/monitor/health"
    with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:  # noqa: S310 - a fixed scheme.
        answer.read()


def check_job(kind: str) -> None:
    """Look for this container's newest heartbeat; raises when there is none or it is old."""
    found = heartbeat(setting("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"), kind, socket.getfqdn())
    if found is None:
        raise LookupError(f"no running {kind} of {socket.getfqdn()}")
    if found > ALIVE_SECONDS:
        raise LookupError(f"the last heartbeat is {found:.0f} s old")


def heartbeat(database: str, kind: str, host: str) -> float | None:
    """Seconds since a job's newest heartbeat; None when there is none that runs."""
    import psycopg2  # noqa: PLC0415

    scheme, _, rest = database.partition("://")
    if not scheme.startswith("postgres"):
        raise LookupError(f"{scheme or 'no database'} instead of PostgreSQL")
    connection = psycopg2.connect(f"postgresql://{rest}", connect_timeout=TIMEOUT)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT max(latest_heartbeat) FROM job WHERE job_type = %s AND hostname = %s AND state = 'running'",
                (kind, host),
            )
            (newest,) = cursor.fetchone()
    finally:
        connection.close()
    if newest is None:
        return None
    return float((datetime.datetime.now(datetime.UTC) - newest).total_seconds())


def check_worker() -> None:
    """Ping it through the broker; raises when it does not answer."""
    import celery  # noqa: PLC0415

    app = celery.Celery(broker=setting("AIRFLOW__CELERY__BROKER_URL"))
    name = f"celery@{socket.gethostname()}"
    if not app.control.ping(destination=[name], timeout=TIMEOUT / 2):
        raise LookupError(f"{name} does not answer")


def main() -> None:
    """Check, and say why not."""
    component = sys.argv[1]
    try:
        if component == "api-server":
            check_api_server()
        elif component == "worker":
            check_worker()
        else:
            check_job(JOBS[component])
    except Exception as error:  # noqa: BLE001 - whatever it is, the component is not well.
        sys.exit(f"{component}: {error}")


if __name__ == "__main__":
    main()
