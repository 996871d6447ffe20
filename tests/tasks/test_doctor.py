"""Answers: declared environments with where each setting is from, what would stop a run, and the cache."""

import json

import pytest

from airflow_platform.config import paths
from airflow_platform.runtimes import contract
from airflow_platform.runtimes.process import process_runtime
from airflow_platform.tenants import tenant_ports
from airflow_platform.tools import cache as pruning


def test_the_environments_are_listed_with_their_tenants(command):
    code, out, _ = command("env-list", "--json")
    found = {row["environment"]: row for row in json.loads(out)["data"]}
    assert code == 0
    assert list(found) == ["boxes", "cloud", "prod", "sandbox"]
    assert found["sandbox"] == {
        "environment": "sandbox",
        "runtime": "process",
        "protected": False,
        "tenants": "analytics, finance",
        "description": "Here",
    }
    assert found["prod"]["protected"] is True


def test_each_setting_is_shown_with_where_it_is_from(command):
    code, out, _ = command("env-show", "--env=sandbox", "--json")
    found = {row["setting"]: (row["value"], row["from"]) for row in json.loads(out)["data"]}
    assert code == 0
    assert found["runtime"] == ("process", "file")
    assert found["protected"] == (False, "default")
    assert found["process.ports.first"] == (18080, "default")
    assert found["dags.smoke"] == ("platform_smoke", "default")
    assert found["tenants[analytics].snowflake.database"] == ("D", "file")
    assert found["tenants[finance].snowflake.schema"] == ("PUBLIC", "default")
    assert found["tenants[finance].parallelism"] == (2, "default")
    assert found["tenants[finance].variables"] == ("-", "default")


def test_an_environment_is_shown_with_references_and_never_with_secrets(command, environments, monkeypatch):
    monkeypatch.setenv("TOKEN", "of the caller")
    path = environments / "sandbox.toml"
    path.write_text(path.read_text() + 'secret_variables = { api = { env = "TOKEN" } }\n')
    code, out, _ = command("env-show", "--env=sandbox")
    assert code == 0
    assert "TOKEN" in out
    assert "of the caller" not in out


def test_an_unknown_environment_is_exit_2(command):
    code, _, err = command("env-show", "--env=sandbax")
    assert code == 2
    assert "sandbox" in err


@pytest.fixture
def cache():
    directory = paths.cache()
    for name in (*pruning.PRUNED, "uv-1.2.3", "mine"):
        (directory / name / "inner").mkdir(parents=True)
        (directory / name / "inner" / "file").write_text("x")
    return directory


def test_the_cache_is_pruned_but_for_the_uv_that_runs_this(command, cache):
    code, out, _ = command("cache-prune", "--json")
    (row,) = json.loads(out)["data"]
    assert (code, row["cache"], row["deleted"]) == (0, str(cache), ", ".join(pruning.PRUNED))
    assert sorted(path.name for path in cache.iterdir()) == ["mine", "uv-1.2.3"]
    assert json.loads(command("cache-prune", "--json")[1])["data"][0]["deleted"] == "nothing"


def test_a_cache_that_was_never_made_is_pruned_of_nothing(command):
    code, out, _ = command("cache-prune", "--json")
    assert (code, json.loads(out)["data"][0]["deleted"]) == (0, "nothing")


@pytest.mark.parametrize("flags", [[], ["--traceback"]])
def test_doctor_shows_tracebacks_when_it_is_asked_to(command, monkeypatch, flags):
    monkeypatch.setattr(tenant_ports.TenantPorts, "check", lambda self, context: 1 / 0)
    assert ("in <lambda>" in command("doctor", "--env=sandbox", *flags)[2]) == bool(flags)


@pytest.mark.parametrize("words", [["doctor"], ["tenant-up", "--plan"], ["tenant-status"]])
def test_state_of_a_newer_version_is_exit_4_where_nothing_is_changed_either(command, words):
    state = paths.state("sandbox")
    state.mkdir(parents=True)
    (state / "format").write_text("2")
    code, _, err = command(words[0], "--env=sandbox", *words[1:])
    assert code == 4
    assert "It says format '2'" in " ".join(err.split())
    assert [path.name for path in state.iterdir()] == ["format"]


def test_doctor_refuses_a_lock_that_pins_another_version(command, monkeypatch):
    found = {"Airflow": contract.Version(wanted="2.0", pinned="1.0", installed="1.0")}
    monkeypatch.setattr(process_runtime.ProcessRuntime, "versions", lambda self: found)
    code, out, err = command("doctor", "--env=sandbox")
    assert code == 4
    assert "2.0 is wanted; the lock pins 1.0; 1.0 is installed, which differs" in out
    assert "version of Airflow: The lock" in err
