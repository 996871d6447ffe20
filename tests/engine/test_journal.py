"""The journal in a file: durable, and never in the way when it is damaged or lost."""

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from airflow_platform import errors
from airflow_platform.engine.local_store import LocalStore
from airflow_platform.engine.report import Node, Outcome
from airflow_platform.engine.sqlite_journal import KEPT_RUNS, SqliteJournal
from airflow_platform.engine.step import Change
from airflow_platform.programs import programs
from airflow_platform.testing.reporters import RecordingReporter
from airflow_platform.testing.runs import outcomes, run_steps
from airflow_platform.testing.steps import Script, ScriptedStep, World


@pytest.fixture
def path(memory_path):
    return memory_path / "journal.sqlite"


def read(path, query):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def local(directory, notes=None, now=lambda: datetime.now(UTC)):
    noting = print if notes is None else notes.append
    return LocalStore(
        directory, "test", lock_timeout=0, programs=programs.Programs(), on_note=noting, now=now
    )


def write_history(path, runs=3, now=lambda: datetime.now(UTC)):
    for number in range(runs):
        with contextlib.closing(SqliteJournal(path, on_note=print, now=now)) as journal:
            journal.begin_run("up", ["a"])
            journal.begun(Node("home", "a"), Change("make a home", {"number": number}))
            if number < runs - 1:
                journal.ended(Node("home", "a"), Outcome.CHANGED, "made", 1.0)
                journal.end_run(0)


def test_begun_is_durable_before_and_ended_before_the_next(memory_path):
    seen = {}

    def look(name):
        def during(context):
            seen[name] = read(
                memory_path / "journal.sqlite",
                "SELECT name, tenant, outcome, ended IS NULL FROM step ORDER BY id",
            )

        return during

    world = World()
    run_steps(
        ScriptedStep("first", world, Script(during=look("first"))),
        ScriptedStep("second", world, {"a": Script(during=look("second"))}, requires=["first"]),
        store=local(memory_path),
    )
    assert seen["first"] == [("first", "", None, 1)]
    assert seen["second"] == [("first", "", "changed", 0), ("second", "a", None, 1)]
    assert read(memory_path / "journal.sqlite", "SELECT task, tenants, exit_code FROM run") == [
        ("test", "a", 0)
    ]
    assert read(memory_path / "journal.sqlite", "PRAGMA journal_mode") == [("wal",)]


def test_unchanged_steps_write_nothing(memory_path):
    world = World()
    for _ in range(2):
        run_steps(ScriptedStep("home", world), store=local(memory_path))
    assert read(memory_path / "journal.sqlite", "SELECT run, outcome FROM step") == [(1, "changed")]


def test_a_change_is_kept_as_it_was_planned(path):
    write_history(path, 1)
    ((text,),) = read(path, "SELECT change FROM step")
    assert json.loads(text) == {"summary": "make a home", "details": {"number": 0}, "artifacts": {}}


def test_a_run_tells_what_a_killed_one_left(path, memory_path):
    write_history(path, 1)
    reporter = RecordingReporter()
    run_steps(ScriptedStep("home", World()), store=local(memory_path), reporter=reporter)
    assert reporter.notes == [
        "Run 1 was ended in the middle of a/home (to make a home); what it left is observed and taken up."
    ]


def test_a_dead_run_of_other_tenants_is_told_too(path):
    write_history(path, 1)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE run SET tenants = 'z', pid = 999999999")
    with contextlib.closing(SqliteJournal(path, on_note=print)) as journal:
        journal.begin_run("up", ["a"])
        assert len(journal.unfinished()) == 1


def test_old_runs_go(path):
    write_history(path, 2)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE run SET id = id + ?", (KEPT_RUNS,))
        database.execute("UPDATE step SET run = ?", (KEPT_RUNS + 1,))
    write_history(path, 2)
    assert read(path, "SELECT min(id), max(id) FROM run") == [(KEPT_RUNS + 1, KEPT_RUNS + 4)]


