"""The Airflow client against answers recorded from Airflow 3.3.2; the double refuses all other calls."""

from __future__ import annotations

import datetime
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_platform import errors, secrets
from airflow_platform.tools.airflow import airflow_answers, airflow_client, airflow_objects, airflow_session

PASSWORD = secrets.Secret("correct horse")
COMMIT = "d191328ceb28d1bb7d5eac158feea0e1378c3886"

HEALTH = {
    "metadatabase": {"status": "healthy"},
    "scheduler": {
        "status": "healthy",
        "latest_scheduler_heartbeat": "2026-11-23T02:44:00.351190+00:00",
    },
    "triggerer": {"status": None, "latest_triggerer_heartbeat": None},
    "dag_processor": {
        "status": "healthy",
        "latest_dag_processor_heartbeat": "2026-11-23T02:44:00.532648+00:00",
    },
}
JOB = {
    "id": 3,
    "dag_id": None,
    "state": "running",
    "job_type": "SchedulerJob",
    "start_date": "2026-11-23T02:43:35.035949Z",
    "end_date": None,
    "latest_heartbeat": "2026-11-23T02:44:00.351190Z",
    "executor_class": None,
    "hostname": "vm",
    "unixname": "a",
    "dag_display_name": None,
}
DAG = {
    "dag_id": "hello",
    "is_paused": False,
    "is_stale": False,
    "last_parsed_time": "2026-11-23T02:43:36.310380Z",
    "bundle_name": "dags",
    "bundle_version": COMMIT,
    "relative_fileloc": "hello.py",
    "file_token": "token-of-hello",
    "last_parse_duration": 0.25,
    "has_import_errors": False,
}
RUN_ID = "manual__2026-11-23T02:44:09.028038+00:00"
RUN_PATH = "/api/v2/dags/hello/dagRuns/manual__2026-11-23T02%3A44%3A09.028038%2B00%3A00"
RUN = {
    "dag_run_id": RUN_ID,
    "dag_id": "hello",
    "logical_date": None,
    "queued_at": "2026-11-23T02:44:09.089840Z",
    "start_date": None,
    "end_date": None,
    "run_type": "manual",
    "state": "queued",
    "conf": {"a": 1},
    "bundle_version": COMMIT,
}
TASK = {
    "task_id": "nap",
    "dag_id": "hello",
    "dag_run_id": RUN_ID,
    "map_index": -1,
    "start_date": "2026-11-23T02:45:36.473133Z",
    "end_date": "2026-11-23T02:45:36.622816Z",
    "duration": 0.15,
    "state": "failed",
    "try_number": 1,
    "max_tries": 0,
}
LOG = {
    "content": [
        {"event": "::group::Log message source details"},
        {"event": "/tenants/a/logs/dag_id=hello/task_id=nap/attempt=1.log"},
        {"event": "::endgroup::"},
        {
            "timestamp": "2026-11-23T02:45:36.5Z",
            "event": "DAG bundles loaded: dags",
            "level": "info",
        },
        {
            "timestamp": "2026-11-23T02:45:36.6Z",
            "event": "Task failed with exception",
            "level": "error",
            "error_detail": [
                {
                    "exc_type": "RuntimeError",
                    "exc_value": "you asked for it",
                    "exc_notes": [],
                    "is_cause": False,
                    "frames": [
                        {"filename": "task_runner.py", "lineno": 1579, "name": "_run"},
                        {"filename": "hello.py", "lineno": 16, "name": "nap"},
                    ],
                }
            ],
        },
    ],
    "continuation_token": None,
}
CONNECTION = {
    "connection_id": "x",
    "conn_type": "http",
    "description": "d",
    "host": "h",
    "login": "l",
    "schema": "s",
    "port": 1,
    "password": "***",
    "extra": '{"token": "***", "k": "v"}',
    "team_name": None,
}
POOL = {
    "name": "snowflake",
    "slots": 4,
    "description": "",
    "include_deferred": False,
    "occupied_slots": 1,
    "running_slots": 1,
    "queued_slots": 0,
    "scheduled_slots": 0,
    "open_slots": 3,
    "deferred_slots": 0,
    "team_name": None,
}


