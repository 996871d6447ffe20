"""An example for DAG authors: orders_daily on a real Airflow, with a fakesnow that was empty before."""

import datetime

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

DAY = datetime.date(2026, 1, 31)
REVENUE = f"SELECT DAY, SUM(ORDERS), SUM(REVENUE) FROM SHOP.DAILY_REVENUE WHERE DAY = '{DAY}' GROUP BY DAY"


def test_all_dags_can_be_imported(airflow):
    assert airflow.import_failures() == ()


def test_a_day_is_loaded_and_loading_it_again_changes_nothing(airflow):
    result = airflow.run("orders_daily", {"day": str(DAY)})
    assert result.tasks["check_revenue"] == "success"
    first = airflow.snowflake(REVENUE)
    # fakesnow sums decimals into floats; Snowflake does not.
    assert first == [(DAY, 50, pytest.approx(12489.21))]
    airflow.run("orders_daily", {"day": str(DAY)})
    assert airflow.snowflake(REVENUE) == first
