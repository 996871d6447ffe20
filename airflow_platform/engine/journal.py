"""The journal: what was begun and what ended, durable before anything else happens.

It answers three questions: what did a killed run leave unfinished, how long does a step take, and
who changed what. It never decides what a run does: that is observed. So a lost journal loses
history and nothing else, and a damaged one is set aside with a line saying so.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from airflow_platform import errors
from airflow_platform.engine.report import Node, Outcome
from airflow_platform.engine.step import Change

VERSION = 1
"""Of the journal's tables, in `PRAGMA user_version`."""

KEPT_RUNS = 500
"""Runs whose entries are kept: some months of one a few times a day, a megabyte."""

_TABLES = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task TEXT NOT NULL, tenants TEXT NOT NULL, began TEXT NOT NULL, pid INTEGER NOT NULL,
    ended TEXT, exit_code INTEGER
);
CREATE TABLE step (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES run (id),
    name TEXT NOT NULL, tenant TEXT NOT NULL, change TEXT NOT NULL, began TEXT NOT NULL,
    ended TEXT, outcome TEXT, reason TEXT, seconds REAL
);
CREATE INDEX step_by_run ON step (run);
"""


@dataclass(frozen=True)
class Unfinished:
    """A step that was begun by a run which never said how it ended."""

    run: int
    node: Node
    summary: str
    began: str


class Journal(Protocol):
    """What the engine needs of a journal; every runtime brings one."""

    def begin_run(self, task: str, tenants: Sequence[str]) -> str:
        """Open a run and return its id."""

    def unfinished(self) -> tuple[Unfinished, ...]:
        """What earlier runs left unfinished, and has not been said yet."""

    def expected(self) -> Mapping[Node, float]:
        """Seconds that each step took when it last changed something."""

    def begun(self, node: Node, change: Change) -> None:
        """Make durable that a step is about to touch something."""

    def ended(self, node: Node, outcome: Outcome, reason: str, seconds: float) -> None:
        """Make durable how it ended."""

    def end_run(self, exit_code: int) -> None:
        """Close the run."""

    def close(self) -> None:
        """Let go of the file."""


class SqliteJournal:
    """A journal in one SQLite file: write-ahead log, every commit synced to disk (0.3 ms here)."""

    def __init__(
        self,
        path: Path,
        *,
        on_note: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        """Open or make the journal.

        Raises:
            StateError: It cannot be written, or a newer version of the toolkit wrote it.
        """
        self._path = path
        self._now = now
        self._mutex = threading.Lock()
        self._run = 0
        self._entries: dict[Node, int] = {}
        try:
            self._database = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._error(error) from error
            aside = path.with_name(f"{path.name}.damaged-{self._now():%Y%m%dT%H%M%S}")
            on_note(f"The journal {path} is damaged ({error}); set aside as {aside.name}, a new one is begun.")
            with _as_state_error(path):
                os.replace(path, aside)
                for suffix in ("-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._database = self._open()

    def begin_run(self, task: str, tenants: Sequence[str]) -> str:
        with self._write() as database:
            cursor = database.execute(
                "INSERT INTO run (task, tenants, began, pid) VALUES (?, ?, ?, ?)",
                (task, ",".join(tenants), self._stamp(), os.getpid()),
            )
            self._run = cursor.lastrowid or 0
            oldest = self._run - KEPT_RUNS
            database.execute("DELETE FROM step WHERE run <= ?", (oldest,))
            database.execute("DELETE FROM run WHERE id <= ?", (oldest,))
        return str(self._run)

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Unfinished steps of runs that are not running; each is told once."""
        with self._write() as database:
            rows = database.execute(
                "SELECT step.id, run.id, run.pid, step.name, step.tenant, step.change, step.began"
                " FROM step JOIN run ON run.id = step.run"
                " WHERE step.ended IS NULL AND run.ended IS NULL AND run.id != ?",
                (self._run,),
            ).fetchall()
            dead = [row for row in rows if not _alive(row[2])]
            database.executemany(
                "UPDATE step SET ended = ?, outcome = 'unknown' WHERE id = ?",
                [(self._stamp(), row[0]) for row in dead],
            )
        return tuple(
            Unfinished(run, Node(name, tenant or None), json.loads(change)["summary"], began)
            for _, run, _, name, tenant, change, began in dead
        )

    def expected(self) -> Mapping[Node, float]:
        with self._write() as database:
            rows = database.execute(
                "SELECT name, tenant, seconds FROM step WHERE outcome = 'changed' ORDER BY id"
            ).fetchall()
        return {Node(name, tenant or None): seconds for name, tenant, seconds in rows}

    def begun(self, node: Node, change: Change) -> None:
        text = json.dumps(change.to_json(), sort_keys=True)
        with self._write() as database:
            cursor = database.execute(
                "INSERT INTO step (run, name, tenant, change, began) VALUES (?, ?, ?, ?, ?)",
                (self._run, node.step, node.tenant or "", text, self._stamp()),
            )
            self._entries[node] = cursor.lastrowid or 0

    def ended(self, node: Node, outcome: Outcome, reason: str, seconds: float) -> None:
        with self._write() as database:
            database.execute(
                "UPDATE step SET ended = ?, outcome = ?, reason = ?, seconds = ? WHERE id = ?",
                (self._stamp(), outcome.value, reason, seconds, self._entries[node]),
            )

    def end_run(self, exit_code: int) -> None:
        with self._write() as database:
            database.execute(
                "UPDATE run SET ended = ?, exit_code = ? WHERE id = ?", (self._stamp(), exit_code, self._run)
            )

    def close(self) -> None:
        self._database.close()

    def _open(self) -> sqlite3.Connection:
        with _as_state_error(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, check_same_thread=False, timeout=10.0)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise errors.StateError(
                    f"{self._path} was written by a newer version of this toolkit "
                    f"(format {version}; this one knows {VERSION}).",
                    hint="Update the checkout, or remove the file: only history is lost.",
                )
            if version == 0:
                database.executescript(f"BEGIN;{_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            else:
                database.execute("SELECT max(id) FROM step").fetchone()
        except BaseException:
            database.close()
            raise
        return database

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._mutex, self._database as database:
                yield database
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> errors.StateError:
        return errors.StateError(
            f"The journal {self._path} cannot be written: {error}.",
            hint="Free some space or mend the permissions there, then run this again.",
        )

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _as_state_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.StateError(
            f"{path}: {error.strerror or error}.", hint="Free some space or mend the permissions there."
        ) from error
