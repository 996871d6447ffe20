"""The life of tenants on real Airflow: up, again, changed, restarted, down. In this order."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import jsonschema
import pytest
from sandbox import Sandbox

from airflow_platform.config import paths
from airflow_platform.tools import processes

TENANTS = ("analytics", "finance")

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]


def test_up_tells_where_each_tenant_is(sandbox):
    ran = sandbox.inv("tenant-up", "--env=sandbox")
    assert ran.code == 0, ran.stderr
    for tenant in TENANTS:
        assert sandbox.url(tenant) in ran.stderr
        assert str(sandbox.place.tenant(tenant).admin_password) in ran.stderr
    assert sandbox.commit() in ran.stderr
    assert "scripts/inv tenant-status --env=sandbox" in ran.stderr
    assert ran.stdout == ""
    assert "\x1b" not in ran.stderr


def test_up_again_changes_nothing(sandbox):
    before = {tenant: sandbox.pids(tenant) for tenant in TENANTS}
    ran = sandbox.up()
    assert set(ran.steps().values()) == {"unchanged"}
    assert {tenant: sandbox.pids(tenant) for tenant in TENANTS} == before
    jsonschema.validate(ran.report, _schema())


def test_each_tenant_has_four_airflow_components_and_its_own_snowflake(sandbox):
    for tenant in TENANTS:
        assert set(sandbox.pids(tenant)) == {
            "api-server",
            "scheduler",
            "dag-processor",
            "triggerer",
            "fakesnow",
        }


def test_the_served_commit_is_the_one_of_the_checkout(sandbox):
    for tenant in TENANTS:
        dags = sandbox.client(tenant).dags()
        assert {dag.version for dag in dags} == {sandbox.commit()}
        paused = {dag.id: dag.paused for dag in dags}
        assert paused["orders_daily"], "DAGs start paused"
        assert not paused["platform_smoke"]


def test_the_data_teams_dag_runs_to_success(sandbox):
    client = sandbox.client("analytics")
    client.set_paused("orders_daily", paused=False)
    run = client.trigger("orders_daily")
    ended = client.wait_for_run("orders_daily", run.id, timeout=180)
    assert ended.state == "success", client.failure("orders_daily", run.id)
    client.set_paused("orders_daily", paused=True)


def test_a_statement_that_fakesnow_cannot_do_fails_at_once_with_the_reason(sandbox):
    sandbox.serve(Path(__file__).parent / "dags" / "asks_the_impossible.py")
    sandbox.up()
    client = sandbox.client("finance")
    run = client.trigger("asks_the_impossible")
    ended = client.wait_for_run("asks_the_impossible", run.id, timeout=60)
    assert ended.state == "failed"
    assert 'syntax error at or near "WAREHOUSE"' in client.failure("asks_the_impossible", run.id)


def test_status_is_healthy_and_without_difference(sandbox):
    ran = sandbox.inv("tenant-status", "--env=sandbox", "--json")
    assert ran.code == 0, ran.stdout
    assert [tenant["status"] for tenant in ran.report["tenants"]] == ["healthy", "healthy"]
    jsonschema.validate(ran.report, _schema())


def test_a_file_that_is_not_committed_is_named_and_not_served(sandbox):
    draft = sandbox.checkout / "dags" / "draft.py"
    draft.write_text("# A DAG in the making\n")
    try:
        ran = sandbox.up()
    finally:
        draft.unlink()
    assert set(ran.steps().values()) == {"unchanged"}
    assert "1 under dags/ not committed, so not served: dags/draft.py" in " ".join(ran.stderr.split())


def test_a_changed_spec_changes_what_it_touches(sandbox):
    before = {tenant: sandbox.pids(tenant) for tenant in TENANTS}
    original = sandbox.spec.read_text()
    sandbox.spec.write_text(original.replace('name = "analytics"\n', 'name = "analytics"\nparallelism = 3\n'))
    try:
        differs = sandbox.inv("tenant-status", "--env=sandbox")
        assert differs.code == 3
        assert "restart scheduler" in differs.stdout
        plan = sandbox.inv("tenant-up", "--env=sandbox", "--plan")
        assert plan.code == 3
        assert {tenant: sandbox.pids(tenant) for tenant in TENANTS} == before, "--plan changed something"
        ran = sandbox.up()
    finally:
        sandbox.spec.write_text(original)
    changed = {step for step, status in ran.steps().items() if status == "changed"}
    assert changed == {"analytics/components", "analytics/smoke"}
    assert "restart scheduler" in ran.stderr
    after = sandbox.pids("analytics")
    assert [name for name, pid in after.items() if pid != before["analytics"][name]] == ["scheduler"]
    assert sandbox.pids("finance") == before["finance"]
    sandbox.up()


def test_a_changed_variable_restarts_nothing(sandbox):
    before = sandbox.pids("finance")
    original = sandbox.spec.read_text()
    sandbox.spec.write_text(original.replace('"LEDGER"', '"BOOKS"'))
    try:
        ran = sandbox.up("--tenant=finance")
    finally:
        sandbox.spec.write_text(original)
    assert ran.steps()["finance/settings"] == "changed"
    assert sandbox.pids("finance") == before
    sandbox.up()


def test_restart_restarts_the_named_component(sandbox):
    before = sandbox.pids("finance")
    ran = sandbox.inv("tenant-restart", "--env=sandbox", "--tenant=finance", "--component=triggerer")
    assert ran.code == 0, ran.stderr
    after = sandbox.pids("finance")
    assert [name for name, pid in after.items() if pid != before[name]] == ["triggerer"]


def test_a_killed_scheduler_is_restarted_and_its_idle_workers_are_ended(sandbox):
    before = sandbox.pids("analytics")
    os.kill(before["scheduler"], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while sandbox.pids("analytics")["scheduler"] in (0, before["scheduler"]):
        assert time.monotonic() < deadline, "the supervisor did not restart it"
        time.sleep(0.2)
    ran = sandbox.up("--tenant=analytics")
    assert ran.steps()["analytics/smoke"] == "changed", "the smoke DAG proves the new start"
    deadline = time.monotonic() + 60
    while len(_workers(sandbox, "analytics")) != 2:
        assert time.monotonic() < deadline, _workers(sandbox, "analytics")
        time.sleep(0.5)


def test_logs_are_shown_by_component(sandbox):
    ran = sandbox.inv(
        "tenant-logs", "--env=sandbox", "--tenant=finance", "--component=scheduler", "--lines=3"
    )
    assert ran.code == 0
    assert len(ran.stdout.splitlines()) == 3


def test_airflows_own_cli_runs_inside_a_tenant(sandbox):
    ran = sandbox.inv("airflow", "--env=sandbox", "--tenant=finance", "--args=variables get orders_schema")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.split()[-1] == "LEDGER"


def test_down_keeps_data_and_leaves_nothing_running(sandbox):
    keys = sandbox.key("finance", "fernet_key")
    ports = sandbox.ports("finance")
    ran = sandbox.down("--tenant=finance")
    (tenant,) = ran.report["tenants"]
    assert tenant["status"] == "stopped"
    assert "no process, port, socket or lock" in tenant["outputs"]["left"]
    assert processes.owned(str(sandbox.place.tenant("finance").directory)) == ()
    assert all(processes.listening(port) == () for port in ports.values())
    assert sandbox.status("analytics").state == "running"
    sandbox.up()
    assert (sandbox.key("finance", "fernet_key"), sandbox.ports("finance")) == (keys, ports)


def test_down_takes_a_tenant_that_is_no_longer_declared(sandbox):
    original = sandbox.spec.read_text()
    start = original.rindex("[[tenants]]")
    sandbox.spec.write_text(original[:start])
    try:
        status = sandbox.inv("tenant-status", "--env=sandbox")
        assert re.search(r"finance +running, not declared", status.stdout)
        plan = sandbox.inv("tenant-down", "--env=sandbox", "--tenant=finance", "--delete-data", "--plan")
        assert plan.code == 3
        sandbox.down("--tenant=finance", "--delete-data")
        assert not sandbox.place.tenant("finance").directory.exists()
    finally:
        sandbox.spec.write_text(original)
    sandbox.up()


def test_the_web_page_is_served(sandbox):
    with urllib.request.urlopen(sandbox.url("analytics") + "/", timeout=30) as answer:
        assert answer.status == 200
        assert b"<html" in answer.read().lower()


def _workers(sandbox: Sandbox, tenant: str) -> list[str]:
    found = processes.owned(str(sandbox.place.tenant(tenant).directory))
    return [each.command for each in found if "LocalExecutor" in each.command]


def _schema():
    import json

    return json.loads((paths.CHECKOUT / "docs" / "report.schema.json").read_text())
