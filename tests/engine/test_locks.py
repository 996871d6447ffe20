"""Local locks: who holds them, who takes them over, and who is told."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.engine import file_lock
from airflow_platform.programs import programs

SLEEPING = [{"name": "home", "scope": "tenant", "program": ["sleep", "30"]}]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "locks" / "tenant-a.lock"


@pytest.fixture
def notes():
    return []


@pytest.fixture
def lock(path, notes):
    return file_lock.FileLock(path, "tenant a", programs=programs.Programs(), on_note=notes.append)


def another(path):
    return file_lock.FileLock(path, "tenant a", programs=programs.Programs(), on_note=print)


def eventually(condition, what, seconds=15):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return found


def children_of(pid):
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in read_text(each).split()]


def read_text(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def runs_sleep(pid):
    return read_text(f"/proc/{pid}/comm").strip() == "sleep"


def sleeping_child(run):
    (child,) = eventually(
        lambda: [child for child in children_of(run.pid) if runs_sleep(child)], "a sleeping child"
    )
    return child


def test_the_file_says_who_holds_it_and_goes_on_release(lock, path):
    with lock.held():
        holder = file_lock.read_holder(path)
        assert (holder.pid, holder.host, holder.alive) == (os.getpid(), socket.gethostname(), True)
        with pytest.raises(errors.BusyError) as caught, another(path).held():
            pass
        assert str(caught.value).startswith(f"The lock of tenant a is held by process {os.getpid()} on ")
    assert not path.exists()


def test_threads_share_a_lock_and_programs_inherit_it_until_the_last_lets_go(lock, path):
    started = lock._programs
    with lock.held():
        with lock.held():
            assert len(started._held) == 1
        assert len(started._held) == 1
        with pytest.raises(errors.BusyError), another(path).held():
            pass
    assert started._held == set()
    with another(path).held():
        pass


def test_a_run_that_lost_its_lock_leaves_the_new_holders_file_alone(lock, path):
    with contextlib.ExitStack() as first:
        first.enter_context(lock.held())
        path.unlink()
        with another(path).held() as second:
            first.close()
            second.confirm()
            with pytest.raises(errors.BusyError), another(path).held():
                pass
    assert not path.exists()


def test_a_lock_is_asked_for_without_a_right_to_write_and_held_when_that_cannot_be_told(
    lock, path, monkeypatch
):
    assert not file_lock.is_held(path)
    asked, opened = [], os.open
    monkeypatch.setattr(
        os, "open", lambda file, flags, *mode: asked.append(flags) or opened(file, flags, *mode)
    )
    with lock.held():
        asked.clear()
        assert file_lock.is_held(path)
    assert not asked[0] & (os.O_RDWR | os.O_WRONLY)
    path.mkdir()
    assert not file_lock.is_held(path)

    def refuse(file, flags, *mode):
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert file_lock.is_held(path)


def test_a_lock_that_was_left_behind_is_taken_over_with_a_line(lock, path, notes):
    ended = subprocess.Popen(["true"])
    ended.wait()
    path.parent.mkdir()
    left = {"pid": ended.pid, "host": socket.gethostname(), "since": "yesterday", "command": "inv up"}
    path.write_text(json.dumps(left))
    with lock.held():
        pass
    (note,) = notes
    assert note.startswith(f"Took over the lock of tenant a: process {ended.pid} on ")
    assert "since yesterday, running `inv up`" in note


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"pid": 1}',
        '{"pid": "x", "host": 1, "since": 1, "command": 1}',
        "\x00\xff",
        "1" * 5000,
    ],
)
def test_a_damaged_note_is_no_obstacle(lock, path, notes, content):
    path.parent.mkdir()
    path.write_text(content, encoding="latin-1")
    with lock.held():
        assert file_lock.read_holder(path).pid == os.getpid()
    assert notes == []


@pytest.mark.parametrize("pid", [0, -1, 2**40, 999_999_999, True, "1", None, 1.5])
def test_what_is_no_process_does_not_live(pid):
    assert file_lock.is_alive(pid) is (pid is True)  # JSON's true is Python's 1, and 1 lives.


def test_a_process_that_ended_and_was_not_reaped_does_not_live():
    child = subprocess.Popen(["true"])
    eventually(lambda: read_text(f"/proc/{child.pid}/stat").split(") ")[1].startswith("Z"), "a zombie")
    assert not file_lock.is_alive(child.pid)
    child.wait()


def test_a_holder_of_another_machine_is_taken_to_live():
    assert file_lock.Holder(999_999_999, "elsewhere", "", "").alive


def test_the_job_of_a_runner_is_named(monkeypatch, lock, path):
    monkeypatch.setenv("CI_JOB_URL", "https://ci.invalid/42")
    with (
        lock.held(),
        pytest.raises(errors.BusyError, match=r"\(https://ci.invalid/42\)"),
        another(path).held(),
    ):
        pass


def test_waiting_ends_when_the_holder_lets_go(lock, path):
    def hold(taken):
        with another(path).held():
            taken.set()
            time.sleep(0.2)

    taken = threading.Event()
    holder = threading.Thread(target=hold, args=(taken,))
    holder.start()
    assert taken.wait(5)
    with lock.held(timeout=5):
        pass
    holder.join()


def test_waiting_ends_with_a_signal(lock, path):
    lock._programs.interruption.request(signal.SIGINT)
    with another(path).held(), pytest.raises(errors.Interrupted), lock.held(timeout=5):
        pass


def test_a_lock_that_cannot_be_written_is_a_state_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.StateError), another(tmp_path / "file" / "x.lock").held():
        pass


# Between processes


def test_a_second_run_exits_busy_naming_the_first(start_run, run_forked, memory_path):
    first = start_run(memory_path, steps=SLEEPING)
    sleeping_child(first)
    second = run_forked(memory_path, steps=SLEEPING)
    assert first.poll() is None, "nobody waited for it"
    assert second["exit_code"] == 5
    assert f"held by process {first.pid} on {socket.gethostname()}, since 20" in second["error"]
    assert "running `files_run.py " in second["error"]
    assert run_forked(memory_path, steps=[{"name": "x"}], tenants=["b"])["exit_code"] == 0
    first.send_signal(signal.SIGTERM)
    assert first.wait(15) == 143


def test_the_environments_lock_is_waited_for_and_then_busy(start_run, run_forked, memory_path):
    steps = [{"name": "packages", "program": ["sleep", "30"]}]
    first = start_run(memory_path, steps=steps)
    sleeping_child(first)
    second = run_forked(memory_path, steps=steps, tenants=["b"], lock_timeout=0.2)
    assert (second["exit_code"], second["outcomes"]) == (5, {"packages": "failed"})
    first.send_signal(signal.SIGTERM)
    assert first.wait(15) == 143


def test_a_child_of_a_killed_run_is_told_to_end(start_run, run_forked, memory_path):
    first = start_run(memory_path, steps=SLEEPING)
    child = sleeping_child(first)
    first.kill()
    first.wait()
    eventually(lambda: not file_lock.is_alive(child), "the child's end")
    second = run_forked(memory_path, steps=[{"name": "home", "scope": "tenant"}])
    assert second["exit_code"] == 0
    assert any(
        f"Took over the lock of tenant a of test: process {first.pid}" in each for each in second["notes"]
    )


def test_the_lock_stays_busy_while_a_child_of_a_killed_run_works(
    start_run, run_forked, memory_path, monkeypatch
):
    told, ready, proceed = (memory_path / name for name in ("told", "ready", "proceed"))
    wait = f"while [ ! -e {proceed} ]; do sleep 0.02; done"
    program = f"trap 'touch {told}' TERM; touch {ready}; {wait}"
    steps = [{"name": "home", "scope": "tenant", "program": ["sh", "-c", program]}]
    first = start_run(memory_path, steps=steps)
    eventually(ready.exists, "the child's start")
    first.kill()
    first.wait()
    eventually(told.exists, "SIGTERM in the child")
    monkeypatch.setattr(file_lock, "ORPHAN_PATIENCE", 0.3)
    notes = []
    lock = file_lock.FileLock(
        memory_path / "state" / "locks" / "tenant-a.lock",
        "tenant a",
        programs=programs.Programs(),
        on_note=notes.append,
    )
    with pytest.raises(errors.BusyError) as caught, lock.held():
        pass
    assert "that process is dead, but a program that it started still works" in str(caught.value)
    assert notes == ["The run that held the lock of tenant a is dead; waiting for its programs."]
    proceed.touch()
    second = run_forked(memory_path, steps=[{"name": "home", "scope": "tenant"}])
    assert second["exit_code"] == 0
