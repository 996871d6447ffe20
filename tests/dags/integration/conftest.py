"""One Airflow for all tests of this folder; docs/testing.md explains it."""

from airflow_platform.testing import integration

airflow = integration.fixture(
    "dags",
    pools=[{"name": "snowflake", "slots": 2}],
    variables={"orders_schema": "SHOP"},
)
