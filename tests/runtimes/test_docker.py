"""Answers of the docker runtime about tenants in every state, and about an engine that is not there."""

import contextlib
import io
import os
import signal
import sys

import pytest

from airflow_platform import errors
from airflow_platform.config import built_images, paths, state_files
from airflow_platform.engine import step
from airflow_platform.runtimes import contract, runtime_table
from airflow_platform.runtimes.docker import docker_runtime, manifest
from airflow_platform.testing import runs, specs
from airflow_platform.tools import ports
from airflow_platform.tools.containers import engine, engine_pin, engine_session
from airflow_platform.tools.containers.spec import Container, EngineObject
from airflow_platform.tools.postgresql import postgresql_server, server_errors
from tests.doubles import containers as testing
from tests.steps import calling

MINE = "airflow.dev.analytics"
SERVER = "airflow.dev.metadata-database"


@pytest.fixture
def environment():
    return specs.environment("dev", "analytics", runtime="docker")


@pytest.fixture
def one(environment):
    return docker_runtime.DockerRuntime(environment)


@pytest.fixture
def place():
    found = state_files.EnvironmentFiles(paths.state("dev"))
    found.tenant("analytics").keys.mkdir(parents=True)
    return found


@pytest.fixture
def world(monkeypatch):
    made = testing.World(images={"i"})
    made.networks[MINE] = EngineObject(MINE, {})
    monkeypatch.setattr(engine_session, "opened", lambda host: made.opened())
    return made


def start(world, place, component, tenant="analytics", **fields):
    name = f"airflow.dev.{tenant}.{component}" if tenant else f"airflow.dev.{component}"
    labels = manifest.labels(str(place.directory), tenant, component)
    world.engine().containers.start(Container(name=name, image="i", labels=labels, network=MINE, **fields))
    return name


def test_an_environment_gets_the_runtime_that_it_names(environment):
    assert isinstance(runtime_table.of(environment), docker_runtime.DockerRuntime)


def test_the_local_executor_has_neither_broker_nor_worker():
    environment = specs.environment("dev", runtime="docker", docker={"executor": "LocalExecutor"})
    found = docker_runtime.DockerRuntime(environment).component_names()
    assert found == ("api-server", "scheduler", "dag-processor", "triggerer", "fakesnow")


def test_a_restart_is_a_step_only_when_it_is_asked_for(one):
    without = [each.name for each in one.steps(contract.Options())]
    asked = [each.name for each in one.steps(contract.Options(restart=("scheduler",)))]
    assert set(asked) - set(without) == {"restart"}
    assert len(set(asked)) == len(asked)


def test_a_tenant_that_was_never_up(one, world):
    assert one.tenants_found() == ()
    assert (one.url("analytics"), one.dag_commit("analytics"), one.components("analytics")) == ("", "", ())
    assert one.unwell("analytics") == "the file of its ports"
    assert not one.is_running("analytics")
    with pytest.raises(errors.UsageError, match="Tenant analytics is not up"):
        one.run_airflow(specs.tenant(), ["version"])


def test_a_lost_key_stops_a_tenant_only_when_something_may_be_encrypted_with_it(one, place, environment):
    calls = calling.Calls(environment=environment)
    (keys_step,) = [each for each in one.steps(contract.Options()) if each.name == "keys"]
    mine = place.tenant("analytics")
    mine.ports.write_text('{"airflow": 18280}')
    assert calls.faults(keys_step) == [], "a run was killed before it had made the keys"
    for mark in (mine.migrated, mine.settings):
        mark.write_text("{}")
        (fault,) = calls.faults(keys_step)
        assert fault.thing == str(mine.keys / "fernet_key")
        mark.unlink()


@pytest.mark.parametrize("goal", step.Goal)
def test_another_engine_than_the_one_that_has_the_tenants_is_refused(one, world, place, environment, goal):
    calls = calling.Calls({"images": {"images": {}}}, environment=environment, goal=goal)
    steps = {each.name: each for each in one.steps(contract.Options())}
    up = calling.Calls(environment=environment)
    assert up.twice(steps["database-volume"])[0].changed
    assert calls.faults(steps["database-server"]) == []
    world.identity = "engine-2"
    again = docker_runtime.DockerRuntime(environment)
    (server,) = [each for each in again.steps(contract.Options()) if each.name == "database-server"]
    (fault,) = calls.faults(server)
    assert fault.cause.endswith(f"it was at {engine.address(None)}.")
    assert str(place.engine) in fault.remedy
    with pytest.raises(engine_pin.AnotherEngine) as raised:
        again.is_running("analytics")
    assert raised.value.exit_code == errors.ExitCode.PREFLIGHT
    place.engine.unlink()
    assert calls.faults(server) == []


