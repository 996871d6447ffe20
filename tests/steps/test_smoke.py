"""The smoke DAG: run once for each start, DAG version and settings; a run that is there is adopted."""

import pytest

from airflow_platform import errors, secrets
from airflow_platform.tenants import smoke
from airflow_platform.testing import specs
from tests.steps import calling

DAG = "platform_smoke"
PROVES = {"airflow_platform": {"start": "start-1", "dag_version": "t" * 40, "settings": "d1"}}


@pytest.fixture
def step(access):
    return smoke.Smoke(access)


@pytest.fixture
def calls(reached, server):
    server.add_dag(DAG, "c" * 40)
    return calling.Calls(reached)


def test_it_is_unpaused_and_run_once(step, calls, server):
    first, _ = calls.twice(step)
    assert first.text == f"run {DAG}"
    assert first.outputs == {"smoke_run": "manual__1", "smoke_commit": "c" * 40}
    assert server.writes == [f"PATCH dag/{DAG}", f"POST run of {DAG}"]
    assert server.runs[0]["conf"] == PROVES
    assert calls.news == [f"{DAG} is queued", f"{DAG} is running"]


@pytest.mark.parametrize("paused", [True, False])
def test_a_run_that_a_killed_command_began_is_adopted(step, calls, server, paused):
    server.add_run(DAG, "running", PROVES)
    server.dags[DAG]["is_paused"] = paused
    first, _ = calls.twice(step)
    assert first.text == f"wait for {DAG} (manual__1)"
    assert server.writes == ([f"PATCH dag/{DAG}"] if paused else [])
    assert len(server.runs) == 1


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("components", {"start": "start-2"}),
        ("dag-repository", {"tree": "u" * 40}),
        ("settings", {"digest": "d2"}),
    ],
)
def test_another_start_dag_version_or_settings_need_another_run(step, calls, server, name, outputs):
    calls.run(step)
    calls.outputs[name] = {**calls.outputs[name], **outputs}
    assert calls.twice(step)[0].changed
    assert len(server.runs) == 2


def test_another_commit_with_the_same_dags_does_not(step, calls, server):
    calls.run(step)
    calls.outputs["dag-repository"] = {**calls.outputs["dag-repository"], "commit": "e" * 40}
    assert not calls.run(step).changed


def test_runs_of_people_prove_nothing(step, calls, server):
    server.add_run(DAG, "success", {})
    server.add_run(DAG, "success", None)
    assert calls.run(step).changed


def test_a_failure_shows_the_tasks_log_without_secrets(step, calls, server):
    server.states = ["running", "failed"]
    server.log = ["connecting", "the password is correct horse", "ProgrammingError: no warehouse"]
    calls.programs.mask.add(secrets.Secret("correct horse"))
    with pytest.raises(errors.StepError, match="task load failed at try 1:") as caught:
        calls.run(step)
    assert "the password is ***\n    ProgrammingError: no warehouse" in caught.value.message
    assert caught.value.hint == f"Its page: {server.url}/dags/{DAG}/runs/manual__1"


def test_after_a_failure_it_is_run_again(step, calls, server):
    server.states = ["failed"]
    with pytest.raises(errors.StepError):
        calls.run(step)
    server.states = ["success"]
    assert calls.twice(step)[0].outputs["smoke_run"] == "manual__2"


def test_a_run_that_does_not_end_is_told(step, calls, server):
    server.states = ["running"]
    calls.patience.pace = 20
    with pytest.raises(errors.StepError, match="did not finish within 120 s: running; load is running"):
        calls.run(step)
    assert calls.patience.now >= 120


def test_a_commit_without_the_dag_is_told(step, calls, server):
    server.dags.clear()
    with pytest.raises(errors.StepError, match=f"Commit cccccccccccc has no DAG {DAG}") as caught:
        calls.run(step)
    assert "`smoke` under [dags]" in caught.value.hint


def test_an_environment_may_name_another_dag(step, reached, server):
    server.add_dag("probe", "c" * 40)
    environment = specs.environment("sandbox", dags={"smoke": "probe"})
    calls = calling.Calls(reached, environment=environment)
    assert calls.twice(step)[0].text == "run probe"
