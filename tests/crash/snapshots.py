"""What a sandbox has come to, so that two can be compared: without times, ids, keys and its own path."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import re
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_platform.runtimes.process import supervisor_client
from airflow_platform.runtimes.process.supervisor import linux
from tests.crash import sandbox

SECRET = ("keys/", "certificates/")
"""Folders of a tenant whose contents are random: only that there is something is compared here."""

PASSING = re.compile(
    r"^state/crash/(runs/|journal\.sqlite|tenants/settled|\.format-)|airflow\.db-(wal|shm)$|/objects/|\.log$|__pycache__"
    r"|(^cache/.*|/locks/[^/]*|/supervisor|^state/ports)\.lock$|dags\.git/(config|description|info|hooks|branches)"
)
"""Files that say how often something ran and how Git packs: no part of the state that is aimed at.

A lock file that nobody holds says who was killed; `.format-…` is what a kill in the first millisecond leaves.
"""


def of(box: sandbox.Sandbox) -> dict[str, Any]:
    """Everything that an undisturbed run and one after a kill must have in common."""
    tenants = [name for name in box.place.found() if name != "settled"]
    return {
        "files": dict(_files(box)),
        "served": _served(box),
        "databases": {name: _database(box, name) for name in tenants if box.tenant(name).database.exists()},
        "supervisors": {name: _supervisor(box, name) for name in tenants},
        "processes": sorted(_title(box, one) for one in box.processes()),
    }


def keys(box: sandbox.Sandbox) -> dict[str, str]:
    """The digest of each key and certificate that is there; of half of a set of certificates none."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in _walk(box.home / "state")
        if any(f"/{folder}" in name for folder in SECRET)
        and path.is_file()
        and (path.parent.name == "keys" or (path.parent / "ca.pem").exists())
    }


def exact(directory: Path) -> dict[str, Any]:
    """Every byte, mode, owner and time of a tree: for what must not be touched at all."""
    found = {}
    for name, path in _walk(directory):
        told = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[name] = (told.st_mode, told.st_uid, told.st_gid, told.st_mtime_ns, content)
    return found


def check_same(box: sandbox.Sandbox, expected: Any, *, repetitions: bool = False) -> None:
    """Fail with every difference from what is expected.

    Args:
        box: Looked at now.
        expected: The snapshot of an undisturbed run.
        repetitions: Whether components may have been started, and the smoke DAG run, more often.
    """
    found = of(box)
    if repetitions:
        found, expected = without_repetitions(found), without_repetitions(expected)
    lines = differences(found, expected)
    if lines:
        raise AssertionError("\n".join(lines))


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two snapshots differ, a line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({*one, *other}, key=str)
            for line in differences(one.get(key, "nothing"), other.get(key, "nothing"), f"{where}/{key}")
        ]
    if one == other:
        return []
    if isinstance(one, tuple) and isinstance(other, tuple) and isinstance(one[-1], str):
        lines = [part[-1].splitlines() for part in (one, other)]
        changes = [line for line in difflib.ndiff(*lines) if line[0] in "+-"]
        return [f"{where}: {one[:-1]} is not {other[:-1]}; {changes}"]
    return [f"{where}: {one!r} is not {other!r}"]


def _files(box: sandbox.Sandbox) -> Iterator[tuple[str, Any]]:
    users = {0: "root", **{sandbox.user_of(box, name): name for name in box.place.found()}}
    for part in ("state", "cache"):
        for relative, path in _walk(box.home / part):
            name = f"{part}/{relative}"
            if PASSING.search(name):
                continue
            told = path.lstat()
            owner = (users.get(told.st_uid, told.st_uid), users.get(told.st_gid, told.st_gid))
            yield name, (stat.filemode(told.st_mode), owner, _content(box, name, path))


def _content(box: sandbox.Sandbox, name: str, path: Path) -> str:
    if not path.is_file():
        return ""
    if any(f"/{folder}" in name for folder in SECRET) or name.endswith(("settings.json", ".db")):
        return "something" if path.stat().st_size else "nothing"
    if name.endswith("supervisor.json"):
        return _plain(box, re.sub(r'"generation": "\w+"', "", path.read_text()))
    if name.endswith("status.json"):
        return "compared apart"
    return _plain(box, path.read_text(errors="replace"))


