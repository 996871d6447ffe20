"""The stand-in's api-server: exactly the calls that the toolkit makes; all others are refused and kept."""

import hashlib
import hmac
import json
import os
import re
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import database

CONTROLS = Path("/nowhere")
"""See airflow.py."""

PAGE = {"limit", "offset"}
MASKED = "***"
LOOKS_SECRET = re.compile("secret|password|token|key", re.IGNORECASE)

KINDS = {
    "connections": (
        "connection",
        "connection_id",
        ("conn_type", "host", "port", "login", "schema", "password", "extra", "description"),
    ),
    "variables": ("variable", "key", ("value", "description")),
    "pools": ("pool", "name", ("slots", "description", "include_deferred")),
}
"""Collection: its table, its key, its other columns."""


class Refused(Exception):
    """The answer is a status and a detail."""


def serve(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        while True:
            peer, _ = listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_talk, args=(peer,), daemon=True).start()


def _talk(peer):
    with peer, peer.makefile("rb") as stream, database.connected() as connection:
        while line := stream.readline().decode().split():
            method, target, _ = line
            headers = {}
            while header := stream.readline().strip().decode():
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", 0)))
            status, answer = _answer(connection, method, target, headers, body)
            data = b"" if answer is None else json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            try:
                peer.sendall(head.encode() + data)
            except OSError:
                return


def _answer(connection, method, target, headers, body):
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    try:
        if parts.path == "/auth/token" and method == "POST":
            return 201, {"access_token": _log_in(json.loads(body))}
        if (method, parts.path) == ("GET", "/api/v2/monitor/health"):
            return 200, _health(connection)
        if (method, parts.path) == ("GET", "/execution/health/ping"):
            return 200, {"ok": True}
        _authenticate(headers)
        return _call(connection, method, parts.path, query, json.loads(body) if body else None)
    except Refused as refusal:
        status, detail = refusal.args
        print(f"refused with {status}: {method} {target}: {detail}", file=sys.stderr, flush=True)
        if status not in (401, 404) or detail == "Not FoundContainer":
            with connection:
                connection.execute("INSERT INTO refusal (call) VALUES (?)", (f"{method} {target}: {detail}",))
        return status, {"detail": detail}


def _authenticate(headers):
    if not hmac.compare_digest(headers.get("authorization", ""), f"Bearer {_token('admin')}"):
        raise Refused(401, "Invalid JWT token")


def _log_in(body):
    passwords = json.loads(Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]).read_text())
    if body.keys() != {"username", "password"} or passwords.get(body["username"]) != body["password"]:
        raise Refused(401, "Invalid credentials")
    return _token(body["username"])


def _token(user):
    secret = os.environ["AIRFLOW__API_AUTH__JWT_SECRET"].encode()
    return hmac.new(secret, user.encode(), hashlib.sha256).hexdigest()


def _health(connection):
    answer: dict[str, dict[str, str | None]] = {"metadatabase": {"status": "healthy"}}
    for name, job in (
        ("scheduler", "Scheduler"),
        ("dag_processor", "DagProcessor"),
        ("triggerer", "Triggerer"),
    ):
        query = "SELECT max(latest_heartbeat) AS beat FROM job WHERE job_type = ?"
        beat = database.rows(connection, query, (f"{job}Job",))[0]["beat"]
        answer[name] = {"status": "healthy" if beat else None, f"latest_{name}_heartbeat": beat}
    return answer


def _call(connection, method, path, query, body):
    for wanted, pattern, allowed, function in ROUTES:
        found = re.fullmatch(pattern, path)
        if wanted == method and found:
            if set(query) - allowed:
                raise Refused(422, f"unknown parameters {sorted(set(query) - allowed)}")
            return function(connection, *map(unquote, found.groups()), query=query, body=body)
    raise Refused(404, "Not FoundContainer")


