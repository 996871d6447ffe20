"""The proof that the wanted commit is served: waited for, asked for, and given up where waiting is of no use."""

import contextlib
import sqlite3

import pytest

from airflow_platform import errors
from airflow_platform.dags import dag_arrival, dag_parity
from airflow_platform.engine import step as engine
from airflow_platform.tools import sqlite_metadata
from tests.steps import calling

WANTED, OLD = "c" * 40, "9" * 40


class Bundle:
    """The row of the metadata database that says which commit is served."""

    def __init__(self, path):
        self._path = path
        self._execute("CREATE TABLE dag_bundle (name TEXT, active BOOLEAN, version TEXT)")

    def serve(self, commit, active=True):
        self._execute("DELETE FROM dag_bundle")
        self._execute("INSERT INTO dag_bundle VALUES ('dags', ?, ?)", active, commit)

    def _execute(self, statement, *values):
        with contextlib.closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(statement, values)


@pytest.fixture
def bundle(tenant):
    return Bundle(tenant.database)


@pytest.fixture
def step(place, bundle, access):
    return dag_parity.ServedDags(
        access, lambda name: sqlite_metadata.bundle_version(place.tenant(name).database, "dags")
    )


@pytest.fixture
def calls(reached):
    return calling.Calls(reached)


def served(server, bundle, **fields):
    bundle.serve(WANTED)
    server.add_dag("orders", WANTED, **fields)


def test_a_commit_that_is_served_whole_is_proved(step, calls, server, bundle):
    served(server, bundle)
    server.add_dag("platform_smoke", WANTED)
    ran, _ = calls.twice(step)
    assert not ran.changed
    assert ran.outputs == {"dag_commit": WANTED, "dag_version": "t" * 40, "dags": 2}
    assert server.writes == []


def test_with_plan_it_is_unknown_while_the_components_are_yet_to_be_started(step, calls):
    calls.outputs = calling.Unmade(
        {name: made for name, made in calls.outputs.items() if name != "components"}
    )
    with pytest.raises(engine.OutputsUnknown, match="components"):
        calls.plan(step)


def test_dags_of_other_bundles_and_of_files_that_are_gone_do_not_count(step, calls, server, bundle):
    served(server, bundle)
    server.add_dag("gone", OLD, is_stale=True)
    server.add_dag("foreign", OLD, bundle_name="elsewhere")
    assert calls.run(step).outputs["dags"] == 1


def test_a_commit_that_is_not_served_yet_is_waited_for(step, calls, server, bundle):
    bundle.serve(OLD)
    server.add_dag("orders", WANTED)
    calls.patience.sleep = _then(calls.patience, lambda: bundle.serve(WANTED))
    ran, _ = calls.twice(step)
    assert ran.text == f"serve commit {WANTED[:12]} (now {OLD[:12]})"
    assert calls.news == [f"the bundle is at {OLD[:12]}"]


def _then(patience, happens):
    def sleep(seconds):
        patience.now += seconds
        happens()

    return sleep


def test_what_airflow_would_parse_again_only_after_minutes_is_asked_for_once(step, calls, server, bundle):
    bundle.serve(WANTED)
    server.add_dag("orders", WANTED)
    server.add_dag("behind", OLD, then=WANTED)
    ran, _ = calls.twice(step)
    assert ran.changed
    assert server.writes == ["PUT token of behind"]


def test_a_file_that_cannot_be_imported_ends_the_wait(step, calls, server, bundle):
    served(server, bundle)
    server.add_import_error("broken.py", 'Traceback:\n  File "broken.py"\nRuntimeError: broken on import\n')
    with pytest.raises(errors.StepError, match=r"broken\.py: RuntimeError: broken on import") as caught:
        calls.run(step)
    assert caught.value.message.startswith(f"1 DAG file of commit {WANTED[:12]} cannot be imported")
    assert dag_arrival.SETTLING <= calls.patience.now < dag_arrival.TIMEOUT


def test_a_failure_of_the_commit_before_is_forgiven_until_its_file_is_parsed_again(
    step, calls, server, bundle
):
    served(server, bundle)
    server.add_import_error("mended.py", "RuntimeError: x")
    calls.patience.sleep = _then(calls.patience, server.import_errors.clear)
    assert calls.run(step).changed


def test_a_broken_file_of_the_commit_before_does_not_end_it(step, calls, server, bundle):
    bundle.serve(OLD)
    server.add_dag("orders", WANTED)
    server.add_import_error("broken.py", "RuntimeError: x")

    def mended():
        server.import_errors.clear()
        bundle.serve(WANTED)

    calls.patience.sleep = _then(calls.patience, mended)
    assert calls.twice(step)[0].changed


@pytest.mark.parametrize("served_now", ["", OLD])
def test_a_commit_that_never_comes_is_told_with_where_to_look(step, calls, server, bundle, served_now):
    if served_now:
        bundle.serve(served_now)
    calls.patience.pace = 20
    with pytest.raises(errors.StepError, match="Nothing has changed for 120 s") as caught:
        calls.run(step)
    assert f"the bundle is at {served_now[:12] or 'no commit'}" in caught.value.message
    assert "dag-processor" in caught.value.hint


def test_a_commit_without_a_parsed_dag_is_waited_for(step, calls, server, bundle):
    bundle.serve(WANTED)
    calls.patience.sleep = _then(calls.patience, lambda: server.add_dag("orders", WANTED))
    ran, _ = calls.twice(step)
    assert (ran.outputs["dags"], calls.news) == (1, ["no DAG is parsed yet"])


def test_a_damaged_database_is_told(step, calls, server, tenant):
    tenant.database.write_bytes(b"no database" * 100)
    with pytest.raises(errors.StateError, match="cannot be read"):
        calls.run(step)


def test_a_dag_that_its_file_has_no_longer_is_waited_for_until_airflow_has_seen_it(
    step, calls, server, bundle
):
    served(server, bundle)
    server.add_dag("renamed", OLD, relative_fileloc="orders.py")
    calls.patience.sleep = _then(calls.patience, lambda: server.dags["renamed"].update(is_stale=True))
    ran, _ = calls.twice(step)
    assert ran.text == f"serve commit {WANTED[:12]} whole: not gone yet: renamed"
    assert (ran.outputs["dags"], server.writes) == (1, [])
