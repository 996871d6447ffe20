"""Tasks about tenants on the real command line: what is refused, and what is asked for."""

import dataclasses
import json

import pytest

from airflow_platform import errors
from airflow_platform.dags import dag_repository
from airflow_platform.engine import run
from airflow_platform.engine.report import Outcome, Report, StepReport, TenantReport
from airflow_platform.tools.containers import engine as containers
from airflow_platform.tools.containers import engine_session

FAULT = errors.Fault("another", "It is not there.", "Make it.")


@pytest.mark.parametrize(
    "words",
    [
        ["tenant-up"],
        ["tenant-status"],
        ["tenant-restart"],
        ["tenant-down"],
        ["doctor"],
        ["tenant-logs", "--tenant=analytics"],
        ["airflow", "--tenant=analytics", "--args=version"],
    ],
)
def test_a_runtime_that_is_not_there_yet_is_exit_2(command, words):
    code, out, err = command(words[0], "--env=cloud", *words[1:])
    assert (code, out) == (2, "")
    said = " ".join(err.split())
    assert "names the runtime eks, which is not there yet" in said
    assert "There is: process, docker. Environments of these: boxes, prod, sandbox." in said


def test_advice_names_no_environment_where_there_is_none(command, environments):
    for path in environments.iterdir():
        if path.stem != "cloud":
            path.unlink()
    _, _, err = command("tenant-status", "--env=cloud")
    assert "--env=" not in err
    assert "Environments of these" not in err


@pytest.mark.parametrize("task", ["tenant-up", "tenant-status", "tenant-restart", "tenant-down", "doctor"])
def test_an_unknown_tenant_is_exit_2_and_names_the_nearest(command, task):
    code, _, err = command(task, "--env=sandbox", "--tenant=analitics")
    assert code == 2
    assert "analytics" in err


@pytest.mark.parametrize("seconds", ["x", "-1", "inf", "nan", "1e999"])
@pytest.mark.parametrize("task", ["tenant-up", "tenant-restart", "tenant-down"])
def test_a_lock_timeout_that_is_no_number_of_seconds_is_exit_2(command, task, seconds):
    code, _, err = command(task, "--env=sandbox", f"--lock-timeout={seconds}")
    assert code == 2
    assert f"--lock-timeout={seconds} is no number of seconds." in err


@pytest.mark.parametrize("task", ["tenant-restart", "tenant-logs"])
def test_an_unknown_component_is_exit_2_and_names_the_nearest(command, settled, task):
    settled("sandbox", "analytics")
    code, _, err = command(task, "--env=sandbox", "--tenant=analytics", "--component=schedular")
    assert code == 2
    assert "There is no component 'schedular'. Did you mean scheduler?" in " ".join(err.split())


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ([], True),
        (["--tenant=analytics"], True),
        (["--confirm=prod/analytics"], True),
        (["--tenant=analytics", "--confirm=prod/finance"], True),
        (["--tenant=analytics", "--confirm=analytics"], True),
        (["--tenant=analytics", "--tenant=finance", "--confirm=prod/analytics"], True),
        (["--tenant=analytics", "--confirm=prod/analytics"], False),
        (
            ["--tenant=analytics", "--tenant=finance", "--confirm=prod/analytics", "--confirm=prod/finance"],
            False,
        ),
        (["--plan"], False),
    ],
)
@pytest.mark.parametrize("delete", [[], ["--delete-data"]])
def test_a_protected_environment_goes_down_only_by_name_and_confirmed(command, words, refused, delete):
    code, _, err = command("tenant-down", "--env=prod", *words, *delete)
    assert code == (6 if refused else 0), err
    assert ("Environment prod is protected." in err) == refused
    if refused:
        assert "--confirm=prod/" in err


def test_going_down_where_nothing_is_changes_nothing(command):
    code, out, _ = command("tenant-down", "--env=sandbox", "--json")
    document = json.loads(out)
    assert (code, document["status"]) == (0, "stopped")
    assert {step["status"] for tenant in document["tenants"] for step in tenant["steps"]} <= {
        "unchanged",
        "skipped",
    }


def test_a_stopped_tenant_that_is_not_declared_is_touched_only_by_name(command, settled):
    place = settled("sandbox", "old")
    code, out, _ = command("tenant-down", "--env=sandbox", "--delete-data", "--json")
    assert code == 0
    assert [each["name"] for each in json.loads(out)["tenants"]] == ["analytics", "finance"]
    assert place.directory.exists()
    assert command("tenant-down", "--env=sandbox", "--tenant=old", "--delete-data", "--plan")[0] == 3
    assert place.directory.exists()
    assert command("tenant-down", "--env=sandbox", "--tenant=old", "--delete-data")[0] == 0
    assert not place.directory.exists()


def test_a_plan_names_the_tenants_that_run_though_not_declared(command, settled, monkeypatch):
    settled("sandbox", "old", running=True)
    settled("sandbox", "older")
    monkeypatch.setattr(run, "execute", lambda order: Report(order.task, "sandbox", "healthy", 0))
    code, out, err = command("tenant-up", "--env=sandbox", "--plan", "--json")
    assert (code, json.loads(out)["data"]) == (0, {"running_undeclared": ["old"]})
    assert "Tenant old runs, but is not declared" in err
    assert "older" not in err
    assert "Tenant old" not in command("tenant-up", "--env=sandbox", "--plan", "--tenant=finance")[2]


