"""A DAG whose statement fakesnow cannot do."""

from __future__ import annotations

import datetime

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import dag


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    tags=["test", "tenant:all"],
    default_args={"retries": 0, "execution_timeout": datetime.timedelta(seconds=60)},
)
def asks_the_impossible():
    SQLExecuteQueryOperator(
        task_id="create_a_warehouse", conn_id="snowflake_default", sql="CREATE WAREHOUSE impossible"
    )


asks_the_impossible()
