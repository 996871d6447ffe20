import concurrent.futures
import fcntl
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.runtimes.process import supervisor_client
from airflow_platform.runtimes.process.supervisor import lock
from airflow_platform.runtimes.process.supervisor.spec import (
    OWNER_VARIABLE,
    Component,
    Spec,
    Status,
    write_atomically,
)
from airflow_platform.tools import processes

PYTHON = Path(sys.executable)
OWNER = f"test-{uuid.uuid4().hex}"


@pytest.fixture
def directory(tmp_path):
    component = Component(name="a", argv=("/bin/sleep", "600"), directory="/", log=str(tmp_path / "a.log"))
    supervisor_client.write_spec(tmp_path, Spec(owner=OWNER, components=(component,)))
    yield tmp_path
    supervisor_client.stop(tmp_path, 10)


@pytest.fixture
def held(tmp_path):
    """The lock of a directory, held by this test and not signed."""
    descriptor = lock.take(tmp_path)
    assert descriptor is not None
    yield descriptor
    os.close(descriptor)


def test_nothing_runs_in_a_new_directory(tmp_path):
    assert supervisor_client.status(tmp_path) is None
    assert not supervisor_client.is_held(tmp_path)
    assert supervisor_client.read_spec(tmp_path) is None
    supervisor_client.stop(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_status_without_a_holder_of_the_lock_means_nothing(directory):
    status = supervisor_client.start(directory, python=PYTHON, timeout=10)
    text = (directory / "status.json").read_text()
    supervisor_client.stop(directory, 10)

    (directory / "status.json").write_text(text)

    assert Status.from_text(text) == status
    assert supervisor_client.status(directory) is None
    assert not supervisor_client.is_held(directory)


@pytest.mark.parametrize("text", ["", "x", "1", "{} 1\n", "{} x"])
def test_an_old_signature_is_not_believed_and_its_process_gets_no_signal(tmp_path, held, text):
    with subprocess.Popen(["/bin/sleep", "600"]) as bystander:
        os.pwrite(held, text.format(bystander.pid).encode(), 0)
        write_atomically(
            tmp_path / "status.json",
            Status(
                pid=bystander.pid, state="running", started_at=1, spec_digest="0", components=()
            ).to_text(),
        )

        assert supervisor_client.is_held(tmp_path)
        assert supervisor_client.status(tmp_path) is None
        with pytest.raises(errors.ProgramError, match=r"did not stop within 0\.1 s"):
            supervisor_client.stop(tmp_path, 0.1)
        assert bystander.poll() is None
        bystander.kill()


def test_a_running_supervisor_is_adopted(directory):
    first = supervisor_client.start(directory, python=PYTHON, timeout=10)

    assert supervisor_client.start(directory, python=Path("/no/such/python"), timeout=10) == first


def test_two_starts_at_once_make_one_supervisor(directory):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        starts = [
            pool.submit(supervisor_client.start, directory, python=PYTHON, timeout=10) for _ in range(4)
        ]

    assert len({start.result().pid for start in starts}) == 1
    assert len(processes.marked(OWNER_VARIABLE, OWNER)) == 3


def test_a_supervisor_that_does_not_start_shows_its_last_lines(directory):
    (directory / "supervisor.json").write_text("{")

    with pytest.raises(errors.ProgramError) as caught:
        supervisor_client.start(directory, python=PYTHON, timeout=10)

    assert caught.value.code == 78
    assert "not JSON" in caught.value.message
    assert str(directory / "supervisor.log") in caught.value.hint


def test_a_python_that_is_missing_is_said(directory):
    with pytest.raises(errors.StateError, match="cannot be started"):
        supervisor_client.start(directory, python=Path("/no/such/python"), timeout=10)


def test_a_spec_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(errors.StateError, match=r"supervisor\.json cannot be written") as caught:
        supervisor_client.write_spec(tmp_path / "missing", Spec(owner=OWNER, components=()))

    assert caught.value.hint


def test_the_wait_is_the_callers(tmp_path, held):
    class Stopped(Exception):
        pass

    def interrupted(seconds):
        raise Stopped

    with pytest.raises(Stopped):
        supervisor_client.stop(tmp_path, 10, sleep=interrupted)


def test_start_waits_for_a_lock_that_is_being_given_up(directory):
    descriptor = lock.take(directory)
    assert descriptor is not None
    begin = time.monotonic()

    def release_soon(seconds):
        time.sleep(seconds)
        if time.monotonic() > begin + 0.2:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    assert (
        supervisor_client.start(directory, python=PYTHON, timeout=10, sleep=release_soon).state == "running"
    )
    os.close(descriptor)


def children():
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {pid for path in tasks for pid in path.read_text().split()}


def test_no_zombie_is_left_to_the_command(directory):
    before = children()
    supervisor_client.start(directory, python=PYTHON, timeout=10)
    assert children() > before

    supervisor_client.stop(directory, 10)

    assert children() == before


def test_a_large_log_is_moved_aside(directory):
    (directory / "supervisor.log").write_bytes(b"x" * 10_000_001)

    supervisor_client.start(directory, python=PYTHON, timeout=10)

    assert (directory / "supervisor.log").stat().st_size < 1000
    assert (directory / "supervisor.log.1").stat().st_size == 10_000_001