def test_a_signal_ends_airflows_own_cli(one, world, place, monkeypatch):
    start(world, place, "api-server")
    world.programs["/entrypoint", "airflow", "scheduler"] = (None, "goes on")
    monkeypatch.setattr(
        docker_runtime, "_pass_on", lambda is_error, data: os.kill(os.getpid(), signal.SIGTERM)
    )
    with pytest.raises(errors.Interrupted) as raised:
        one.run_airflow(specs.tenant(), ["scheduler"])
    assert raised.value.code == 143


def test_a_tenant_is_found_by_its_directory_and_by_its_containers(one, world, place):
    start(world, place, "scheduler", tenant="finance")
    start(world, place, "metadata-database", tenant="")
    assert one.tenants_found() == ("analytics", "finance")


def test_without_an_engine_the_directories_say_whose_data_there_are(one, place, monkeypatch):
    def missing(host):
        raise engine.EngineMissing("No Docker engine answers.", [])

    monkeypatch.setattr(engine_session, "opened", missing)
    assert one.tenants_found() == ("analytics",)


def test_containers_of_other_environments_and_checkouts_are_none_of_ours(one, world, place):
    start(world, state_files.EnvironmentFiles(paths.state("another")), "scheduler")
    assert one.components("analytics") == ()
    assert not one.is_running("analytics")


def test_components_are_told_as_they_are(one, world, place):
    name = start(world, place, "scheduler")
    world.set_state(name, "restarting", last_exit="exited 1", restarts=4)
    assert one.components("analytics") == (contract.Component("scheduler", "waiting", 4, "exited 1"),)


@pytest.mark.parametrize(
    ("state", "runs"),
    [("running", True), ("restarting", True), ("paused", True), ("exited", False), ("created", False)],
)
def test_a_tenant_that_ends_and_is_started_again_and_again_is_not_stopped(one, world, place, state, runs):
    world.set_state(start(world, place, "scheduler"), state)
    assert one.is_running("analytics") == runs


