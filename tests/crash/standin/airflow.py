"""A stand-in for the program `airflow`: the five commands that the toolkit starts, and nothing else.

It keeps what it does in the tenant's own SQLite file, as Airflow does, starts in 50 ms, and refuses
whatever it was not told about: a double that takes everything proves nothing.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import database

TICK = 0.1
"""Seconds between two looks of a loop."""

BEAT = 1.0
"""Seconds between two heartbeats."""

CONTROLS = Path(__file__).resolve().parents[5] / "controls"
"""Where a test says how slow something is: a file each, most with seconds.

migrate_for     how long `db migrate` takes
linger_for      how long it takes to end after a signal
answer_after    when the api-server begins to answer, after its start
serve_after     when the dag-processor looks at the repository for the first time, after its start
hold_dags       while it is there, the dag-processor does not look
hold_migration  while it is there, `db migrate` does not end
refuse_writes   whether the api-server refuses to write, with what was to be written in its answer
"""


def main(arguments):
    match arguments:
        case ["db", "migrate"]:
            mark = Path(os.environ["AIRFLOW_HOME"], "migrating")

            def leave(*_):
                mark.write_text("ending")
                time.sleep(seconds("linger_for"))
                sys.exit(1)

            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, leave)
            mark.write_text(str(os.getpid()))
            time.sleep(seconds("migrate_for"))
            while (CONTROLS / "hold_migration").exists():
                time.sleep(TICK)
            database.migrate()
            mark.unlink()
        case ["version"]:
            print("3.3.2")
        case ["api-server"]:
            import api

            time.sleep(seconds("answer_after"))
            api.CONTROLS = CONTROLS
            api.serve(int(os.environ["AIRFLOW__API__PORT"]))
        case ["scheduler", "--skip-serve-logs"]:
            loop("SchedulerJob", schedule)
        case ["dag-processor"]:
            loop("DagProcessorJob", Processor().look)
        case ["triggerer", "--skip-serve-logs"]:
            loop("TriggererJob", lambda connection: None)
        case _:
            sys.exit(f"this stand-in has no command {arguments}")


def seconds(control):
    path = CONTROLS / control
    return float(path.read_text()) if path.exists() else 0.0


def loop(job_type, work):
    """Register a job, then beat and work until somebody ends this process."""
    for name in ("FERNET_KEY", "EXECUTION_API_SERVER_URL"):
        if not os.environ.get(f"AIRFLOW__CORE__{name}"):
            sys.exit(f"AIRFLOW__CORE__{name} is not set")
    with database.connected() as connection:
        now = database.now()
        with connection:
            job = connection.execute(
                "INSERT INTO job (job_type, state, start_date, latest_heartbeat) VALUES (?, 'running', ?, ?)",
                (job_type, now, now),
            ).lastrowid
        beat = time.monotonic()
        while True:
            work(connection)
            time.sleep(TICK)
            if time.monotonic() > beat + BEAT:
                beat = time.monotonic()
                with connection:
                    connection.execute(
                        "UPDATE job SET latest_heartbeat = ? WHERE id = ?", (database.now(), job)
                    )


def schedule(connection):
    """Runs of DAGs that are not paused succeed."""
    waiting = database.rows(
        connection,
        "SELECT dag_run.id FROM dag_run JOIN dag USING (dag_id) WHERE state = 'queued' AND NOT is_paused",
    )
    for run in waiting:
        now = database.now()
        with connection:
            connection.execute(
                "UPDATE dag_run SET state = 'success', start_date = ?, end_date = ? WHERE id = ?",
                (now, now, run["id"]),
            )


class Processor:
    """Reads the branch that the bundle tracks, and lists its DAGs: one a file, named like the file."""

    def __init__(self):
        (bundle,) = json.loads(os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
        known = {"repo_url", "tracking_ref", "subdir", "git_conn_id", "refresh_interval"}
        if bundle["classpath"] != "airflow.providers.git.bundles.git.GitDagBundle":
            sys.exit(f"this stand-in has no bundle {bundle['classpath']}")
        if bundle["kwargs"].keys() != known:
            sys.exit(f"GitDagBundle takes other arguments than {sorted(bundle['kwargs'])}")
        connection = json.loads(os.environ[f"AIRFLOW_CONN_{bundle['kwargs']['git_conn_id'].upper()}"])
        if connection["host"] != bundle["kwargs"]["repo_url"]:
            sys.exit("the bundle's connection names another repository")
        self.name = bundle["name"]
        self.repository = bundle["kwargs"]["repo_url"]
        self.folder = bundle["kwargs"]["subdir"]
        self.branch = bundle["kwargs"]["tracking_ref"]
        self.served = None
        self.look_at = time.monotonic() + seconds("serve_after")

    def look(self, connection):
        if time.monotonic() < self.look_at or (CONTROLS / "hold_dags").exists():
            return
        ref = Path(self.repository, "refs/heads", self.branch)
        commit = ref.read_text().strip() if ref.exists() else ""
        if not commit or commit == self.served:
            return
        names = self._git("ls-tree", "-r", "--name-only", commit, "--", f"{self.folder}/")
        files = [name for name in names.splitlines() if name.endswith(".py")]
        contents = {name: self._git("show", f"{commit}:{name}") for name in files}
        with connection:
            self._store(connection, commit, contents)
        self.served = commit

    def _store(self, connection, commit, contents):
        connection.execute("DELETE FROM import_error")
        connection.execute("UPDATE dag SET is_stale = 1")
        for name, content in contents.items():
            broken = "cannot be imported" in content
            if broken:
                trace = "Traceback (most recent call last):\nImportError: cannot be imported"
                row = (name, self.name, trace, database.now())
                connection.execute("INSERT INTO import_error VALUES (?, ?, ?, ?)", row)
            connection.execute(
                "INSERT INTO dag VALUES (?, 1, 0, ?, ?, ?, ?) ON CONFLICT (dag_id) DO UPDATE SET"
                " is_stale = 0, bundle_version = excluded.bundle_version,"
                " has_import_errors = excluded.has_import_errors, last_parsed_time = excluded.last_parsed_time",
                (Path(name).stem, self.name, commit, broken, database.now()),
            )
        connection.execute(
            "INSERT INTO dag_bundle VALUES (?, ?, 1, NULL) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
            (self.name, commit),
        )

    def _git(self, *arguments):
        words = ["git", "-C", self.repository, *arguments]
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
