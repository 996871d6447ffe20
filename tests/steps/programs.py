"""Small programs that stand for `uv` and `airflow`, and refuse what they were not told about."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

_MIGRATE = """#!/bin/sh
# Replaces the database in AIRFLOW_HOME by one that was prepared, as a migration would.
[ "$*" = "db migrate" ] || { echo "airflow was not told about: $*" >&2; exit 64; }
here=$(dirname "$0")
[ -z "$AIRFLOW__CORE__FERNET_KEY" ] || exit 65
if [ -e "$here/failing" ]; then echo "the migration said no" >&2; exit 1; fi
cat "$here/migrated.db" >"$AIRFLOW_HOME/airflow.db"
"""

_UV = """#!/bin/sh
# Makes a virtual environment whose Python can do nothing, and "installs" what it says.
here=$(dirname "$0")
echo "$*" >>"$here/calls"
case "$*" in
"venv --quiet --python "*)
    for directory in "$@"; do :; done
    mkdir -p "$directory/bin" "$directory/lib/python3.11/site-packages"
    printf '#!/bin/sh\\n[ ! -e "%s/unimportable" ] || { echo "ImportError: celery" >&2; exit 1; }\\n' \
        "$here" >"$directory/bin/python"
    chmod 755 "$directory/bin/python" ;;
"pip sync --require-hashes --compile-bytecode --python "*)
    sleep 0.1
    if [ -e "$here/failing" ]; then echo "no such package: airflow" >&2; exit 2; fi
    echo "Installed 2 packages" >&2 ;;
*)
    echo "uv was not told about: $*" >&2; exit 64 ;;
esac
"""


def program(path: Path, text: str) -> Path:
    """An executable file, for all users."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def database(path: Path, revision: str) -> Path:
    """A SQLite database at a revision of Alembic, with one other row."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        if revision:
            connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        connection.execute("CREATE TABLE connection (conn_id TEXT)")
        connection.execute("INSERT INTO connection VALUES ('mine')")
    path.chmod(0o644)
    return path


def airflow(environment: Path, revision: str) -> Path:
    """An environment's `bin`, with an `airflow` that migrates to this revision."""
    made = program(environment / "bin/airflow", _MIGRATE).parent
    database(made / "migrated.db", revision)
    return made


def uv(directory: Path) -> Path:
    """A `uv` whose calls are in the file `calls` beside it, and that fails where `failing` is."""
    return program(directory / "uv", _UV)
