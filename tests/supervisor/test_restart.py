import itertools
import os
import signal

from airflow_platform.runtimes.process.supervisor import child, linux

SCHEDULER = """
idle = "time.sleep(600)"
stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); tell('stubborn-%s' % os.getppid()); time.sleep(600)"
busy = '''
leader = os.getppid()
tell(f"busy-{leader}", os.getpid())
wait_for(f"finish-{leader}")
tell(f"finished-{leader}")
os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(600)", "worker: idle"])
'''
spawn(idle, "worker: idle")
spawn(stubborn, "worker: idle")
spawn(busy, "worker: busy")
wait_for(f"busy-{os.getpid()}")
wait_for(f"stubborn-{os.getpid()}")
tell(f"ready-{os.getpid()}")
time.sleep(600)
"""


def test_the_delay_grows_to_a_minute_and_a_long_run_resets_it():
    delays = list(itertools.accumulate(range(8), lambda delay, _: child.next_delay(delay, 0.1), initial=0.5))

    assert delays[1:] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert child.next_delay(60, 59.9) == 60
    assert child.next_delay(60, 60) == 1


def test_what_ends_is_started_again_with_a_growing_delay(run):
    code = "print(time.monotonic(), flush=True); sys.exit(7)"
    run.start(run.component("a", code), run.component("b"))

    run.wait_until(lambda: run.of("a").restarts >= 2, "it was restarted twice")
    run.wait_until(lambda: run.of("a").state == "waiting", "it waits again")

    first, second, third, *_ = map(float, (run.directory / "a.log").read_text().split())
    assert second - first >= 1
    assert third - second >= 2
    assert run.of("a").last_exit == "exited 7"
    assert run.of("b").restarts == 0


def test_what_cannot_be_started_says_why_and_is_tried_again(run):
    run.start(
        run.component("program", argv=("/no/such/program",)),
        run.component("directory", directory="/no/such/directory"),
        run.component("log", log="/no/such/directory/log"),
        run.component("secret", secret_environment={"KEY": str(run.directory / "key")}),
    )

    for name in ("program", "directory", "log", "secret"):
        assert run.of(name).state == "waiting"
        assert run.of(name).last_exit.startswith("not started: ")
        assert "No such file" in run.of(name).last_exit
    (run.directory / "key").write_text("value")
    run.wait_until(lambda: run.of("secret").state == "running", "the secret was found")


def test_orphans_end_when_they_are_idle_and_busy_ones_finish(run):
    status = run.start(run.component("scheduler", SCHEDULER, idle_title="worker: idle$"))
    old = status.components[0].pid
    run.told("scheduler", f"ready-{old}")
    busy = int(run.told("scheduler", f"busy-{old}"))

    os.kill(old, signal.SIGKILL)

    def members(session):
        return [one for one in linux.descendants(status.pid) if one.session == session]

    run.wait_until(lambda: run.of("scheduler").pid not in (0, old), "it was started again")
    new = run.of("scheduler").pid
    assert (run.of("scheduler").restarts, run.of("scheduler").last_exit) == (1, "signal 9")
    run.told("scheduler", f"ready-{new}")
    run.wait_until(lambda: [one.pid for one in members(old)] == [busy], "the idle orphans have ended")
    assert len(members(new)) == 4

    (run.directory / "scheduler" / f"finish-{old}").touch()

    run.wait_until(lambda: not members(old), "the busy orphan has finished, become idle and ended")
    assert (run.directory / "scheduler" / f"finished-{old}").exists()
    assert len(members(new)) == 4
    (run.directory / "scheduler" / f"finish-{new}").touch()


def test_busy_orphans_of_earlier_starts_end_with_their_component(run):
    component = run.component("scheduler", SCHEDULER, idle_title="worker: idle$", stop_timeout=0.5)
    old = run.start(component, run.component("other")).components[0].pid
    run.told("scheduler", f"ready-{old}")
    busy = int(run.told("scheduler", f"busy-{old}"))
    os.kill(old, signal.SIGKILL)
    run.wait_until(lambda: run.of("scheduler").pid not in (0, old), "it was started again")
    assert linux.process(busy) is not None

    run.reload(run.component("other"))

    assert linux.process(busy) is None
    assert [one.name for one in run.last_status().components] == ["other"]