def _plain(box: sandbox.Sandbox, text: str) -> str:
    """Without what is this sandbox's own: its path, its ports, its users' ids."""
    text = text.replace(str(box.home), "HOME")
    for name in box.place.found():
        text = text.replace(str(sandbox.user_of(box, name)), f"user of {name}")
    for offset in range(sandbox.PORTS):
        text = re.sub(rf"\b{box.first_port + offset}\b", f"PORT+{offset}", text)
    return text


def _served(box: sandbox.Sandbox) -> dict[str, str]:
    repository = box.place.repository
    if not repository.exists():
        return {}
    heads = sandbox.git(repository, "for-each-ref", "--format=%(refname)=%(objectname)")
    commit = sandbox.git(box.checkout, "rev-parse", "HEAD").strip()
    sandbox.git(repository, "fsck", "--strict", "--no-dangling")
    return {
        "refs": heads.replace(commit, "COMMIT"),
        "head": (repository / "HEAD").read_text(),
        "files": sandbox.git(repository, "ls-tree", "-r", "--name-only", "served"),
    }


def _database(box: sandbox.Sandbox, name: str) -> dict[str, Any]:
    tables = {}
    path = box.tenant(name).database
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=20)) as database:
        database.row_factory = sqlite3.Row
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in names:
            rows = [dict(row) for row in database.execute(f"SELECT * FROM {table}")]
            tables[table] = sorted(json.dumps(_row(box, name, row), sort_keys=True) for row in rows)
    return tables


def _row(box: sandbox.Sandbox, tenant: str, row: dict[str, Any]) -> dict[str, Any]:
    place = box.tenant(tenant)
    commit = sandbox.git(box.checkout, "rev-parse", "HEAD").strip()
    known = {
        box.secrets["CRASH_API_PASSWORD"]: "the password of the API",
        box.secrets["CRASH_VARIABLE"]: "the secret variable",
        commit: "COMMIT",
        place.snowflake_password.read_text(): "the password of fakesnow",
        hashlib.sha256(place.keys.joinpath("fernet_key").read_bytes()).hexdigest()[:8]: "the Fernet key",
    }
    moving = ("id", "start_date", "end_date", "latest_heartbeat", "last_parsed_time", "dag_run_id")
    plain = {key: known.get(value, value) for key, value in row.items() if key not in moving}
    if "conf" in plain:
        plain["conf"] = sorted(json.loads(plain["conf"])["airflow_platform"])
    if plain.get("extra"):
        plain["extra"] = _plain(box, str(plain["extra"]))
    return plain


def _supervisor(box: sandbox.Sandbox, name: str) -> Any:
    run = box.tenant(name).run
    status = supervisor_client.status(run)
    if status is None:
        return "held" if supervisor_client.is_held(run) else "down"
    spec = supervisor_client.read_spec(run)
    assert spec is not None
    return {
        "state": status.state,
        "up to date": status.spec_digest == spec.digest,
        "components": [
            (each.name, each.state, each.restarts, each.digest == spec.digest_of(component))
            for each, component in zip(status.components, spec.components, strict=True)
        ],
    }


def _title(box: sandbox.Sandbox, one: linux.Process) -> str:
    words = re.sub(r"\S*/(python[\w.]*|airflow|server\.py)", r"\1", linux.title(one.pid))
    return _plain(box, words)


def _walk(directory: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(directory.rglob("*")):
        yield str(path.relative_to(directory)), path


def without_repetitions(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The same where it does not matter how often components were started and the smoke DAG ran."""
    databases = {
        name: {table: sorted(set(rows)) for table, rows in tables.items()}
        for name, tables in snapshot["databases"].items()
    }
    return {**snapshot, "databases": databases}


def revision(path: Path) -> str:
    """The revision of a database."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])
