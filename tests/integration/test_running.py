"""A real Airflow from the images: its DAGs, its API, its components' health, and who can reach it."""

import datetime
import json
import os
import socket
import time
import urllib.parse
from decimal import Decimal

import pytest

from airflow_platform import errors, secrets
from airflow_platform.config import versions
from airflow_platform.testing import asking_snowflake, integration, local_airflow
from airflow_platform.tools.airflow import airflow_client as api
from airflow_platform.tools.airflow import airflow_objects


def described(client, airflow):
    return {name: client.api.inspect_container(each) for name, each in airflow.containers.items()}


def test_the_smoke_dag_writes_into_snowflake_and_reads_back(airflow):
    result = airflow.run("platform_smoke")
    assert (result.state, result.tasks, result.failure) == ("success", {"write_and_read_back": "success"}, "")
    assert result.seconds > 0
    assert (result.run,) in airflow.snowflake("SELECT RUN_ID FROM PLATFORM_SMOKE")


def test_a_dag_defers_maps_imports_a_neighbour_and_reads_variables(airflow):
    result = airflow.run("many_ways")
    assert result.tasks == {"wait": "success", "work[0]": "success", "work[1]": "success"}
    assert any("It is 4" in line for line in airflow.log(result, "work[1]"))


def test_a_failing_dag_shows_what_its_task_logged(airflow):
    with pytest.raises(integration.UnexpectedState) as raised:
        airflow.run("fails", {"day": "2026-01-31"})
    told = str(raised.value)
    assert told.startswith("DAG fails ended as failed, not success.\ntask look failed at try 1:\n")
    assert "LookupError: There is no file of 2026-01-31." in told
    assert "go_on" not in told


def test_a_failure_can_be_what_a_test_expects_and_no_schedule_starts_runs(airflow):
    result = airflow.run("fails", {"day": "a"}, expect="failed")
    assert result.tasks == {"look": "failed", "go_on": "upstream_failed"}
    assert {run.id for run in airflow.client.runs("fails") if not run.id.startswith("manual__")} == set()


def test_a_file_that_cannot_be_imported_is_told_with_the_reason_at_once(airflow, monkeypatch):
    (failure,) = airflow.import_failures()
    assert failure.file == "cannot_be_imported.py"
    assert failure.reason == "ModuleNotFoundError: No module named 'a_library_that_nobody_installed'"
    # Whoever waited for either would not come back before the end of this test.
    monkeypatch.setattr(local_airflow, "SETTLED", 600.0)
    monkeypatch.setattr(local_airflow, "PARSED", 600.0)
    with pytest.raises(errors.StepError) as raised:
        airflow.run("nobody_sees_this")
    assert "cannot_be_imported.py: ModuleNotFoundError" in str(raised.value)
    assert "there are: fails, many_ways, orders_daily, platform_smoke" in str(raised.value)


def test_the_api_says_version_and_health(airflow):
    assert airflow.client.version() == versions.read().airflow
    assert airflow.client.health().healthy
    assert set(airflow.client.jobs()) == set(api.JOB_TYPES)


def test_the_api_wants_a_password(airflow):
    stranger = api.Airflow(airflow.url, airflow.user, secrets.Secret("guessed"))
    try:
        with pytest.raises(errors.RefusedError):
            stranger.dags()
    finally:
        stranger.session.close()
    assert airflow.password.reveal() not in repr(airflow)


def test_settings_are_those_of_a_tenant(airflow):
    objects = airflow_objects.Objects(airflow.client.session)
    assert [(each.key, each.value) for each in objects.variables()] == [("greeting", "It is")]
    (snowflake,) = objects.connections()
    assert (snowflake.id, snowflake.extra["host"], snowflake.extra["database"]) == (
        "snowflake_default",
        "fakesnow",
        "TEST",
    )


def test_snowflake_answers_with_pythons_types_and_says_what_it_refuses(airflow):
    sql = """
        CREATE TABLE TYPED (A NUMBER, B NUMBER(9, 2), C VARCHAR, D DATE, E TIMESTAMP_NTZ, F BOOLEAN, G DOUBLE);
        INSERT INTO TYPED VALUES (1, 2.50, 'c', '2026-01-31', '2026-01-31 12:00:00', TRUE, NULL);
        SELECT * FROM TYPED
    """
    noon = datetime.datetime.fromisoformat("2026-01-31T12:00:00")
    assert airflow.snowflake(sql) == [(1, Decimal("2.50"), "c", noon.date(), noon, True, None)]
    with pytest.raises(asking_snowflake.QueryFailed, match="NOWHERE") as raised:
        airflow.snowflake("SELECT * FROM NOWHERE")
    assert "Traceback" not in str(raised.value)


def test_every_images_own_check_passes_and_nothing_has_restarted(airflow, client):
    """The engine asks for the first time after the interval that the image says, at most half a minute."""
    deadline = time.monotonic() + 60
    wanted = dict.fromkeys(airflow.containers, ("healthy", 0))
    while (found := _health(client, airflow)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    assert len(wanted) == 8


def _health(client, airflow):
    return {
        name: (each["State"]["Health"]["Status"], each["RestartCount"])
        for name, each in described(client, airflow).items()
    }


def test_only_the_pages_are_published_and_only_on_this_machine(airflow, client):
    found = described(client, airflow)
    published = {
        (name, at["HostIp"])
        for name, each in found.items()
        for ports in each["NetworkSettings"]["Ports"].values()
        for at in ports or ()
    }
    assert published == {("api-server", "127.0.0.1")}
    (network,) = found["api-server"]["NetworkSettings"]["Networks"].values()
    with (
        pytest.raises(OSError),
        socket.create_connection((network["Gateway"], urllib.parse.urlsplit(airflow.url).port), timeout=2),
    ):
        pass


def test_no_secret_is_in_a_containers_settings_and_files_are_its_users_alone(airflow, client):
    found = json.dumps(described(client, airflow))
    assert airflow.password.reveal() not in found
    assert "FERNET_KEY" not in found
    assert "SQL_ALCHEMY_CONN" not in found
    asked = "stat -c '%u %a' /run/airflow/environment/AIRFLOW__CORE__FERNET_KEY /run/airflow"
    code, printed = client.containers.get(airflow.containers["scheduler"]).exec_run(["sh", "-c", asked])
    assert (code, printed) == (0, b"50000 400\n50000 700\n")


def test_every_object_bears_the_sessions_label(airflow, client):
    label = f"airflow-platform.test-session={airflow.session}"
    containers = client.api.containers(all=True, filters={"label": label})
    names = {each["Names"][0].lstrip("/") for each in containers}
    migration = f"airflow.test-{airflow.session}.tests.migration"
    lifeline = f"airflow-test-{airflow.session}.lifeline"
    assert names == {*airflow.containers.values(), migration, lifeline}
    mounted = {
        mount.get("Name", mount["Source"])
        for each in described(client, airflow).values()
        for mount in each["Mounts"]
    }
    listed = client.api.volumes(filters={"label": label})["Volumes"]
    assert mounted == {each["Name"] for each in listed}


def test_ryuk_is_left_as_it_was(airflow):
    from testcontainers.core.config import testcontainers_config

    assert testcontainers_config.ryuk_disabled == (
        os.environ.get("TESTCONTAINERS_RYUK_DISABLED", "") in ("yes", "true", "t", "y", "1")
    )
