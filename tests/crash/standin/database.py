"""The stand-in's metadata database: the tables that the toolkit reads, and what its programs tell each other."""

import contextlib
import datetime
import os
import sqlite3
from pathlib import Path

REVISIONS = Path(__file__).with_name("revisions")
"""A revision a line, oldest first; the last one is where `db migrate` ends."""

TABLES = """
CREATE TABLE alembic_version (version_num TEXT NOT NULL);
CREATE TABLE job (
    id INTEGER PRIMARY KEY, job_type TEXT NOT NULL, state TEXT NOT NULL,
    start_date TEXT NOT NULL, latest_heartbeat TEXT NOT NULL
);
CREATE TABLE dag_bundle (name TEXT PRIMARY KEY, version TEXT, active INTEGER NOT NULL, last_refreshed TEXT);
CREATE TABLE dag (
    dag_id TEXT PRIMARY KEY, is_paused INTEGER NOT NULL, is_stale INTEGER NOT NULL, bundle_name TEXT,
    bundle_version TEXT, has_import_errors INTEGER NOT NULL, last_parsed_time TEXT
);
CREATE TABLE import_error (
    filename TEXT PRIMARY KEY, bundle_name TEXT, stack_trace TEXT NOT NULL, timestamp TEXT NOT NULL
);
CREATE TABLE dag_run (
    id INTEGER PRIMARY KEY, dag_id TEXT NOT NULL, dag_run_id TEXT NOT NULL, state TEXT NOT NULL,
    conf TEXT NOT NULL, bundle_version TEXT, start_date TEXT, end_date TEXT, UNIQUE (dag_id, dag_run_id)
);
CREATE TABLE connection (
    connection_id TEXT PRIMARY KEY, conn_type TEXT, host TEXT, port INTEGER, login TEXT, schema TEXT,
    password TEXT, extra TEXT, description TEXT, fernet TEXT
);
CREATE TABLE variable (key TEXT PRIMARY KEY, value TEXT, description TEXT);
CREATE TABLE pool (name TEXT PRIMARY KEY, slots INTEGER, description TEXT, include_deferred INTEGER);
CREATE TABLE refusal (id INTEGER PRIMARY KEY, call TEXT NOT NULL);
"""


def migrate():
    """Bring the database to the last revision: made if there is none, all in one transaction."""
    revisions = REVISIONS.read_text().split()
    with connected() as database:
        database.execute("PRAGMA journal_mode = WAL")
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if "alembic_version" in names:
            (now,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            if now not in revisions:
                raise SystemExit(f"the database is at the unknown revision {now}")
            database.execute("UPDATE alembic_version SET version_num = ?", (revisions[-1],))
            database.commit()
        else:
            database.executescript(
                f"BEGIN; {TABLES} INSERT INTO alembic_version VALUES ('{revisions[-1]}');"
                " INSERT INTO pool VALUES ('default_pool', 128, 'Default pool', 0); COMMIT;"
            )


@contextlib.contextmanager
def connected():
    """A connection to the database that AIRFLOW__DATABASE__SQL_ALCHEMY_CONN names; rows are mappings."""
    address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    kind, _, path = address.partition("///")
    if kind != "sqlite:":
        raise SystemExit(f"this stand-in knows SQLite only, not {address}")
    database = sqlite3.connect(path, timeout=20, isolation_level="IMMEDIATE")
    try:
        database.execute("PRAGMA synchronous = OFF")
        yield database
    finally:
        database.close()


def rows(database, query, values=()):
    """The answers as dictionaries."""
    cursor = database.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def now():
    """As Airflow writes times."""
    return datetime.datetime.now(datetime.UTC).isoformat()