def test_an_engine_of_another_machine_is_refused_up_and_down_and_by_who_asks(
    one, place, environment, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    for goal in step.Goal:
        report = runs.run_steps(
            *one.steps(contract.Options()), environment=environment, tenants=environment.tenants, goal=goal
        )
        assert report.exit_code == errors.ExitCode.PREFLIGHT
        (fault,) = [fault for fault in report.faults if fault.thing == "Docker engine"]
        assert "tcp://192.0.2.1:2375 is on another machine" in fault.cause
    with pytest.raises(errors.PreflightError, match="not on this machine"):
        one.components("analytics")
    assert one.tenants_found() == ("analytics",)


@pytest.mark.parametrize("skipped", [(), ("database-access", "database-role", "database-volume", "volumes")])
def test_without_an_engine_going_down_is_refused_before_anything_is_changed(
    one, place, environment, monkeypatch, skipped
):
    def missing(host):
        raise engine.EngineMissing("No Docker engine answers.", [errors.Fault("Docker engine", "None.", "")])

    monkeypatch.setattr(engine_session, "opened", missing)
    report = runs.run_steps(
        *one.steps(contract.Options()),
        environment=environment,
        tenants=environment.tenants,
        goal=step.Goal.ABSENT,
        skip=dict.fromkeys(skipped, "data is kept"),
    )
    assert report.exit_code == errors.ExitCode.PREFLIGHT
    assert [fault.thing for fault in report.faults] == ["Docker engine"]
    assert place.tenant("analytics").keys.is_dir()


def test_a_missing_container_is_told_by_its_component(one, world, place):
    mine = place.tenant("analytics")
    mine.ports.write_text('{"airflow": 18280}')
    assert one.unwell("analytics") == "the password of admin"
    mine.admin_password.write_text("x")
    assert one.unwell("analytics") == "container fakesnow"


def test_the_commit_is_read_as_the_tenant(one, world, place, monkeypatch):
    place.tenant("analytics").database_password.write_text("of the tenant")
    asked = []
    monkeypatch.setattr(postgresql_server, "bundle_version", lambda at, bundle: asked.append(at) or "c0ffee")
    assert one.dag_commit("analytics") == ""
    start(world, place, "metadata-database", tenant="", ports={5432: 0})
    assert one.dag_commit("analytics") == "c0ffee"
    (at,) = asked
    assert (at.user, at.password.reveal(), at.port) == ("dev_analytics", "of the tenant", testing.FIRST_PORT)


def theirs(world, component, tenant="analytics", **fields):
    """A container of another checkout's, under a name of ours."""
    return start(world, state_files.EnvironmentFiles(paths.state("another")), component, tenant, **fields)


def test_the_database_of_another_checkout_is_not_asked(one, world, place, monkeypatch):
    theirs(world, "metadata-database", tenant="", ports={5432: 0})
    place.tenant("analytics").database_password.write_text("of the tenant")
    monkeypatch.setattr(
        postgresql_server, "bundle_version", lambda at, bundle: pytest.fail(f"{at} was told a password")
    )
    assert one.dag_commit("analytics") == ""


@pytest.mark.parametrize("owner", ["another", "dev"])
def test_on_the_way_down_only_an_own_server_is_the_administrators(
    one, world, place, environment, owner, monkeypatch
):
    monkeypatch.setattr(postgresql_server, "connected", lambda server: contextlib.nullcontext())
    start(world, state_files.EnvironmentFiles(paths.state(owner)), "metadata-database", "", ports={5432: 0})
    place.server_password.parent.mkdir()
    place.server_password.write_text("of the administrator")
    calls = calling.Calls(environment=environment, goal=step.Goal.ABSENT)
    found = one._server_if_any(calls.context(step.Scope.TENANT))
    assert (found is not None) == (owner == "dev")


@pytest.mark.parametrize("lost", [True, False])
def test_on_the_way_down_a_password_that_does_not_fit_is_known_after_it_was_made_to(
    one, world, place, environment, monkeypatch, lost
):
    def refuse(server):
        raise server_errors.WrongPassword("It does not let postgres in.")

    monkeypatch.setattr(postgresql_server, "connected", refuse)
    if not lost:
        place.server_password.parent.mkdir()
        place.server_password.write_text("of another server")
    start(world, place, "metadata-database", "", ports={5432: 0})
    world.volumes[SERVER] = EngineObject(SERVER, manifest.labels(str(place.directory)))
    calls = calling.Calls(environment=environment, goal=step.Goal.ABSENT)
    with pytest.raises(step.OutputsUnknown, match="database-access"):
        one._server_if_any(calls.context(step.Scope.TENANT))


def test_what_runs_in_another_checkouts_container_is_not_shown_and_nothing_is_run_there(one, world):
    world.logs[theirs(world, "api-server")] = [(1.0, "theirs")]
    assert list(one.last_lines("analytics", ["api-server"], 9)) == []
    with pytest.raises(errors.UsageError, match="not up"):
        one.run_airflow(specs.tenant(), ["version"])


def test_a_port_that_the_tenants_own_container_has_is_no_strangers(one, world, place, monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    needs = one.steps(contract.Options())[6]._needs
    assert not needs.is_mine(place.tenant("analytics"), 18280)
    start(world, place, "api-server", ports={8080: 18280})
    assert needs.is_mine(place.tenant("analytics"), 18280)
    assert not needs.is_mine(place.tenant("analytics"), 18281)


def test_logs_are_read_by_component_and_followed_from_where_they_were(one, world, place):
    name = start(world, place, "scheduler")
    world.logs[name] = [(1.0, "old"), (2.0, "last")]
    assert [(line.source, line.text) for line in one.last_lines("analytics", ["scheduler"], 1)] == [
        ("scheduler", "last")
    ]

    written = iter([(3.0, "new"), (3.5, "newer")])
    lines = iter(
        one.new_lines("analytics", ["scheduler", "worker"], lambda: world.logs[name].append(next(written)))
    )
    assert [next(lines).text for _ in range(2)] == ["new", "newer"]


def test_airflows_own_cli_gets_the_secrets_through_the_entry_point(one, world, place, monkeypatch):
    start(world, place, "api-server")
    world.programs["/entrypoint", "airflow", "dags", "list"] = (3, "two DAGs")
    printed = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", printed)
    assert one.run_airflow(specs.tenant(), ["dags", "list"]) == 3
    assert printed.buffer.getvalue() == b"two DAGs"


def test_versions_come_from_what_was_built(one, monkeypatch, tmp_path):
    monkeypatch.setattr(built_images, "read", lambda: None)
    assert str(one.versions()["Airflow"]).endswith("not installed yet")
    assert one.versions()["Airflow"].pinned == one.versions()["Airflow"].wanted
