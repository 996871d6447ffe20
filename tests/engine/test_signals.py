"""Signals to a real run: the documented exit code, children reaped, locks gone, safe to rerun."""

import os
import signal
import threading
import time

import pytest

from airflow_platform.engine import file_lock, signals
from airflow_platform.programs import programs


def eventually(condition, what, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def working(start_run, memory_path):
    """A run whose step works for long in a program that has a child; yields it and both process ids."""

    def starting(trap="", grace=10):
        pids = memory_path / "pids"
        inner = f"echo $$ >> {pids}.new; mv {pids}.new {pids}; exec sleep 30"
        program = f"{trap} echo $$ > {pids}.new; sh -c '{inner}' | cat"
        step = {"name": "home", "scope": "tenant", "program": ["sh", "-c", program], "grace": grace}
        after = {"name": "after", "scope": "tenant", "requires": ["home"]}
        run = start_run(memory_path, steps=[step, after])
        eventually(pids.exists, "the program's start")
        return run, [int(each) for each in pids.read_text().split()]

    return starting


@pytest.mark.parametrize(("number", "code"), [("SIGHUP", 129), ("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_the_run_and_all_that_it_started(working, run_forked, memory_path, number, code):
    run, pids = working()
    run.send_signal(signal.Signals[number])
    answer, _ = run.communicate(timeout=15)
    assert run.returncode == code
    assert '"a/home": "failed", "a/after": "blocked"' in answer
    eventually(lambda: not any(map(file_lock.is_alive, pids)), "the programs' end")
    assert list((memory_path / "state" / "locks").iterdir()) == []
    steps = [{"name": "home", "scope": "tenant"}]
    assert run_forked(memory_path, steps=steps)["notes"] == []
    assert set(run_forked(memory_path, steps=steps)["outcomes"].values()) == {"unchanged"}


def test_a_second_signal_shortens_the_wait(working):
    run, pids = working(trap='trap "" INT TERM;', grace=60)
    run.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert run.poll() is None
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=15)  # They would have had 60 s.
    assert run.returncode == 130  # The first one decides.
    eventually(lambda: not any(map(file_lock.is_alive, pids)), "the programs' end")


def test_an_ignored_signal_stays_ignored(working):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run, _ = working()
    finally:
        signal.signal(signal.SIGHUP, before)
    run.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert run.poll() is None
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=15)
    assert run.returncode == 143


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in signals.HANDLED]
    interruption = programs.Interruption()
    with signals.handled(interruption):
        os.kill(os.getpid(), signal.SIGTERM)
    assert (interruption.signal_number, interruption.count) == (signal.SIGTERM, 1)
    assert [signal.getsignal(number) for number in signals.HANDLED] == before


def test_a_run_in_another_thread_leaves_signals_alone(run_forked, memory_path):
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def inside():
        with signals.handled(programs.Interruption()):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