def test_a_plan_keeps_its_report_where_nobody_knows_which_tenants_run(command, settled, monkeypatch):
    def missing(host):
        raise containers.EngineMissing(
            "No Docker engine answers.", [errors.Fault("Docker engine", "None.", "")]
        )

    settled("boxes", "old")
    monkeypatch.setattr(engine_session, "opened", missing)
    monkeypatch.setattr(dag_repository.DagRepository, "check", lambda self, context: [FAULT])
    code, out, err = command("tenant-up", "--env=boxes", "--plan", "--json")
    document = json.loads(out)
    assert (code, document["status"]) == (4, "blocked")
    assert FAULT.to_json() in document["faults"]
    assert "Which tenants run and are not declared is not known: No Docker engine answers." in " ".join(
        err.split()
    )


@pytest.fixture
def engine(monkeypatch):
    """Answers plans with the steps in it, and records the components that are restarted."""
    seen = {"steps": [], "restarted": []}

    def execute(order):
        if order.planning:
            tenants = (TenantReport("finance", "pending", tuple(seen["steps"]), {}),)
            return Report(order.task, "sandbox", "pending", 3, tenants=tenants)
        step = next(each for each in order.steps if each.name == "restart")
        seen["restarted"].append(step._components)
        return Report(order.task, "sandbox", "healthy", 0)

    monkeypatch.setattr(run, "execute", execute)
    return seen


def pending(name, reason="start it"):
    return StepReport(name, Outcome.PENDING, reason)


def test_a_restart_asks_for_the_components_that_were_named(command, engine):
    command("tenant-restart", "--env=sandbox", "--component=scheduler", "--component=triggerer")
    command("tenant-restart", "--env=sandbox")
    assert engine["restarted"] == [
        ("scheduler", "triggerer"),
        ("api-server", "scheduler", "dag-processor", "triggerer", "fakesnow"),
    ]


def test_an_unhealthy_tenant_can_be_restarted(command, engine):
    engine["steps"] = [
        pending("components"),
        pending("settings", "known after components has run"),
        StepReport("served-dags", Outcome.FAILED, "no answer"),
        pending("smoke"),
    ]
    assert command("tenant-restart", "--env=sandbox")[0] == 0
    assert engine["restarted"]


@pytest.mark.parametrize("name", ["database", "settings", "keys"])
def test_a_restart_brings_in_nothing_else(command, engine, name):
    engine["steps"] = [pending("components"), pending(name, "do what was declared")]
    code, _, err = command("tenant-restart", "--env=sandbox")
    assert (code, engine["restarted"]) == (4, [])
    said = " ".join(err.split())
    assert f"finance/{name}: Pending: do what was declared." in said
    assert "components: Pending" not in said
    assert "Run `scripts/inv tenant-up --env=sandbox` first" in said


def test_a_restart_brings_in_no_component_that_is_declared_otherwise(command, engine):
    engine["steps"] = [
        dataclasses.replace(
            pending("components", "restart scheduler, triggerer"), details={"redefined": ["scheduler"]}
        )
    ]
    code, _, err = command("tenant-restart", "--env=sandbox", "--component=triggerer")
    assert (code, engine["restarted"]) == (4, [])
    said = " ".join(err.split())
    assert (
        "finance/components: Pending: restart scheduler, triggerer (declared otherwise now: scheduler)."
        in said
    )
    assert "Run `scripts/inv tenant-up --env=sandbox` first" in said


@pytest.mark.parametrize("lines", ["x", "-1", "", "1.5"])
def test_a_number_of_lines_that_is_none_is_exit_2(command, settled, lines):
    settled("sandbox", "analytics")
    code, _, err = command("tenant-logs", "--env=sandbox", "--tenant=analytics", f"--lines={lines}")
    assert code == 2
    assert f"--lines={lines} is no number of lines." in err


def test_logs_are_printed_with_their_source(command, settled):
    place = settled("sandbox", "analytics")
    place.log("scheduler").write_text("one\ntwo\n")
    place.log("triggerer").write_text("three\n")
    words = ("tenant-logs", "--env=sandbox", "--tenant=analytics", "--lines=1")
    code, out, _ = command(*words)
    assert (code, [line.split() for line in out.splitlines()]) == (
        0,
        [["scheduler", "|", "two"], ["triggerer", "|", "three"]],
    )
    assert command(*words, "--component=triggerer")[1] == "three\n"


def test_logs_of_a_tenant_that_was_never_up_are_exit_2(command):
    code, _, err = command("tenant-logs", "--env=sandbox", "--tenant=analytics")
    assert code == 2
    assert "Tenant analytics was never up." in err


@pytest.mark.parametrize(
    ("arguments", "says"), [("dags 'list", "--args cannot be split into words"), ("version", "was never up")]
)
def test_airflows_own_program_is_exit_2_where_it_cannot_be_run(command, arguments, says):
    code, _, err = command("airflow", "--env=sandbox", "--tenant=analytics", f"--args={arguments}")
    assert code == 2
    assert says in " ".join(err.split())
