"""The wiring of a run: which steps, which goal, what is left out, what is printed."""

import json

import pytest

from airflow_platform import errors
from airflow_platform.engine import run, step
from airflow_platform.engine.report import Report
from airflow_platform.tasks import tenant_down, tenant_up
from airflow_platform.tasks.command_line import CommandLine


@pytest.fixture
def orders(environments, monkeypatch):
    """What the engine was asked for; it answers that all went well."""
    found = []

    def execute(order):
        found.append(order)
        return Report(order.task, order.environment.name, order.reached, 0)

    monkeypatch.setattr(run, "execute", execute)
    return found


def test_up_asks_for_all_declared_tenants(orders):
    assert tenant_up.up(CommandLine("tenant-up", "sandbox", lock_timeout="5")) == 0
    (order,) = orders
    assert ([each.name for each in order.tenants], order.goal) == (
        ["analytics", "finance"],
        step.Goal.PRESENT,
    )
    assert (order.planning, order.reached, order.workers >= 4) == (False, "healthy", True)
    assert "restart" not in [each.name for each in order.steps]


def test_up_asks_for_those_that_were_named_and_only_plans_where_it_should(orders):
    tenant_up.up(CommandLine("tenant-up", "sandbox", ("finance",), plan=True), restart=("scheduler",))
    (order,) = orders
    assert ([each.name for each in order.tenants], order.planning) == (["finance"], True)
    assert "restart" in [each.name for each in order.steps]


@pytest.mark.parametrize("delete", [True, False])
def test_down_leaves_data_unless_it_is_to_be_deleted(orders, delete):
    line = CommandLine("tenant-down", "sandbox")
    tenant_down.down(line, (), delete_data=delete)
    (order,) = orders
    assert (order.goal, tuple(order.tenants)) == (step.Goal.ABSENT, line.spec().tenants)
    kept = (
        {}
        if delete
        else dict.fromkeys(("dag-repository", "directory"), "data is kept; --delete-data deletes it")
    )
    assert dict(order.skip) == kept
    assert order.reached == ("deleted" if delete else "stopped")


def test_with_json_there_is_one_document_and_news_go_elsewhere(orders, capsys):
    tenant_up.up(CommandLine("tenant-up", "sandbox", json=True))
    assert json.loads(capsys.readouterr().out)["status"] == "healthy"
    tenant_up.up(CommandLine("tenant-up", "sandbox"))
    assert capsys.readouterr().out == ""


def test_a_plan_for_an_answer_tells_nobody(orders, capsys):
    assert tenant_up.planned(CommandLine("tenant-status", "sandbox")).exit_code == 0
    assert orders[0].planning
    assert orders[0].reporter.anything("at", "all") is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("1.5", 1.5), ("60", 60.0)])
def test_a_lock_timeout_is_seconds(text, seconds):
    assert CommandLine("tenant-up", lock_timeout=text).lock_seconds == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "inf", "nan"])
def test_what_is_no_lock_timeout_is_a_usage_error(text):
    with pytest.raises(errors.UsageError, match="is no number of seconds"):
        _ = CommandLine("tenant-up", lock_timeout=text).lock_seconds