class Double(http.server.ThreadingHTTPServer):
    """An api-server that gives the answers it was told, in order, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.calls: list[tuple[str, str, Any]] = []
        self.connections = 0
        self.tokens = ["token-1"]
        self._told: dict[tuple[str, str], list[tuple[int, Any]]] = {}

    def tell(self, method: str, target: str, body: Any, status: int = 200) -> None:
        """Answer this call so, from now on or after the answers told before."""
        self._told.setdefault((method, target), []).append((status, body))

    def answer(self, method: str, target: str, body: Any, token: str) -> tuple[int, Any]:
        self.calls.append((method, target, body))
        if target == "/auth/token":
            if body != {"username": "admin", "password": PASSWORD.reveal()}:
                return 401, {"detail": "Invalid credentials"}
            return 201, {"access_token": self.tokens[0]}
        if target.startswith("/api/v2/") and "/monitor/" not in target:
            if not token:
                return 401, {"detail": "Not authenticated"}
            if token != f"Bearer {self.tokens[0]}":
                return 401, {"detail": "Token Expired"}
        told = self._told.get((method, target))
        if told is None:
            return 500, {"detail": f"the double was not told about {method} {target}"}
        return told.pop(0) if len(told) > 1 else told[0]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Double

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _handle(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else None
        token = self.headers.get("Authorization", "")
        status, answer = self.server.answer(self.command, self.path, body, token)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        data = b"" if answer is None else data
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # http.server calls `do_<method>`.
            return self._handle
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def server() -> Iterator[Double]:
    double = Double()
    thread = threading.Thread(target=double.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield double
    double.shutdown()
    thread.join()
    double.server_close()


@pytest.fixture
def api(server: Double) -> Iterator[airflow_client.Airflow]:
    client = airflow_client.Airflow(server.url, "admin", PASSWORD, timeout=5)
    yield client
    client.session.close()


def time_of(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_health_needs_no_token(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("GET", "/api/v2/monitor/health", HEALTH)
    health = api.health()
    assert health.metadatabase == airflow_answers.Component("healthy", None)
    assert health.scheduler.heartbeat == time_of("2026-11-23T02:44:00.351190+00:00")
    assert health.triggerer == airflow_answers.Component(None, None)
    assert not health.healthy
    assert [call[1] for call in server.calls] == ["/api/v2/monitor/health"]


def test_one_connection_and_one_token_serve_all_calls(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("GET", "/api/v2/version", {"version": "3.3.2", "git_version": "x"})
    assert [api.version() for _ in range(3)] == ["3.3.2"] * 3
    assert [call[1] for call in server.calls] == ["/auth/token"] + ["/api/v2/version"] * 3
    assert server.connections == 1


def test_an_expired_token_is_fetched_again_once(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("GET", "/api/v2/version", {"version": "3.3.2"})
    api.version()
    server.tokens = ["token-2"]
    assert api.version() == "3.3.2"
    assert [call[1] for call in server.calls].count("/auth/token") == 2


def test_a_wrong_password_is_refused_without_showing_it(server: Double) -> None:
    stranger = airflow_client.Airflow(server.url, "admin", secrets.Secret("of another tenant"))
    with pytest.raises(errors.RefusedError, match="status 401: Invalid credentials") as caught:
        stranger.version()
    assert "another" not in str(caught.value)
    stranger.session.close()


def test_a_viewer_is_refused(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("POST", "/api/v2/dags/hello/dagRuns", {"detail": "Forbidden"}, 403)
    with pytest.raises(errors.RefusedError, match="Forbidden"):
        api.trigger("hello")


def test_a_port_that_nobody_listens_on_is_not_reachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        api = airflow_client.Airflow(f"http://127.0.0.1:{taken.getsockname()[1]}", "admin", PASSWORD)
        with pytest.raises(airflow_session.NotReachable, match="connection refused"):
            api.health()


def test_a_server_that_does_not_answer_is_not_reachable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        api = airflow_client.Airflow(url, "admin", PASSWORD, timeout=0.05)
        with pytest.raises(airflow_session.NotReachable, match="no answer in time"):
            api.health()


def test_another_program_on_the_port_is_told(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("GET", "/api/v2/monitor/health", b"<html>hello</html>")
    with pytest.raises(airflow_session.AirflowError, match="not JSON"):
        api.health()


def test_airflows_own_words_are_in_the_error(server: Double, api: airflow_client.Airflow) -> None:
    faults = [{"loc": ["body", "slots"], "msg": "Input should be greater", "input": "s3cret"}] * 2
    server.tell("PATCH", "/api/v2/pools", {"detail": faults}, 422)
    with pytest.raises(airflow_session.AirflowError) as caught:
        airflow_objects.Objects(api.session).put_pool(airflow_objects.Pool("p", -3))
    assert caught.value.status == 422
    assert caught.value.message.endswith("status 422: body.slots: Input should be greater")


def test_a_conflict_names_its_reason(server: Double, api: airflow_client.Airflow) -> None:
    detail = {"reason": "Unique constraint violation", "statement": "hidden"}
    server.tell("POST", "/api/v2/dags/hello/dagRuns", {"detail": detail}, 409)
    with pytest.raises(airflow_session.AirflowError, match="Unique constraint") as caught:
        api.trigger("hello", run_id="again")
    assert caught.value.status == 409


def test_jobs_are_the_newest_of_each_component(server: Double, api: airflow_client.Airflow) -> None:
    for kind in airflow_client.JOB_TYPES.values():
        found = [JOB] if kind == "SchedulerJob" else []
        target = f"/api/v2/jobs?job_type={kind}&order_by=-id&limit=1"
        server.tell("GET", target, {"jobs": found, "total_entries": len(found)})
    jobs = api.jobs()
    assert list(jobs) == ["scheduler"]
    assert jobs["scheduler"].started == time_of("2026-11-23T02:43:35.035949+00:00")


@pytest.mark.parametrize(
    ("state", "since", "now", "expected"),
    [
        ("running", "02:43:35", "02:44:05", True),
        ("running", "02:43:36", "02:44:05", False),  # A job of an earlier start.
        ("running", "02:43:35", "02:45:05", False),  # It no longer beats.
        ("failed", "02:43:35", "02:44:05", False),
    ],
)
def test_a_job_proves_a_start(state: str, since: str, now: str, expected: object) -> None:
    job = airflow_answers.job({**JOB, "state": state})
    start = time_of(f"2026-11-23T{since}+00:00")
    asked = time_of(f"2026-11-23T{now}+00:00")
    assert job.is_of_start(start, now=asked, fresh=30) is expected


def test_dags_are_read_page_by_page(server: Double, api: airflow_client.Airflow) -> None:
    other = {**DAG, "dag_id": "other", "bundle_version": None, "last_parsed_time": None}
    for offset, entry in enumerate((DAG, other)):
        target = f"/api/v2/dags?order_by=dag_id&limit=100&offset={offset}"
        server.tell("GET", target, {"dags": [entry], "total_entries": 2})
    first, second = api.dags()
    assert (first.id, first.bundle, first.version) == ("hello", "dags", COMMIT)
    assert (second.id, second.version, second.parsed) == ("other", None, None)


def test_a_dag_that_is_not_there_is_not_found(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("GET", "/api/v2/dags/nope", {"detail": "The Dag with ID: `nope` was not found"}, 404)
    with pytest.raises(airflow_session.NotFound, match="`nope` was not found"):
        api.dag("nope")


def test_import_failures_have_a_reason(server: Double, api: airflow_client.Airflow) -> None:
    entry = {
        "import_error_id": 1,
        "timestamp": "2026-11-23T02:44:51.889453Z",
        "filename": "broken.py",
        "bundle_name": "dags",
        "stack_trace": 'Traceback:\n  File "broken.py", line 2\nRuntimeError: broken on import\n',
    }
    answer = {"import_errors": [entry], "total_entries": 1}
    server.tell("GET", "/api/v2/importErrors?limit=100&offset=0", answer)
    (failure,) = api.import_failures()
    assert (failure.file, failure.reason) == ("broken.py", "RuntimeError: broken on import")


def test_a_dag_is_unpaused(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("PATCH", "/api/v2/dags/hello", DAG)
    assert not api.set_paused("hello", paused=False).paused
    assert server.calls[-1][2] == {"is_paused": False}


def test_a_run_is_triggered_with_conf(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("POST", "/api/v2/dags/hello/dagRuns", RUN)
    run = api.trigger("hello", conf={"a": 1}, run_id="r")
    assert (run.id, run.state, run.conf, run.version) == (RUN_ID, "queued", {"a": 1}, COMMIT)
    assert server.calls[-1][2] == {"logical_date": None, "conf": {"a": 1}, "dag_run_id": "r"}


def test_runs_come_newest_first(server: Double, api: airflow_client.Airflow) -> None:
    answer = {"dag_runs": [{**RUN, "conf": None}], "total_entries": 1}
    server.tell("GET", "/api/v2/dags/hello/dagRuns?order_by=-id&limit=3", answer)
    (run,) = api.runs("hello", limit=3)
    assert run.conf == {}


def test_a_run_is_waited_for(server: Double, api: airflow_client.Airflow) -> None:
    for state in ("queued", "running", "success"):
        server.tell("GET", RUN_PATH, {**RUN, "state": state})
    clock, news = Clock(), list[str]()
    run = api.wait_for_run("hello", RUN_ID, timeout=9, sleep=clock.sleep, clock=clock, progress=news.append)
    assert run.state == "success"
    assert news == ["queued", "running"]
    assert clock.now == pytest.approx(2 * airflow_client.POLL)


def test_a_run_that_hangs_says_what_its_tasks_do(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("GET", RUN_PATH, {**RUN, "state": "running"})
    tasks = [{**TASK, "state": "queued"}, {**TASK, "task_id": "later", "state": None}]
    answer = {"task_instances": tasks, "total_entries": 2}
    server.tell("GET", f"{RUN_PATH}/taskInstances?limit=100&offset=0", answer)
    clock = Clock()
    with pytest.raises(errors.StepError, match="nap is queued, later is waiting") as caught:
        api.wait_for_run("hello", RUN_ID, timeout=1, sleep=clock.sleep, clock=clock)
    assert "within 1 s: running" in caught.value.message


def test_waiting_outlives_an_api_server_that_restarts() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        api = airflow_client.Airflow(f"http://127.0.0.1:{nobody.getsockname()[1]}", "admin", PASSWORD)
        clock = Clock()
        with pytest.raises(errors.StepError, match="connection refused"):
            api.wait_for_run("hello", RUN_ID, timeout=2, sleep=clock.sleep, clock=clock)
        assert clock.now >= 2


def test_an_interrupted_wait_ends_at_once(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("GET", RUN_PATH, RUN)

    def interrupted(seconds: float) -> None:
        raise errors.Interrupted(2, "SIGINT")

    with pytest.raises(errors.Interrupted):
        api.wait_for_run("hello", RUN_ID, timeout=60, sleep=interrupted)


def test_a_failure_shows_the_end_of_the_log(server: Double, api: airflow_client.Airflow) -> None:
    tasks = {"task_instances": [{**TASK, "task_id": "one", "state": "success"}, TASK]}
    server.tell("GET", f"{RUN_PATH}/taskInstances?limit=100&offset=0", {**tasks, "total_entries": 2})
    log = f"{RUN_PATH}/taskInstances/nap/logs/1?full_content=true&map_index=-1"
    server.tell("GET", log, LOG)
    assert api.failure("hello", RUN_ID, lines=3).splitlines() == [
        "task nap failed at try 1:",
        "    Task failed with exception",
        "    hello.py:16 in nap",
        "    RuntimeError: you asked for it",
    ]


def test_a_failure_without_a_log_still_names_the_task(server: Double, api: airflow_client.Airflow) -> None:
    answer = {"task_instances": [TASK], "total_entries": 1}
    server.tell("GET", f"{RUN_PATH}/taskInstances?limit=100&offset=0", answer)
    assert "its log cannot be read" in api.failure("hello", RUN_ID)


def test_a_connection_is_put_with_its_secrets_in_the_open(
    server: Double, api: airflow_client.Airflow
) -> None:
    server.tell("PATCH", "/api/v2/connections", {"create": {"success": ["x"], "errors": []}})
    airflow_objects.Objects(api.session).put_connection(
        airflow_objects.Connection(
            id="x",
            type="snowflake",
            password=secrets.Secret("pw"),
            extra={"account": "a", "private_key_content": secrets.Secret("key")},
        )
    )
    (action,) = server.calls[-1][2]["actions"]
    (entity,) = action["entities"]
    assert action["action_on_existence"] == "overwrite"
    assert entity["password"] == "pw"
    assert json.loads(entity["extra"]) == {"account": "a", "private_key_content": "key"}
    assert entity["host"] is None, "a field that is not sent would keep its old value"


@pytest.mark.parametrize(("password", "deleted"), [("***", True), (None, False)])
def test_a_connection_loses_its_password_only_by_deletion(
    server: Double, api: airflow_client.Airflow, password: str | None, deleted: object
) -> None:
    server.tell("GET", "/api/v2/connections/x", {**CONNECTION, "password": password})
    server.tell("DELETE", "/api/v2/connections/x", None, 204)
    server.tell("PATCH", "/api/v2/connections", {"create": {"success": ["x"], "errors": []}})
    airflow_objects.Objects(api.session).put_connection(airflow_objects.Connection("x", "http"))
    assert ("DELETE", "/api/v2/connections/x", None) in server.calls or not deleted
    assert ("DELETE", "/api/v2/connections/x", None) not in server.calls or deleted


def test_a_refused_entity_of_a_bulk_call_is_an_error(server: Double, api: airflow_client.Airflow) -> None:
    errors_ = [{"error": "The pool is in use", "status_code": 409}]
    server.tell("PATCH", "/api/v2/pools", {"create": {"success": [], "errors": errors_}})
    with pytest.raises(airflow_session.AirflowError, match="The pool is in use"):
        airflow_objects.Objects(api.session).put_pool(airflow_objects.Pool("p", 1))


def test_deleting_what_is_not_there_is_no_error(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("DELETE", "/api/v2/variables/k", None, 204)
    server.tell("DELETE", "/api/v2/variables/nope", {"detail": "not found"}, 404)
    objects = airflow_objects.Objects(api.session)
    assert objects.delete_variable("k")
    assert not objects.delete_variable("nope")


def test_the_name_of_a_pool_may_have_a_slash(server: Double, api: airflow_client.Airflow) -> None:
    server.tell("DELETE", "/api/v2/pools/a%20b%2Fc", None, 204)
    assert airflow_objects.Objects(api.session).delete_pool("a b/c")


def test_objects_are_listed(server: Double, api: airflow_client.Airflow) -> None:
    connections = "/api/v2/connections?order_by=connection_id&limit=100&offset=0"
    server.tell("GET", connections, {"connections": [CONNECTION], "total_entries": 1})
    variable = {"key": "k", "value": "v", "description": "d", "is_encrypted": True}
    variables = "/api/v2/variables?order_by=key&limit=100&offset=0"
    server.tell("GET", variables, {"variables": [variable], "total_entries": 1})
    server.tell("GET", "/api/v2/pools?limit=100&offset=0", {"pools": [POOL], "total_entries": 1})
    objects = airflow_objects.Objects(api.session)
    (connection,) = objects.connections()
    assert connection.extra == {"token": "***", "k": "v"}
    assert connection.password == secrets.Secret("***")
    assert objects.variables() == (airflow_objects.Variable("k", "v", "d"),)
    assert objects.pools() == (airflow_objects.Pool("snowflake", 4, ""),)


def test_differences_see_through_the_mask() -> None:
    found = airflow_objects.Connection(
        "x", "http", host="h", password=secrets.Secret("***"), extra={"token": "***", "k": "v"}
    )
    wanted = airflow_objects.Connection(
        "x",
        "http",
        host="h",
        password=secrets.Secret("pw"),
        extra={"token": secrets.Secret("t"), "k": "v"},
        description="",
    )
    assert airflow_objects.differences(wanted, found) == ()
    other = airflow_objects.Connection("x", "http", host="h2", extra={"k": "w"})
    assert airflow_objects.differences(other, found) == ("host", "password", "extra")


def test_differences_of_variables_and_pools() -> None:
    masked = airflow_objects.Variable("api_key", "***")
    assert airflow_objects.differences(airflow_objects.Variable("api_key", secrets.Secret("s")), masked) == ()
    pool = airflow_objects.Pool("p", 4)
    assert airflow_objects.differences(pool, airflow_objects.Pool("p", 5, "d", occupied=3)) == (
        "slots",
        "description",
    )


def test_a_file_that_is_asked_for_already_needs_no_second_request(
    server: Double, api: airflow_client.Airflow
) -> None:
    server.tell("PUT", "/api/v2/parseDagFile/t", {"detail": "Duplicate request, ignoring"}, 409)
    api.parse_file("t")
    server.tell("PUT", "/api/v2/parseDagFile/gone", {"detail": "File not found"}, 404)
    with pytest.raises(airflow_session.NotFound):
        api.parse_file("gone")


def test_runs_in_flight_are_those_that_run_and_those_that_wait(
    server: Double, api: airflow_client.Airflow
) -> None:
    for state, entries in (("running", [RUN]), ("queued", [])):
        target = f"/api/v2/dags/~/dagRuns?state={state}&limit=100&offset=0"
        server.tell("GET", target, {"dag_runs": entries, "total_entries": len(entries)})
    assert [run.id for run in api.unfinished_runs()] == [RUN_ID]