# Damage


def works(path, notes):
    """Use all of a journal, as a run does; a StateError is the only error that it may raise."""
    try:
        with contextlib.closing(SqliteJournal(path, on_note=notes.append)) as journal:
            journal.begin_run("up", ["a"])
            for left in journal.unfinished():
                assert isinstance(left.summary, str)
                str(left.node)
            assert all(isinstance(seconds, float) for seconds in journal.expected().values())
            journal.begun(Node("home", "a"), Change("make a home"))
            journal.ended(Node("home", "a"), Outcome.CHANGED, "made", 1.0)
            journal.end_run(0)
    except errors.StateError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    path = tmp_path_factory.mktemp("intact") / "journal.sqlite"
    write_history(path, 12)
    return path.read_bytes()


def test_a_journal_cut_at_any_offset_is_no_obstacle(intact, path):
    aside = 0
    for cut in sorted({0, 1, 15, 16, 99, 100, 101, *range(0, len(intact), 509), len(intact) - 1}):
        path.write_bytes(intact[:cut])
        notes = []
        assert works(path, notes) == "", cut
        assert all("is damaged" in note and "set aside" in note for note in notes)
        aside += len(notes)
    assert aside > 10
    assert list(path.parent.glob("journal.sqlite.damaged-*"))


def test_a_journal_with_a_wrong_byte_anywhere_is_no_obstacle(intact, path):
    random_bytes = random.Random(7)
    for offset in [*range(0, 100, 3), *range(100, len(intact), 211)]:
        damaged = bytearray(intact)
        damaged[offset] ^= random_bytes.randrange(1, 256)
        path.write_bytes(damaged)
        answer = works(path, [])
        # The one that cannot be told from a newer version: its number lies in bytes 60 to 63.
        assert answer == "" or 60 <= offset < 64, (offset, answer)


def test_what_is_set_aside_is_kept_and_its_log_is_not_replayed(path):
    write_history(path)
    path.write_bytes(b"no database" * 100)
    path.with_name("journal.sqlite-wal").write_bytes(b"old log")
    notes = []
    assert works(path, notes) == ""
    (note,) = notes
    aside = path.with_name(note.partition("set aside as ")[2].partition(",")[0])
    assert aside.read_bytes() == b"no database" * 100
    assert read(path, "SELECT count(*) FROM run") == [(1,)]


