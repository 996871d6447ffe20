"""Airflow's metadata database in SQLite: its revision, copies of it, and which revisions there are."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import stat
from pathlib import Path
from typing import Literal

from airflow_platform import errors
from airflow_platform.tools import files

TIMEOUT = 10.0
"""Seconds to wait for whoever writes."""

_REVISION = re.compile(r"""^revision(?::\s*str)?\s*=\s*["']([0-9a-f]+)["']""", re.MULTILINE)


class Busy(errors.StepError):
    """Somebody else has held the database for longer than `TIMEOUT` seconds."""


def revision(database: Path) -> str:
    """The revision of Alembic at which a database is; "" when there is none, or no database.

    Raises:
        StateError: The file is no SQLite database, or is damaged.
        Busy: It cannot be read now.
    """
    if not database.exists() or database.stat().st_size == 0:
        return ""
    try:
        with contextlib.closing(_open(database)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return ""
        raise _unreadable(database, error) from error
    except sqlite3.DatabaseError as error:
        raise _unreadable(database, error) from error
    return str(row[0]) if row else ""


def bundle_version(database: Path, bundle: str) -> str:
    """The version of a DAG bundle that the dag-processor serves now; "" when it has none yet.

    Airflow has no public endpoint for it; the table is what its own components go by.
    """
    return _of_bundle(database, bundle, "version")


def bundle_refreshed(database: Path, bundle: str) -> str:
    """When the dag-processor looked for another version of a DAG bundle the last time; "" when it never did."""
    return _of_bundle(database, bundle, "last_refreshed")


def _of_bundle(database: Path, bundle: str, column: Literal["version", "last_refreshed"]) -> str:
    statement = f"SELECT {column} FROM dag_bundle WHERE name = ? AND active"  # noqa: S608 - one of the two.
    try:
        with contextlib.closing(_open(database)) as connection:
            row = connection.execute(statement, (bundle,)).fetchone()
    except sqlite3.DatabaseError as error:
        raise _unreadable(database, error) from error
    return str(row[0] or "") if row else ""


def known_revisions(environment: Path) -> tuple[str, ...]:
    """All revisions that the Airflow of a virtual environment knows."""
    found = environment.glob("lib/python3.*/site-packages/airflow/migrations/versions/*.py")
    return tuple(sorted({match for path in found for match in _REVISION.findall(path.read_text())}))


def copy(source: Path, target: Path, *, owner: int | None = None, drafts: Path | None = None) -> None:
    """A consistent copy, even of a database in use: whole or not at all, mode 0600.

    Args:
        source: The database.
        target: Its copy.
        owner: The copy's user and group id; by default ours.
        drafts: Where the copy is made: SQLite opens it by name, so nobody else may write there.

    Raises:
        StateError: It cannot be read or written; the target is as it was.
    """
    try:
        with (
            files.replacing(target, owner=owner, drafts=drafts) as (_, draft),
            contextlib.closing(_open(source)) as origin,
            contextlib.closing(sqlite3.connect(draft)) as copied,
        ):
            # Nobody sees the draft before it is whole: a rollback journal would only be left behind.
            copied.execute("PRAGMA journal_mode = OFF")
            origin.backup(copied)
    except sqlite3.Error as error:
        raise errors.StateError(
            f"{target} cannot be written: {error}.", hint="Free some space there."
        ) from error


def _open(database: Path) -> sqlite3.Connection:
    # A tenant's code can put a pipe or a link in its place, and opening those waits or leads elsewhere.
    if not stat.S_ISREG(database.lstat().st_mode):
        raise sqlite3.DatabaseError("it is no regular file")
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=TIMEOUT)


def _unreadable(database: Path, error: sqlite3.DatabaseError) -> errors.PlatformError:
    # An error of ours about the file has no code.
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"The metadata database {database} is busy: {error}.", hint="Run this again.")
    return errors.StateError(
        f"The metadata database {database} cannot be read: {error}.",
        hint="Put a backup in its place, or run tenant-down with --delete-data to start again.",
    )
