"""What `tenant-status` says of tenants that are well, unwell or not declared, and of runs that were ended."""

import json

import pytest

from airflow_platform import errors
from airflow_platform.engine.report import Outcome, Report, StepReport, TenantReport
from airflow_platform.runtimes.process import process_runtime
from airflow_platform.tasks import tenant_up


def test_tenants_that_run_but_are_not_declared_are_in_the_status(command, settled, monkeypatch):
    settled("sandbox", "old", running=True)
    settled("sandbox", "older")
    monkeypatch.setattr(tenant_up, "planned", lambda line: _report())
    code, out, _ = command("tenant-status", "--env=sandbox", "--json")
    document = json.loads(out)
    assert code == 3
    (row,) = document["data"]
    assert (row["tenant"], row["status"], row["differs"]) == ("old", "running, not declared", "not declared")
    assert document["status"] == "differs"


@pytest.mark.parametrize("code", [129, 130, 143])
def test_a_look_that_a_signal_ended_says_so_and_nothing_else(command, monkeypatch, code):
    monkeypatch.setattr(tenant_up, "planned", lambda line: _report(status="interrupted", exit_code=code))
    assert command("tenant-status", "--env=sandbox")[:2] == (code, "")


def test_what_an_unhealthy_tenant_waits_for_is_said(command, settled, monkeypatch):
    settled("sandbox", "finance", running=True)
    tenants = (TenantReport("finance", "pending", (), {}),)
    monkeypatch.setattr(tenant_up, "planned", lambda line: _report(exit_code=3, tenants=tenants))
    code, out, _ = command("tenant-status", "--env=sandbox", "--tenant=finance", "--json")
    assert (code, json.loads(out)["data"][0]["status"]) == (1, "unhealthy: waits for the supervisor")


def test_the_trouble_of_one_tenant_is_its_row_and_the_others_have_theirs(command, settled, monkeypatch):
    def unwell(self, tenant):
        if tenant == "analytics":
            raise errors.RefusedError("It was answered with status 401.")
        return ""

    for name in ("analytics", "finance"):
        settled("sandbox", name, running=True)
    tenants = tuple(TenantReport(name, "pending", (), {}) for name in ("analytics", "finance"))
    monkeypatch.setattr(tenant_up, "planned", lambda line: _report(exit_code=3, tenants=tenants))
    monkeypatch.setattr(process_runtime.ProcessRuntime, "unwell", unwell)
    code, out, _ = command("tenant-status", "--env=sandbox", "--json")
    found = {row["tenant"]: row["status"] for row in json.loads(out)["data"]}
    assert (code, found) == (
        1,
        {"analytics": "unhealthy: It was answered with status 401.", "finance": "healthy"},
    )


@pytest.mark.parametrize("kind", [errors.PreflightError, errors.RefusedError, errors.StepError])
def test_an_unhealthy_tenant_whose_database_cannot_be_asked_has_no_commit(
    command, settled, monkeypatch, kind
):
    def refuse(self, tenant):
        raise kind("It does not answer.", *([[]] if kind is errors.PreflightError else []))

    settled("sandbox", "finance", running=True)
    tenants = (TenantReport("finance", "pending", (), {}),)
    monkeypatch.setattr(tenant_up, "planned", lambda line: _report(exit_code=3, tenants=tenants))
    monkeypatch.setattr(process_runtime.ProcessRuntime, "dag_commit", refuse)
    code, out, _ = command("tenant-status", "--env=sandbox", "--tenant=finance", "--json")
    (row,) = json.loads(out)["data"]
    assert (code, row["dag commit"], row["status"]) == (1, "", "unhealthy: waits for the supervisor")
    monkeypatch.setattr(process_runtime.ProcessRuntime, "unwell", lambda self, tenant: "")
    assert command("tenant-status", "--env=sandbox", "--tenant=finance")[:2] == (int(kind.exit_code), "")


@pytest.mark.parametrize("flags", [[], ["--traceback"]])
def test_a_status_shows_tracebacks_when_it_is_asked_to(command, monkeypatch, flags):
    step = StepReport("ports", Outcome.BROKEN, "x", traceback="Traceback: here")
    monkeypatch.setattr(tenant_up, "planned", lambda line: _report(exit_code=1, steps=(step,)))
    assert ("Traceback: here" in command("tenant-status", "--env=sandbox", *flags)[2]) == bool(flags)


def _report(**changes):
    values = {"status": "healthy", "exit_code": 0, **changes}
    return Report("tenant-status", "sandbox", **values)
