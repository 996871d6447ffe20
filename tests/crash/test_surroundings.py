"""A world that says no: ports, disks, journals, versions and clocks."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time

import pytest

from tests.crash import snapshots

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")


def state(box):
    """All that a refused run must leave as it is: everything but the run's own entry in the history."""
    return {
        name: found
        for name, found in snapshots.exact(box.place.directory).items()
        if not name.startswith(("journal.sqlite", "runs", "locks")) and not found[0] & 0o040000
    }


def test_a_port_taken_by_a_stranger_stops_the_run_before_it_begins(box, undisturbed):
    assert box.up().code == 0
    assert box.down().code == 0
    before = state(box)
    port = json.loads(box.tenant().ports.read_text())["airflow"]
    with socket.create_server(("127.0.0.1", port)):
        refused = box.up()
        assert refused.code == 4, refused
        (fault,) = refused.report["faults"]
        assert str(port) in fault["thing"]
        assert f"process {os.getpid()} " in fault["cause"]
        assert state(box) == before
    assert box.up().code == 0
    snapshots.check_same(box, undisturbed("up"), repetitions=True)


@pytest.fixture
def small_disk(box):
    """The state on a file system of a megabyte, and a function that leaves so many bytes free on it."""
    directory = box.home / "state"
    directory.mkdir(mode=0o755)
    words = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", str(directory)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    filler = directory / "filler"

    def leave(free):
        filler.unlink(missing_ok=True)
        if free is None:
            return
        room = os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize
        with contextlib.suppress(OSError):
            filler.write_bytes(b"x" * max(room - free, 0))

    yield leave
    for one in box.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, 9)
    deadline = time.monotonic() + 10
    while subprocess.run(["umount", str(directory)], capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, "the file system is still in use"
        time.sleep(0.05)


@as_root
@pytest.mark.parametrize("free", [0, 40_000, 90_000, 150_000, 260_000, 400_000, 480_000])
def test_a_full_disk_is_named_and_nothing_is_half_written(box, small_disk, undisturbed, free):
    small_disk(free)
    refused = box.up()
    assert refused.code in (1, 4), refused
    (told, *_) = refused.report["faults"]
    assert "No space left" in f"{told}" or "disk" in f"{told}", refused
    assert str(box.home / "state") in f"{told}", refused
    assert "Traceback" not in refused.stderr
    assert list(box.place.directory.rglob(".*.new")) == []
    small_disk(None)
    again = box.up()
    assert again.code == 0, again
    snapshots.check_same(box, undisturbed("up"), repetitions=True)
    assert set(box.up().steps().values()) == {"unchanged"}


@pytest.mark.parametrize("largest", [0, 10, 100, 1_000, 10_000, 60_000])
def test_a_file_that_may_not_grow_is_named_and_nothing_is_half_written(box, undisturbed, largest):
    refused = box.up(largest_file=largest)
    assert refused.code in (1, 4), refused.stderr
    assert "This is a defect" not in refused.stderr
    again = box.up()
    assert again.code == 0, again
    snapshots.check_same(box, undisturbed("up"))


def test_a_cut_journal_is_set_aside_with_a_line_and_the_run_goes_on(box, undisturbed):
    assert box.up().code == 0
    path = box.place.directory / "journal.sqlite"
    whole = path.read_bytes()
    for share in (0.0, 0.02, 0.3, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        again = box.up()
        assert again.code == 0, again
        assert set(again.steps().values()) == {"unchanged"}
        assert ("set aside as journal.sqlite.damaged-" in again.stderr) == (share > 0), again.stderr
    snapshots.check_same(box, undisturbed("up"))


@pytest.mark.parametrize("written", ["2\n", "99\n", "a draft of tomorrow\n"])
def test_state_of_a_newer_version_is_not_touched(box, written):
    assert box.up().code == 0
    assert box.down().code == 0
    (box.place.directory / "format").write_text(written)
    before = snapshots.exact(box.place.directory)
    for command in (box.up, box.down):
        refused = command()
        assert refused.code == 4, refused
        assert "newer version" in refused.stderr
    assert snapshots.exact(box.place.directory) == before


@pytest.mark.parametrize("since", ["start", "step"])
@pytest.mark.parametrize("shift", [3600.0, -3600.0])
def test_a_wrong_clock_is_no_reason_to_fail(box, undisturbed, shift, since):
    run = box.start(clock=(shift, since)).end()
    assert run.code == 0, run
    assert all(0 <= each["seconds"] < 60 for each in run.report["tenants"][0]["steps"])
    snapshots.check_same(box, undisturbed("up"))
    third = box.up()
    assert set(third.steps().values()) == {"unchanged"}, third


@pytest.mark.parametrize("shift", [3600.0, -3600.0])
def test_waits_keep_their_deadlines_when_the_clock_jumps(box, shift):
    box.control("answer_after", 60)
    box.declare("alpha", start_timeout=10)
    began = time.monotonic()
    run = box.start(clock=(shift, "step")).end(60)
    assert run.code == 1, run
    assert "Waited 10 s" in run.stderr
    assert time.monotonic() - began > 10
