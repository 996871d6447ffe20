import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

from airflow_platform.runtimes.process import supervisor_client
from airflow_platform.runtimes.process.supervisor import linux, lock
from airflow_platform.runtimes.process.supervisor.spec import ALREADY_RUNNING, UNUSABLE

ROOT = Path(supervisor_client.__file__).parents[2]
TAKE_LOCK = """
import pathlib, sys
from airflow_platform.runtimes.process.supervisor import lock
print("go", flush=True)
print(lock.take(pathlib.Path(sys.argv[1])))
"""


def supervise(directory):
    """Run a supervisor in the foreground, as one that must not stay."""
    return subprocess.run(
        [sys.executable, "-m", "airflow_platform.runtimes.process.supervisor", directory],
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )


def test_start_and_stop(run):
    status = run.start(run.component("a"), run.component("b"))

    assert status.state == "running"
    assert status.spec_digest == run.spec(run.component("a"), run.component("b")).digest
    assert [(one.name, one.state, one.restarts) for one in status.components] == [
        ("a", "running", 0),
        ("b", "running", 0),
    ]
    run.told("a", "ready")
    run.stop()
    assert run.last_status().state == "stopped"
    assert [one.state for one in run.last_status().components] == ["stopped", "stopped"]
    assert run.alive() == ()
    assert not supervisor_client.is_held(run.directory)


def test_each_component_leads_a_session_and_reads_nothing(run):
    status = run.start(run.component("a", "tell('stdin', repr(sys.stdin.read())); " + "time.sleep(600)"))

    pid = status.components[0].pid
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert os.getsid(status.pid) != os.getsid(0)
    assert run.told("a", "stdin") == "''"


def test_both_outputs_go_to_the_log_and_a_large_log_is_moved_aside(run):
    (run.directory / "a.log").write_bytes(b"x" * 10_000_001)
    (run.directory / "a.log.1").write_text("older")

    run.start(
        run.component(
            "a", "print('out', flush=True); print('err', file=sys.stderr); tell('ready'); time.sleep(600)"
        )
    )

    run.told("a", "ready")
    assert (run.directory / "a.log").read_text() == "out\nerr\n"
    assert (run.directory / "a.log.1").stat().st_size == 10_000_001


def test_a_second_supervisor_is_refused_and_changes_nothing(run):
    status = run.start(run.component("a"))
    before = {path.name: path.read_bytes() for path in run.directory.iterdir() if path.is_file()}

    second = supervise(run.directory)

    assert second.returncode == ALREADY_RUNNING
    assert "has a supervisor already" in second.stderr
    assert {path.name: path.read_bytes() for path in run.directory.iterdir() if path.is_file()} == before
    assert supervisor_client.status(run.directory) == status


def test_looking_at_the_lock_does_not_keep_a_supervisor_from_taking_it(tmp_path):
    looking = os.open(tmp_path / lock.LOCK_FILE, os.O_RDONLY | os.O_CREAT, 0o600)
    fcntl.flock(looking, fcntl.LOCK_SH)
    taker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            TAKE_LOCK,
            tmp_path,
        ],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with taker:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "go\n"
        os.close(looking)
        assert taker.stdout.readline().strip().isdigit()


def test_without_a_readable_spec_nothing_is_started(run):
    (run.directory / "supervisor.json").write_text("{")

    refused = supervise(run.directory)

    assert refused.returncode == UNUSABLE
    assert "not JSON" in refused.stderr
    assert not (run.directory / "status.json").exists()


def test_without_a_place_for_the_status_nothing_is_started(run):
    supervisor_client.write_spec(run.directory, run.spec(run.component("a")))
    (run.directory / "status.json").mkdir()

    assert supervise(run.directory).returncode == UNUSABLE
    assert run.alive() == ()


def test_no_zombie_is_left(run):
    code = """
if os.fork() == 0:
    if os.fork() == 0:
        tell("orphan", os.getpid())
        wait_for("end")
        os._exit(0)
    os._exit(0)
os.wait()
tell("adopted")
time.sleep(600)
"""
    status = run.start(run.component("a", code))
    orphan = int(run.told("a", "orphan"))
    run.told("a", "adopted")
    assert (adopted := linux.process(orphan)) is not None
    assert adopted.parent == status.pid

    (run.directory / "a" / "end").touch()

    run.wait_until(lambda: linux.process(orphan) is None, "the orphan was reaped")


def test_a_signal_to_the_guardian_reaches_the_supervisor(run):
    run.start(run.component("a"))

    os.kill(run.guardian(), signal.SIGTERM)

    run.wait_until(lambda: not supervisor_client.is_held(run.directory), "the lock is free")
    assert run.last_status().state == "stopped"
    assert run.alive() == ()