def test_a_journal_of_a_newer_version_is_refused_and_left_alone(path, memory_path):
    write_history(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")
    step = ScriptedStep("home", World())
    with pytest.raises(errors.StateError, match="newer version") as caught:
        run_steps(step, store=local(memory_path))
    assert "only history is lost" in caught.value.hint
    assert step.calls == []
    assert not list(memory_path.glob("*damaged*"))


def test_a_journal_that_is_a_directory_is_a_state_error(path):
    path.mkdir()
    with pytest.raises(errors.StateError, match="cannot be written"):
        SqliteJournal(path, on_note=print)


def test_several_processes_may_make_the_journal_at_the_same_time(path):
    program = (
        "import contextlib, pathlib, sys\n"
        "from airflow_platform.engine.sqlite_journal import SqliteJournal\n"
        "sys.stdin.readline()\n"
        "with contextlib.closing(SqliteJournal(pathlib.Path(sys.argv[1]), on_note=print)) as journal:\n"
        "    print(journal.begin_run('up', [sys.argv[2]]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path), name],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abcd"
    ]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = sorted(child.communicate(timeout=15)[0].strip() for child in children)
    assert answers == ["1", "2", "3", "4"]


def test_threads_share_a_journal(path):
    with contextlib.closing(SqliteJournal(path, on_note=print)) as journal:
        journal.begin_run("up", ["a"])

        def work(number):
            for count in range(10):
                node = Node(f"step-{number}-{count}")
                journal.begun(node, Change("do"))
                journal.ended(node, Outcome.CHANGED, "", 0.1)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert read(path, "SELECT count(*) FROM step WHERE outcome = 'changed'") == [(40,)]


# What the journal does not decide


def test_deleting_the_journal_changes_nothing(memory_path):
    world = World()
    steps = [ScriptedStep("packages", world), ScriptedStep("home", world, {"a": Script()})]
    run_steps(*steps[:1], store=local(memory_path))
    for file in memory_path.glob("journal.sqlite*"):
        file.unlink()
    first = run_steps(*steps, store=local(memory_path))
    assert outcomes(first) == {"packages": "unchanged", "a/home": "changed"}
    assert set(outcomes(run_steps(*steps, store=local(memory_path))).values()) == {"unchanged"}


@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_wall_clock_that_jumps_changes_timestamps_only(memory_path, skew):
    def histories():
        columns = "run, name, tenant, change, outcome, reason, ended IS NULL"
        return read(memory_path / "journal.sqlite", f"SELECT {columns} FROM step")

    write_history(memory_path / "journal.sqlite", 3)
    before = histories()
    reporter = RecordingReporter()
    shifted = local(memory_path, now=lambda: datetime.now(UTC) + skew)
    world = World()
    report = run_steps(ScriptedStep("home", world, {"a": Script()}), store=shifted, reporter=reporter)
    assert (report.exit_code, len(reporter.notes), list(reporter.expected.values())) == (0, 1, [1.0])
    assert 0 <= report.tenants[0].steps[0].seconds < 5
    assert histories()[: len(before) - 1] == before[:-1]
    assert [row[4] for row in histories()] == ["changed", "changed", "unknown", "changed"]
    report = run_steps(ScriptedStep("home", world, {"a": Script()}), store=local(memory_path))
    assert outcomes(report) == {"a/home": "unchanged"}


# A full disk

FULL = """
import pathlib, resource, signal, sys
from airflow_platform import errors; from airflow_platform.programs import programs
from airflow_platform.engine.local_store import LocalStore
from airflow_platform.testing.runs import outcomes, run_steps
from airflow_platform.testing.steps import Script, ScriptedStep, World

directory, limit_in, size = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def fill(context=None):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

world = World()
steps = [
    ScriptedStep("one", world, Script(during=fill if limit_in == "one" else None)),
    ScriptedStep("two", world, requires=["one"]),
    ScriptedStep("three", world),
]
if limit_in == "start":
    fill()
store = LocalStore(directory, "test", lock_timeout=0, programs=programs.Programs(), on_note=print)
try:
    report = run_steps(*steps, store=store, workers=1)
    print(report.exit_code, dict(world), outcomes(report), [str(fault) for fault in report.faults])
except (errors.StateError, errors.PreflightError) as error:
    print("refused", dict(world), error)
"""


def run_full(directory, limit_in, size):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(directory), limit_in, str(size)],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
        text=True,
        timeout=15,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_disk_that_is_full_at_the_start_stops_the_run_before_it_begins(memory_path):
    for size in (1, 100, 4096, 12288):
        answer = run_full(memory_path / str(size), "start", size)
        assert answer.startswith("refused {} "), (size, answer)
        assert "Free some space" in answer


def test_a_disk_that_fills_up_stops_the_run_before_the_next_effect(memory_path):
    answer = run_full(memory_path, "one", 1)
    assert answer.startswith("1 {'one': True} {'one': 'failed', 'three': 'failed', 'two': 'blocked'}")
    assert "cannot be written" in answer
    (memory_path / "again").mkdir()
    world = World({"one": True})
    steps = [ScriptedStep("one", world), ScriptedStep("two", world, requires=["one"])]
    notes = RecordingReporter()
    report = run_steps(*steps, store=local(memory_path), reporter=notes)
    assert outcomes(report) == {"one": "unchanged", "two": "changed"}
    assert "in the middle of one" in notes.notes[0]
