"""An api-server in memory: it keeps what is written, masks what Airflow masks, and refuses the rest."""

from __future__ import annotations

import http.server
import json
import re
import threading
import urllib.parse
from typing import Any

LOOKS_SECRET = re.compile("secret|password|token|key", re.IGNORECASE)
KEYS = {"connections": "connection_id", "variables": "key", "pools": "name"}
JOBS = {"SchedulerJob": "scheduler", "DagProcessorJob": "dag-processor", "TriggererJob": "triggerer"}
TIME = "2026-11-23T02:44:00+00:00"
PARSED_AGAIN = "2026-11-23T02:44:09+00:00"
PASSWORD = "correct horse"


class ApiServer(http.server.ThreadingHTTPServer):
    """What a tenant's Airflow holds; tests read it and change it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.password = PASSWORD
        """With which it was started."""
        self.refused: list[str] = []
        """Requests that this double was not told about: a test that causes one fails."""
        self.writes: list[str] = []
        """Every request that could change something, as `PATCH pool/snowflake`."""
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            "connections": {},
            "variables": {},
            "pools": {"default_pool": {"name": "default_pool", "slots": 128, "description": "Default pool"}},
        }
        self.unhealthy: set[str] = set()
        """Components without a heartbeat."""
        self.started = dict.fromkeys(JOBS.values(), TIME)
        """When the newest job of a component started; one that is missing never did."""
        self.warmed = 0
        self.dags: dict[str, dict[str, Any]] = {}
        self.import_errors: list[dict[str, Any]] = []
        self.queues = False
        """Whether files that are asked for wait, instead of being parsed at once."""
        self.runs: list[dict[str, Any]] = []
        """Newest first."""
        self.states = ["queued", "running", "success"]
        """What a triggered run is, look by look."""
        self.log: list[Any] = []
        """Of every task of a failed run."""

    def add_dag(self, name: str, commit: str, **fields: Any) -> None:
        self.dags[name] = {
            "dag_id": name,
            "is_paused": True,
            "is_stale": False,
            "bundle_name": "dags",
            "bundle_version": commit,
            "has_import_errors": False,
            "last_parsed_time": TIME,
            "file_token": f"token of {name}",
            "relative_fileloc": f"{name}.py",
            "last_parse_duration": 0.5,
            **fields,
        }

    def add_import_error(self, file: str, trace: str) -> None:
        entry = {"filename": file, "bundle_name": "dags", "stack_trace": trace, "timestamp": TIME}
        self.import_errors.append(entry)

    def add_run(self, dag: str, state: str, conf: Any) -> dict[str, Any]:
        run = {
            "dag_run_id": f"manual__{len(self.runs) + 1}",
            "dag_id": dag,
            "state": state,
            "conf": conf,
            "bundle_version": self.dags[dag]["bundle_version"],
            "start_date": TIME,
            "end_date": None,
        }
        self.runs.insert(0, run)
        return run

    def answer(self, method: str, target: str, body: Any, token: str) -> tuple[int, Any]:
        path, _, query = target.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        parts = [urllib.parse.unquote(part) for part in path.split("/")[1:]]
        if parts == ["auth", "token"]:
            known = body == {"username": "admin", "password": self.password}
            return (201, {"access_token": "t"}) if known else (401, {"detail": "Invalid credentials"})
        if parts[:3] == ["api", "v2", "monitor"]:
            return 200, self._health()
        if parts == ["execution", "health", "ping"]:
            self.warmed += 1
            return 200, {"ok": True}
        if token != "Bearer t":
            return 401, {"detail": "Not authenticated"}
        found = self._call(method, parts[2:], asked, body)
        if found is None:
            self.refused.append(f"{method} {target}")
            return 500, {"detail": f"the double was not told about {method} {target}"}
        return found

    def _health(self) -> dict[str, Any]:
        names = ("scheduler", "dag_processor", "triggerer")
        found = {
            name: {
                "status": "unhealthy" if name.replace("_", "-") in self.unhealthy else "healthy",
                f"latest_{name}_heartbeat": TIME,
            }
            for name in names
        }
        return {"metadatabase": {"status": "healthy"}, **found}

    def _call(
        self, method: str, parts: list[str], asked: dict[str, str], body: Any
    ) -> tuple[int, Any] | None:
        match (method, *parts):
            case ("GET", "jobs"):
                return 200, {"jobs": self._jobs(asked["job_type"])}
            case (_, "connections" | "variables" | "pools", *_):
                return self._objects(method, parts, body)
            case ("GET", "importErrors"):
                return 200, _page("import_errors", self.import_errors)
            case ("PUT", "parseDagFile", token):
                self.writes.append(f"PUT {token}")
                dag = self.dags[token.removeprefix("token of ")]
                dag["bundle_version"] = dag.pop("then", dag["bundle_version"])
                for failure in () if self.queues else self.import_errors:
                    if failure["filename"] == dag["relative_fileloc"]:
                        failure["timestamp"] = PARSED_AGAIN
                return 200, None
            case (_, "dags", *rest):
                return self._dags(method, rest, asked, body)
        return None

    def _jobs(self, kind: str) -> list[dict[str, Any]]:
        started = self.started.get(JOBS[kind])
        if started is None:
            return []
        job = {"id": 1, "job_type": kind, "state": "running", "start_date": started, "latest_heartbeat": TIME}
        return [job]

    def _objects(self, method: str, parts: list[str], body: Any) -> tuple[int, Any] | None:
        kind, objects = parts[0], self.objects[parts[0]]
        match (method, *parts[1:]):
            case ("GET",):
                return 200, _page(kind, [_shown(kind, each) for each in objects.values()])
            case ("GET", name):
                return (200, _shown(kind, objects[name])) if name in objects else (404, {"detail": "none"})
            case ("DELETE", name):
                self.writes.append(f"DELETE {kind[:-1]}/{name}")
                return (204, None) if objects.pop(name, None) else (404, {"detail": "none"})
            case ("PATCH",):
                (action,) = body["actions"]
                assert (action["action"], action["action_on_existence"]) == ("create", "overwrite")
                for entity in action["entities"]:
                    self.writes.append(f"PATCH {kind[:-1]}/{entity[KEYS[kind]]}")
                    objects[entity[KEYS[kind]]] = entity
                return 200, {"create": {"success": [], "errors": []}}
        return None

    def _dags(
        self, method: str, parts: list[str], asked: dict[str, str], body: Any
    ) -> tuple[int, Any] | None:
        if parts and parts[0] not in (*self.dags, "~"):
            return 404, {"detail": f"The Dag with ID: `{parts[0]}` was not found"}
        match (method, *parts):
            case ("GET",):
                return 200, _page("dags", list(self.dags.values()))
            case ("GET", dag):
                return 200, self.dags[dag]
            case ("PATCH", dag):
                self.writes.append(f"PATCH dag/{dag}")
                self.dags[dag] |= body
                return 200, self.dags[dag]
            case (_, dag, "dagRuns", *rest):
                return self._runs(method, dag, rest, asked, body)
        return None

    def _runs(
        self, method: str, dag: str, parts: list[str], asked: dict[str, str], body: Any
    ) -> tuple[int, Any] | None:
        match (method, *parts):
            case ("GET",) if dag == "~":
                return 200, _page("dag_runs", [run for run in self.runs if run["state"] == asked["state"]])
            case ("GET",):
                return 200, {"dag_runs": [run for run in self.runs if run["dag_id"] == dag]}
            case ("POST",):
                self.writes.append(f"POST run of {dag}")
                return 200, self.add_run(dag, "queued", body["conf"])
            case ("GET", name, *rest):
                return self._run(next(each for each in self.runs if each["dag_run_id"] == name), rest)
        return None

    def _run(self, run: dict[str, Any], rest: list[str]) -> tuple[int, Any] | None:
        match rest:
            case []:
                if run["state"] not in ("success", "failed") and not self.dags[run["dag_id"]]["is_paused"]:
                    run["state"] = self.states.pop(0) if len(self.states) > 1 else self.states[0]
                return 200, run
            case ["taskInstances"]:
                task = {
                    "task_id": "load",
                    "state": run["state"],
                    "try_number": 1,
                    "map_index": -1,
                    "duration": 1,
                }
                return 200, _page("task_instances", [task])
            case ["taskInstances", "load", "logs", "1"]:
                return 200, {"content": self.log, "continuation_token": None}
        return None


def _page(key: str, entries: list[Any]) -> dict[str, Any]:
    return {key: entries, "total_entries": len(entries)}


def _shown(kind: str, entity: dict[str, Any]) -> dict[str, Any]:
    """An object as Airflow shows it."""
    if kind == "connections":
        extra = json.loads(entity["extra"]) if entity["extra"] else {}
        masked = {key: "***" if LOOKS_SECRET.search(key) else value for key, value in extra.items()}
        password = None if entity["password"] is None else "***"
        return {**entity, "password": password, "extra": json.dumps(masked) if extra else None}
    if kind == "variables":
        return {**entity, "value": "***" if LOOKS_SECRET.search(entity["key"]) else entity["value"]}
    return {"include_deferred": False, "occupied_slots": 0, **entity}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ApiServer

    def _talk(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        status, answer = self.server.answer(
            self.command, self.path, body, self.headers.get("Authorization", "")
        )
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _talk  # noqa: N815 - the base class's names.

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def serve(server: ApiServer) -> threading.Thread:
    """Answer in a thread, until `shutdown`."""
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    return thread