def _page(rows, key, query):
    first = int(query.get("offset", 0))
    return 200, {key: rows[first : first + int(query.get("limit", 50))], "total_entries": len(rows)}


def _version(connection, *, query, body):
    return 200, {"version": "3.3.2"}


def _jobs(connection, *, query, body):
    if query.get("order_by") != "-id":
        raise Refused(422, "this stand-in orders jobs by -id only")
    jobs = database.rows(
        connection, "SELECT * FROM job WHERE job_type = ? ORDER BY id DESC", (query["job_type"],)
    )
    return _page(jobs, "jobs", query)


def _dags(connection, *, query, body):
    return _page(
        [_shown_dag(row) for row in database.rows(connection, "SELECT * FROM dag ORDER BY dag_id")],
        "dags",
        query,
    )


def _dag(connection, dag_id, *, query, body):
    rows = database.rows(connection, "SELECT * FROM dag WHERE dag_id = ?", (dag_id,))
    if not rows:
        raise Refused(404, f"The Dag with ID: `{dag_id}` was not found")
    return 200, _shown_dag(rows[0])


def _pause(connection, dag_id, *, query, body):
    if body.keys() != {"is_paused"}:
        raise Refused(422, "this stand-in changes is_paused only")
    with connection:
        connection.execute("UPDATE dag SET is_paused = ? WHERE dag_id = ?", (body["is_paused"], dag_id))
    return _dag(connection, dag_id, query={}, body=None)


def _shown_dag(row):
    flags = {name: bool(row[name]) for name in ("is_paused", "is_stale", "has_import_errors")}
    return {
        **row,
        **flags,
        "file_token": f"token.of {row['dag_id']}",
        "relative_fileloc": f"{row['dag_id']}.py",
        "last_parse_duration": 0.1,
    }


def _import_errors(connection, *, query, body):
    return _page(database.rows(connection, "SELECT * FROM import_error"), "import_errors", query)


def _reparse(connection, token, *, query, body):
    """What was asked for is parsed at once."""
    with connection:
        connection.execute(
            "UPDATE dag SET bundle_version = (SELECT version FROM dag_bundle WHERE name = bundle_name)"
            " WHERE dag_id = ?",
            (token.removeprefix("token.of "),),
        )
    return 201, None


def _runs(connection, dag_id, *, query, body):
    _dag(connection, dag_id, query={}, body=None)
    if query.get("order_by") != "-id":
        raise Refused(422, "this stand-in orders runs by -id only")
    rows = database.rows(connection, "SELECT * FROM dag_run WHERE dag_id = ? ORDER BY id DESC", (dag_id,))
    return _page([_shown_run(row) for row in rows], "dag_runs", query)


def _trigger(connection, dag_id, *, query, body):
    if body.keys() != {"logical_date", "conf"} or body["logical_date"] is not None:
        raise Refused(422, "this stand-in starts runs without a data interval only")
    dag = _dag(connection, dag_id, query={}, body=None)[1]
    run_id = f"manual__{database.now()}"
    with connection:
        connection.execute(
            "INSERT INTO dag_run (dag_id, dag_run_id, state, conf, bundle_version)"
            " VALUES (?, ?, 'queued', ?, ?)",
            (dag_id, run_id, json.dumps(body["conf"]), dag["bundle_version"]),
        )
    return _run(connection, dag_id, run_id, query={}, body=None)


def _run(connection, dag_id, run_id, *, query, body):
    rows = database.rows(
        connection, "SELECT * FROM dag_run WHERE dag_id = ? AND dag_run_id = ?", (dag_id, run_id)
    )
    if not rows:
        raise Refused(404, f"The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found")
    return 200, _shown_run(rows[0])


def _shown_run(row):
    return {**row, "conf": json.loads(row["conf"])}


def _list(connection, collection, *, query, body):
    table, key, _ = KINDS[collection]
    rows = database.rows(connection, f"SELECT * FROM {table} ORDER BY {key}")
    return _page([_shown(collection, row) for row in rows], collection, query)


