"""Answers of the process runtime about tenants in every state, also a damaged one."""

import contextlib
import os
import sqlite3

import pytest

from airflow_platform import errors
from airflow_platform.config import paths, state_files
from airflow_platform.runtimes import contract, package_versions, runtime_table
from airflow_platform.runtimes.process import process_runtime, supervisor_client
from airflow_platform.runtimes.process.supervisor import lock
from airflow_platform.runtimes.process.supervisor.spec import Status
from airflow_platform.testing import specs
from airflow_platform.tools import users


@pytest.fixture
def one():
    return process_runtime.ProcessRuntime(specs.environment())


@pytest.fixture
def place():
    found = state_files.EnvironmentFiles(paths.state("sandbox")).tenant("analytics")
    for directory in (found.run, found.home, found.keys):
        directory.mkdir(parents=True)
    return found


EKS = {"account": "111111111111", "region": "eu-central-1", "cluster": "airflow"}


def test_an_environment_gets_the_runtime_that_it_names():
    assert isinstance(runtime_table.of(specs.environment()), process_runtime.ProcessRuntime)
    with pytest.raises(errors.UsageError, match="eks, which is not there yet"):
        runtime_table.of(specs.environment("prod", runtime="eks", eks=EKS))


def test_a_restart_is_a_step_only_when_it_is_asked_for(one):
    without = [each.name for each in one.steps(contract.Options())]
    asked = [each.name for each in one.steps(contract.Options(restart=("scheduler",)))]
    assert set(asked) - set(without) == {"restart"}
    assert len(set(asked)) == len(asked)


def test_a_tenant_that_was_never_up(one):
    assert one.tenants_found() == ()
    assert (one.url("analytics"), one.dag_commit("analytics"), one.components("analytics")) == ("", "", ())
    assert one.unwell("analytics") == "the supervisor"
    assert not one.is_running("analytics")
    with pytest.raises(errors.UsageError, match="never up"):
        one.run_airflow(specs.tenant(), ["version"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"airflow": 18', "7"])
def test_a_cut_file_of_ports_is_no_address(one, place, text):
    place.ports.write_text(text)
    assert one.url("analytics") == ""


def test_a_tenant_that_was_up(one, place):
    place.ports.write_text('{"airflow": 18080, "snowflake": 18081}')
    with contextlib.closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("CREATE TABLE dag_bundle (name TEXT, active BOOLEAN, version TEXT)")
        connection.execute("INSERT INTO dag_bundle VALUES ('dags', 1, 'c0ffee')")
    for stray in ("lost+found", "Backup", ".old"):
        (place.directory.parent / stray).mkdir()
    assert one.tenants_found() == ("analytics",)
    assert (one.url("analytics"), one.dag_commit("analytics")) == ("http://127.0.0.1:18080", "c0ffee")
    assert one.unwell("analytics") == "the supervisor"


def test_a_held_lock_means_that_it_runs(one, place):
    descriptor = lock.take(place.run)
    assert descriptor is not None
    assert one.is_running("analytics")
    os.close(descriptor)
    assert not one.is_running("analytics")


def test_a_running_tenant_whose_password_is_gone_is_not_well(one, place, monkeypatch):
    status = Status(pid=1, state="running", started_at=1, spec_digest="x", components=())
    monkeypatch.setattr(supervisor_client, "status", lambda directory: status)
    place.ports.write_text('{"airflow": 18080, "snowflake": 18081}')
    assert one.unwell("analytics") == "the password of admin"


def test_every_component_and_the_supervisor_have_a_log(one):
    assert one.log_names("analytics") == (*one.component_names(), "supervisor")


def test_what_keeps_tenants_apart_is_said(one, monkeypatch):
    monkeypatch.setattr(users, "of_tenant", lambda directory: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "Tenants run as root" in one.isolation()
    assert "Run as root" not in one.isolation()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "can read the other tenants' files" in one.isolation()
    monkeypatch.setattr(users, "of_tenant", lambda directory: users.FIRST)
    assert "a user id of its own" in one.isolation()


@pytest.mark.parametrize(
    ("built", "complete", "says"),
    [
        ("2.0", True, "2.0 is wanted; 2.0 is installed"),
        ("2.0", False, "2.0 is wanted; not installed yet"),
        ("1.0", True, "2.0 is wanted; not installed yet"),
    ],
)
def test_versions_are_compared_with_what_is_installed(tmp_path, built, complete, says):
    lock = tmp_path / "lock"
    lock.write_text("apache-airflow-core==7\napache-airflow==2.0 \\\n    --hash=x\n")
    entry = tmp_path / "cache" / "digest"
    (entry / f"venv/lib/python3.11/site-packages/apache_airflow-{built}.dist-info").mkdir(parents=True)
    if complete:
        (entry / "complete").touch()
    about = {"wanted": "2.0", "lock": lock, "entries": tmp_path / "cache"}
    assert str(package_versions.version("apache-airflow", ready=None, **about)) == says
    ready = str(package_versions.version("apache-airflow", ready=entry / "venv", **about))
    assert ("which differs" in ready) == (built == "1.0")
    about["wanted"] = "3.0"
    assert "the lock pins 2.0" in str(package_versions.version("apache-airflow", ready=None, **about))


def test_the_locks_of_this_checkout_pin_what_is_wanted(one):
    assert {name: each.pinned == each.wanted for name, each in one.versions().items()} == {
        "Airflow": True,
        "fakesnow": True,
    }
