import os
import signal
import time

from airflow_platform.runtimes.process import supervisor_client


def test_a_lost_sigterm_is_sent_again(run):
    code = """
count = 0
def note(*_):
    global count
    count += 1
    if count == 2:
        sys.exit(3)
signal.signal(signal.SIGTERM, note)
tell("ready")
while True:
    signal.pause()
"""
    run.start(run.component("a", code))
    run.told("a", "ready")

    run.stop()

    assert run.of("a").last_exit == "exited 3"


def test_what_ignores_sigterm_is_killed_after_its_time(run, stubborn):
    run.start(run.component("a", stubborn, stop_timeout=1.0))
    run.told("a", "ready")
    begin = time.monotonic()

    run.stop()

    assert time.monotonic() - begin >= 1.0
    assert run.of("a").last_exit == "signal 9"
    assert run.alive() == ()


def test_all_are_stopped_at_once(run):
    names = ("a", "b", "c")
    code = f"""
def leave(*_):
    tell("told")
    for name in {names}:
        wait_for("../" + name + "/told")
    sys.exit(3)
signal.signal(signal.SIGTERM, leave)
tell("ready")
while True:
    signal.pause()
"""
    run.start(*(run.component(name, code) for name in names))
    for name in names:
        run.told(name, "ready")

    run.stop()

    assert [run.of(name).last_exit for name in names] == ["exited 3"] * 3, "each lived until all were told"


def test_children_that_outlive_their_leader_are_killed_in_time(run, stubborn):
    code = f"spawn({stubborn!r}, cwd='.'); wait_for('ready'); tell('leader'); time.sleep(600)"
    run.start(run.component("a", code, stop_timeout=1.0))
    run.told("a", "leader")

    run.stop()

    assert run.of("a").last_exit == "signal 15"
    assert run.alive() == ()


def test_strays_in_a_session_of_their_own_are_ended_too(run):
    code = "spawn(\"tell('stray', os.getpid()); time.sleep(600)\", start_new_session=True); time.sleep(600)"
    run.start(run.component("a", code))
    run.told("a", "stray")

    run.stop()

    assert run.alive() == ()


def test_a_component_that_waits_to_be_restarted_stops_at_once(run):
    run.start(run.component("a", "sys.exit(1)", stop_timeout=60.0))
    run.try_again("a", 5)
    run.wait_until(lambda: run.of("a").state == "waiting", "it waits for 32 seconds, longer than `stop` does")

    run.stop()

    assert run.of("a").state == "stopped"


def test_it_says_that_it_is_stopping_before_it_tells_its_components(run):
    code = """
import json
def state():
    return json.loads(pathlib.Path("../status.json").read_text())["state"]
signal.signal(signal.SIGTERM, lambda *_: (tell("told", state()), sys.exit()))
tell("ready")
time.sleep(600)
"""
    run.start(run.component("a", code))
    run.told("a", "ready")

    run.stop()

    assert run.told("a", "told") == "stopping"


def test_a_supervisor_that_is_stopping_is_followed_by_another(run):
    code = """
signal.signal(signal.SIGTERM, lambda *_: (tell("told"), time.sleep(0.3), sys.exit()))
tell("ready")
time.sleep(600)
"""
    first = run.start(run.component("a", code))
    run.told("a", "ready")
    os.kill(first.pid, signal.SIGTERM)
    run.told("a", "told")

    second = run.start(run.component("a", code))

    assert second.pid != first.pid
    assert second.state == "running"


def test_a_suspended_component_is_killed(run):
    status = run.start(run.component("a", stop_timeout=0.5))
    run.told("a", "ready")
    os.kill(status.components[0].pid, signal.SIGSTOP)

    run.stop()

    assert run.of("a").last_exit in {"signal 9", "signal 15"}
    assert not supervisor_client.is_held(run.directory)
