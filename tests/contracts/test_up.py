"""Tenants that are up: told, the same after another up, complete, serving, healthy, to be looked into."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import jsonschema
from installations import TENANTS, wait_until

from airflow_platform.config import paths

SCHEMA = json.loads((paths.project().root / "docs" / "report.schema.json").read_text())


def test_up_tells_where_each_tenant_is(installed):
    ran = installed.run("tenant-up")
    assert ran.code == 0, ran.stderr
    for tenant in TENANTS:
        assert installed.url(tenant) in ran.stderr
        assert str(installed.place.tenant(tenant).admin_password) in ran.stderr
    assert installed.commit() in ran.stderr
    assert f"scripts/inv tenant-status --env={installed.name}" in ran.stderr
    assert ran.stdout == ""
    assert "\x1b" not in ran.stderr


def test_up_again_changes_nothing(installed):
    before = installed.started()
    ran = installed.up()
    assert set(ran.steps().values()) == {"unchanged"}
    assert installed.started() == before
    jsonschema.validate(ran.report, SCHEMA)


def test_a_plan_of_nothing_is_equal_and_changes_nothing(installed):
    before = installed.started()
    ran = installed.run("tenant-up", "--plan", "--json")
    assert ran.code == 0, ran.stderr
    assert installed.started() == before
    jsonschema.validate(ran.report, SCHEMA)


def test_each_tenant_has_components_of_its_own(installed):
    started = installed.started()
    for tenant in TENANTS:
        assert started[tenant].keys() == installed.components
    identities = [one for components in started.values() for one in components.values()]
    assert len(set(identities)) == len(identities)


def test_the_served_commit_is_the_one_of_the_checkout(installed):
    for tenant in TENANTS:
        dags = installed.client(tenant).dags()
        assert {dag.version for dag in dags} == {installed.commit()}
        paused = {dag.id: dag.paused for dag in dags}
        assert paused["orders_daily"], "DAGs start paused"
        assert not paused["platform_smoke"]


def test_the_data_teams_dag_runs_to_success_when_it_is_due(installed):
    client = installed.client("analytics")
    client.set_paused("orders_daily", paused=False)
    wait_until(lambda: bool(client.runs("orders_daily")), "the scheduler makes the run of yesterday")
    run, *_ = client.runs("orders_daily")  # The newest: at midnight, UTC, another becomes due.
    ended = client.wait_for_run("orders_daily", run.id, timeout=180)
    client.set_paused("orders_daily", paused=True)
    assert ended.state == "success", client.failure("orders_daily", run.id)


def test_a_task_s_log_is_read_through_the_api_server(installed):
    client = installed.client("analytics")
    (run, *_) = client.runs("platform_smoke")
    (task, *_) = client.tasks("platform_smoke", run.id)
    assert len(client.log("platform_smoke", run.id, task)) > 3


def test_a_new_commit_is_served_and_restarts_nothing(installed):
    before, last = installed.started(), installed.commit()
    installed.serve(Path(__file__).parent / "dags" / "asks_the_impossible.py")
    differs = installed.run("tenant-status")
    assert differs.code == 3, differs.text
    ran = installed.up()
    assert {step for step in ran.changed() if step.endswith("/components")} == set()
    assert installed.started() == before
    for tenant in TENANTS:
        versions = {dag.id: dag.version for dag in installed.client(tenant).dags()}
        assert versions.pop("asks_the_impossible") == installed.commit()
        # Files that the commit does not concern may keep the one that they were parsed from: the same code.
        assert set(versions.values()) <= {last, installed.commit()}
    assert installed.run("tenant-status").code == 0


def test_a_statement_that_fakesnow_cannot_do_fails_at_once_with_the_reason(installed):
    client = installed.client("finance")
    run = client.trigger("asks_the_impossible")
    ended = client.wait_for_run("asks_the_impossible", run.id, timeout=180)
    assert ended.state == "failed"
    assert 'syntax error at or near "WAREHOUSE"' in client.failure("asks_the_impossible", run.id)


def test_status_is_healthy_and_without_difference(installed):
    ran = installed.run("tenant-status", "--json")
    assert ran.code == 0, ran.stdout
    assert [tenant["status"] for tenant in ran.report["tenants"]] == ["healthy", "healthy"]
    jsonschema.validate(ran.report, SCHEMA)


def test_logs_are_shown_by_component(installed):
    ran = installed.run("tenant-logs", "--tenant=finance", "--component=scheduler", "--lines=3")
    assert ran.code == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 3
    every = installed.run("tenant-logs", "--tenant=finance", "--lines=2")
    assert every.code == 0, every.stderr
    assert {line.split(" | ")[0].strip() for line in every.stdout.splitlines()} >= {"scheduler", "fakesnow"}


def test_airflows_own_cli_runs_inside_a_tenant(installed):
    ran = installed.run("airflow", "--tenant=finance", "--args=variables get orders_schema")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.split()[-1] == "LEDGER"
    wrong = installed.run("airflow", "--tenant=finance", "--args=variables get of_nobody")
    assert wrong.code not in (0, None), "its exit code is passed on"


def test_the_web_page_is_served(installed):
    with urllib.request.urlopen(installed.url("analytics") + "/", timeout=30) as answer:
        assert answer.status == 200
        assert b"<html" in answer.read().lower()
