"""The journal: what was begun and what ended, durable before anything else happens.

It answers three questions: what did a killed run leave unfinished, how long does a step take, and
who changed what. It never decides what a run does: that is observed. So a lost journal loses
history and nothing else, and a damaged one is set aside with a line saying so.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from airflow_platform import errors
from airflow_platform.engine import file_lock
from airflow_platform.engine.report import Node, Outcome
from airflow_platform.engine.step import Change
from airflow_platform.engine.store import Unfinished

VERSION = 1
"""Of the journal's tables, in `PRAGMA user_version`."""

KEPT_RUNS = 500
"""Runs whose entries are kept: some months of one a few times a day, a megabyte."""

PATIENCE = 10.0
"""Seconds to wait for another process that opens the journal or writes a line: it needs milliseconds."""

_WORLD_SAYS_NO = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_AUTH,
    }
)
"""SQLite's primary codes that say nothing about the file's content; all others mean damage."""

_TABLES = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL, tenants TEXT NOT NULL, began TEXT NOT NULL, pid INTEGER NOT NULL,
    ended TEXT, exit_code INTEGER
);
CREATE TABLE step (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    name TEXT NOT NULL, tenant TEXT NOT NULL, change TEXT NOT NULL, began TEXT NOT NULL,
    ended TEXT, outcome TEXT, reason TEXT, seconds REAL
);
"""


class SqliteJournal:
    """A journal in one SQLite file: write-ahead log, every commit synced to disk (0.3 ms here)."""

    def __init__(
        self,
        path: Path,
        *,
        on_note: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open or make the journal; a damaged one is set aside, with a line to `on_note`.

        Raises:
            StateError: It cannot be written, or a newer version of the toolkit wrote it.
        """
        self._path = path
        self._now = now
        self._mutex = threading.Lock()
        self._run = 0
        self._tenants: frozenset[str] = frozenset()
        self._entries: dict[Node, int] = {}
        with _alone(path.parent):
            try:
                self._database = _open(path)
            except sqlite3.Error as error:
                if not _means_damage(error, path):
                    raise self._error(error) from error
                aside = _set_aside(path, self._now())
                on_note(
                    f"The journal {path} is damaged ({error}): set aside as {aside.name}, a new one is begun."
                )
                try:
                    self._database = _open(path)
                except sqlite3.Error as again:
                    raise self._error(again) from again

    def begin_run(self, task: str, tenants: Sequence[str]) -> str:
        self._tenants = frozenset(tenants)
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
        """Unfinished steps of runs that are over; each is told once.

        This run holds the locks of its tenants, so a run that had one of them is over, whatever
        its process id means by now. Of other runs the process id decides.
        """
        with self._write() as database:
            rows = database.execute(
                "SELECT step.id, run.id, run.pid, run.tenants, step.name, step.tenant, step.change, step.began"
                " FROM step JOIN run ON run.id = step.run"
                " WHERE step.ended IS NULL AND run.ended IS NULL AND run.id != ?",
                (self._run,),
            ).fetchall()
            over = [
                row
                for row in rows
                if self._tenants & set(str(row[3]).split(",")) or not file_lock.is_alive(row[2])
            ]
            database.executemany(
                "UPDATE step SET ended = ?, outcome = 'unknown' WHERE id = ?",
                [(self._stamp(), row[0]) for row in over],
            )
        return tuple(
            Unfinished(run, Node(str(name), str(tenant) or None), _summary(change), str(began))
            for _, run, _, _, name, tenant, change, began in over
        )

    def expected(self) -> Mapping[Node, float]:
        with self._write() as database:
            rows = database.execute(
                "SELECT name, tenant, seconds, max(id) FROM step"
                " WHERE outcome = 'changed' AND typeof(seconds) = 'real' GROUP BY name, tenant"
            ).fetchall()
        return {Node(str(name), str(tenant) or None): seconds for name, tenant, seconds, _ in rows}

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
            hint="Free some space or fix the permissions there, then run this again.",
        )

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def _open(path: Path) -> sqlite3.Connection:
    """Open and verify, so that whatever is wrong with the file is known before the run begins."""
    database = sqlite3.connect(path, check_same_thread=False, timeout=PATIENCE)
    try:
        database.text_factory = lambda text: text.decode(errors="replace")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        _bring_up_to_date(database, path)
        _verify(database)
    except BaseException:
        database.close()
        raise
    return database


def _bring_up_to_date(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise errors.StateError(
            f"{path} was written by a newer version of this toolkit "
            f"(format {version}; this one knows {VERSION}).",
            hint="Update the checkout, or remove the file: only history is lost.",
        )
    if version < VERSION:
        database.executescript(f"BEGIN;{_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")


def _verify(database: sqlite3.Connection) -> None:
    with database:  # `BEGIN IMMEDIATE` would not notice a file that says it is read-only.
        database.execute("DELETE FROM run WHERE id IS NULL")
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    database.execute("SELECT id, task, tenants, began, pid, ended, exit_code FROM run LIMIT 1").fetchall()
    database.execute(
        "SELECT id, run, name, tenant, change, began, ended, outcome, reason, seconds FROM step LIMIT 1"
    ).fetchall()


def _means_damage(error: sqlite3.Error, path: Path) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code & 0xFF == sqlite3.SQLITE_READONLY:  # Also what a wrong format number in the header comes to.
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return code == sqlite3.SQLITE_IOERR_SHORT_READ or code & 0xFF not in _WORLD_SAYS_NO


def _set_aside(path: Path, now: datetime) -> Path:
    """Rename a damaged journal; its log first, which would otherwise be replayed into the new one."""
    aside = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%S}")
    with errors.state_errors(path):
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    return aside


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One process at a time makes, verifies or replaces the journal of a directory."""
    deadline = time.monotonic() + PATIENCE
    with errors.state_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise errors.StateError(
                        f"Another process has been opening the journal in {directory} for {PATIENCE:g} s.",
                        hint="Stop it if it hangs, then run this again.",
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _summary(change: object) -> str:
    try:
        return str(json.loads(str(change))["summary"])
    except (ValueError, LookupError, TypeError):
        return "do what can no longer be read"