def _get(connection, collection, name, *, query, body):
    table, key, _ = KINDS[collection]
    rows = database.rows(connection, f"SELECT * FROM {table} WHERE {key} = ?", (name,))
    if not rows:
        raise Refused(404, f"The {table} with {key}: `{name}` was not found")
    return 200, _shown(collection, rows[0])


def _delete(connection, collection, name, *, query, body):
    _get(connection, collection, name, query={}, body=None)
    table, key, _ = KINDS[collection]
    with connection:
        connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (name,))
    return 204, None


def _bulk(connection, collection, *, query, body):
    (action,) = body["actions"]
    if (action["action"], action["action_on_existence"]) != ("create", "overwrite"):
        raise Refused(422, "this stand-in creates or overwrites only")
    if (CONTROLS / "refuse_writes").exists():
        raise Refused(422, f"not acceptable: {json.dumps(body)}")
    for entity in action["entities"]:
        _write(connection, collection, entity)
    return 200, {"create": {"success": [], "errors": []}}


def _write(connection, collection, entity):
    table, key, columns = KINDS[collection]
    if entity.keys() != {key, *columns}:
        raise Refused(422, f"{collection} have other fields than {sorted(entity)}")
    values = dict(entity)
    if collection == "connections":
        old = database.rows(connection, f"SELECT password FROM {table} WHERE {key} = ?", (entity[key],))
        if values["password"] is None and old:  # As Airflow does.
            values["password"] = old[0]["password"]
        values["fernet"] = _fernet()
    names = ", ".join(values)
    with connection:
        connection.execute(
            f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})",
            tuple(values.values()),
        )


def _shown(collection, row):
    """As Airflow shows it: secrets masked, and nothing that another Fernet key encrypted."""
    if collection == "connections":
        if row.pop("fernet") != _fernet():
            raise Refused(500, "InvalidToken: another Fernet key encrypted this connection")
        extra = json.loads(row["extra"] or "{}")
        masked = {name: MASKED if LOOKS_SECRET.search(name) else value for name, value in extra.items()}
        return {
            **row,
            "password": MASKED if row["password"] else None,
            "extra": json.dumps(masked) if extra else None,
        }
    if collection == "variables":
        return {**row, "value": MASKED if LOOKS_SECRET.search(row["key"]) else row["value"]}
    return {**row, "include_deferred": bool(row["include_deferred"]), "occupied_slots": 0}


def _fernet():
    return hashlib.sha256(os.environ["AIRFLOW__CORE__FERNET_KEY"].encode()).hexdigest()[:8]


DAG = "/api/v2/dags/([^/]+)"
KIND = f"/api/v2/({'|'.join(KINDS)})"
ROUTES = (
    ("GET", "/api/v2/version", set(), _version),
    ("GET", "/api/v2/jobs", {"job_type", "order_by", "limit"}, _jobs),
    ("GET", "/api/v2/dags", {"order_by", *PAGE}, _dags),
    ("GET", DAG, set(), _dag),
    ("PATCH", DAG, set(), _pause),
    ("GET", "/api/v2/importErrors", PAGE, _import_errors),
    ("PUT", "/api/v2/parseDagFile/([^/]+)", set(), _reparse),
    ("GET", f"{DAG}/dagRuns", {"order_by", "limit"}, _runs),
    ("POST", f"{DAG}/dagRuns", set(), _trigger),
    ("GET", f"{DAG}/dagRuns/([^/]+)", set(), _run),
    ("GET", KIND, {"order_by", *PAGE}, _list),
    ("PATCH", KIND, set(), _bulk),
    ("GET", f"{KIND}/([^/]+)", set(), _get),
    ("DELETE", f"{KIND}/([^/]+)", set(), _delete),
)
"""Method, path, parameters that are known, and who answers."""
