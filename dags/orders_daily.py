"""Daily revenue of a web shop: files of orders, through a stage, into a mart, with quality checks.

    choose_day → create_tables → stage_orders → load_orders → check_orders → merge_revenue → check_revenue

Each run works on one day: the day of its data interval, or `{"day": "2026-01-31"}` in the conf of a run
that is triggered by hand; without either, yesterday. Running a day again replaces that day and nothing else.

The statements are in `sql/`. The schema is the Airflow variable `orders_schema`; the pool `snowflake`
limits how many tasks use Snowflake at the same time. The orders are made up, the same for a day each
time; a team would put its own source in place of `orders_of`.
"""

from __future__ import annotations

import csv
import datetime
import random
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow.providers.common.sql.operators.sql import (
    SQLColumnCheckOperator,
    SQLExecuteQueryOperator,
    SQLTableCheckOperator,
)
from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task

CONNECTION = "snowflake_default"
SCHEMA = "{{ var.value.get('orders_schema', 'ORDERS') }}"
DAY = "{{ ti.xcom_pull(task_ids='choose_day') }}"
COLUMNS = ("order_id", "customer", "currency", "amount", "ordered_at")
CURRENCIES = ("EUR", "USD", "GBP")
ORDERS_A_DAY = 50
CENTS = range(500, 50_000)


def orders_of(day: datetime.date) -> list[tuple[int, str, str, Decimal, str]]:
    """The orders of a day, the same each time: id, customer, currency, amount, time without zone (UTC)."""
    chance = random.Random(day.toordinal())  # noqa: S311 - sample data, not a secret.
    midnight = datetime.datetime.combine(day, datetime.time())
    seconds = sorted(chance.sample(range(24 * 60 * 60), ORDERS_A_DAY))
    return [
        (
            day.toordinal() * ORDERS_A_DAY + number,
            f"customer-{chance.randrange(20):02}",
            chance.choice(CURRENCIES),
            Decimal(chance.choice(CENTS)) / 100,
            (midnight + datetime.timedelta(seconds=second)).isoformat(),
        )
        for number, second in enumerate(seconds)
    ]


def day_of(dag_run: Any) -> datetime.date:
    """The day that a run works on."""
    if named := (dag_run.conf or {}).get("day"):
        return datetime.date.fromisoformat(named)
    start: datetime.datetime = dag_run.data_interval_start or dag_run.run_after - datetime.timedelta(days=1)
    return start.date()


@dag(
    dag_id="orders_daily",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,  # Two runs of one day would load it twice.
    default_args={
        "owner": "orders-team",
        "retries": 2,
        "retry_delay": datetime.timedelta(seconds=30),
        "execution_timeout": datetime.timedelta(minutes=10),
        "pool": "snowflake",
    },
    tags=["orders", "snowflake", "tenant:all"],
    doc_md=__doc__,
)
def orders_daily() -> None:
    """Load one day and update its revenue."""

    @task(pool="default_pool")
    def choose_day() -> str:
        return day_of(get_current_context()["dag_run"]).isoformat()

    @task
    def stage_orders(day: str, schema: str) -> int:
        """Write the day's orders to a file and put it into the stage; both in one task, one machine."""
        orders = orders_of(datetime.date.fromisoformat(day))
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "orders.csv")
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([COLUMNS, *orders])
            target = f"@{schema}.ORDERS_STAGE/{day}/"
            SnowflakeHook(CONNECTION).run(f"PUT file://{path} {target} OVERWRITE = TRUE")
        return len(orders)

    def execute(task_id: str, file: str) -> SQLExecuteQueryOperator:
        return SQLExecuteQueryOperator(
            task_id=task_id,
            conn_id=CONNECTION,
            sql=f"sql/{file}",
            split_statements=True,
            params={"stage": "ORDERS_STAGE"},
        )

    check_orders = SQLColumnCheckOperator(
        task_id="check_orders",
        conn_id=CONNECTION,
        table=f"{SCHEMA}.RAW_ORDERS",
        partition_clause=f"ORDERED_AT::DATE = '{DAY}'",
        column_mapping={
            "ORDER_ID": {"null_check": {"equal_to": 0}, "unique_check": {"equal_to": 0}},
            "AMOUNT": {"min": {"greater_than": 0}, "null_check": {"equal_to": 0}},
        },
    )
    check_revenue = SQLTableCheckOperator(
        task_id="check_revenue",
        conn_id=CONNECTION,
        table=f"{SCHEMA}.DAILY_REVENUE",
        partition_clause=f"DAY = '{DAY}'",
        checks={
            "has_rows": {"check_statement": "COUNT(*) > 0"},
            "all_orders_counted": {
                "check_statement": (
                    f"SUM(ORDERS) = (SELECT COUNT(*) FROM {SCHEMA}.RAW_ORDERS "  # noqa: S608 - own names.
                    f"WHERE ORDERED_AT::DATE = '{DAY}')"
                )
            },
        },
    )
    day = choose_day()
    staged = stage_orders(day, SCHEMA)
    day >> execute("create_tables", "create_tables.sql") >> staged
    staged >> execute("load_orders", "load_orders.sql") >> check_orders
    check_orders >> execute("merge_revenue", "merge_revenue.sql") >> check_revenue


orders_daily()
