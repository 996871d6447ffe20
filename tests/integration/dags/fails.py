"""A DAG that fails, and says why."""

from __future__ import annotations

import datetime

from airflow.sdk import dag, get_current_context, task


@dag(
    dag_id="fails",
    # Every minute since long ago: a schedule that would start at once, if schedules were followed.
    schedule="* * * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    tags=["tenant:all"],
)
def fails() -> None:
    """Look for files, do not find them, and do not go on."""

    @task
    def look() -> None:
        day = get_current_context()["dag_run"].conf["day"]
        raise LookupError(f"There is no file of {day}.")

    @task
    def go_on() -> None:
        """Never begun."""

    look() >> go_on()


fails()
