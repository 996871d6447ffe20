"""The DAG that `inv tenant-up` runs last: it succeeds only if this tenant can really work.

One task writes a row with the run's id into Snowflake and reads it back. So a green run proves that
DAGs are delivered, tasks are run, and the connection `snowflake_default` leads to a database in which
this tenant may create, write and read.
"""

from __future__ import annotations

import datetime

from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
from airflow.sdk import dag, get_current_context, task

KEPT_DAYS = 7

WRITE = (
    "CREATE TABLE IF NOT EXISTS PLATFORM_SMOKE (RUN_ID VARCHAR NOT NULL, WRITTEN_AT TIMESTAMP_NTZ NOT NULL)",
    "DELETE FROM PLATFORM_SMOKE WHERE RUN_ID = %(run)s OR WRITTEN_AT < %(oldest)s",
    "INSERT INTO PLATFORM_SMOKE (RUN_ID, WRITTEN_AT) VALUES (%(run)s, %(now)s)",
)
READ_BACK = "SELECT COUNT(*) FROM PLATFORM_SMOKE WHERE RUN_ID = %(run)s"


@dag(
    dag_id="platform_smoke",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    dagrun_timeout=datetime.timedelta(minutes=5),
    tags=["platform", "tenant:all"],
    doc_md=__doc__,
)
def platform_smoke() -> None:
    """Write a row and read it back."""

    @task(execution_timeout=datetime.timedelta(minutes=2))
    def write_and_read_back() -> str:
        run_id: str = get_current_context()["dag_run"].run_id
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        values = {"run": run_id, "now": now, "oldest": now - datetime.timedelta(days=KEPT_DAYS)}
        hook = SnowflakeHook(snowflake_conn_id="snowflake_default")
        hook.run(list(WRITE), autocommit=True, parameters=values)
        found = hook.get_first(READ_BACK, {"run": run_id})
        if tuple(found or ()) != (1,):
            raise ValueError(f"Wrote one row for run {run_id} into PLATFORM_SMOKE, and read back {found}.")
        return run_id

    write_and_read_back()


platform_smoke()
