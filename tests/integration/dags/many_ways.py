"""A DAG that defers, maps, and reads what the test has set."""

from __future__ import annotations

import datetime

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import Variable, dag, task
from helping import double


@dag(
    dag_id="many_ways",
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    tags=["tenant:all"],
)
def many_ways() -> None:
    """Wait in the triggerer, then work on two numbers."""

    @task
    def work(number: int) -> int:
        print(f"{Variable.get('greeting')} {double(number)}")
        return number

    wait = TimeDeltaSensor(task_id="wait", delta=datetime.timedelta(seconds=1), deferrable=True)
    wait >> work.expand(number=[1, 2])


many_ways()
