"""kill -9 of the supervisor, of its guardian, and of both."""

import os
import signal

from airflow_platform.runtimes.process import supervisor_client


def start_family(run, stubborn):
    """A component that ends when told, and one that does not, with a child in a session of its own."""
    code = f"spawn({stubborn!r}, start_new_session=True); " + stubborn.replace("'ready'", "'leader'")
    status = run.start(run.component("plain"), run.component("family", code))
    for component, word in (("plain", "ready"), ("family", "ready"), ("family", "leader")):
        run.told(component, word)
    assert len(run.alive()) == 5
    return status


def test_a_killed_supervisor_leaves_nothing(run, stubborn):
    status = start_family(run, stubborn)

    os.kill(status.pid, signal.SIGKILL)

    run.wait_until(lambda: supervisor_client.status(run.directory) is None, "its end is seen")
    assert supervisor_client.is_held(run.directory), "its guardian cleans up, and nobody starts meanwhile"
    run.stop()
    assert run.alive() == ()
    assert "the supervisor ended without stopping its components" in run.log()


def test_a_killed_supervisor_is_started_again_when_all_of_it_has_ended(run):
    code = (
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit())); "
        "tell('ready'); time.sleep(600)"
    )
    killed = run.start(run.component("plain", code))
    run.told("plain", "ready")
    os.kill(killed.pid, signal.SIGKILL)
    run.wait_until(lambda: supervisor_client.status(run.directory) is None, "its end is seen")

    again = run.start(run.component("plain", code))

    assert {one.pid for one in run.alive()} == {again.pid, run.guardian(), again.components[0].pid}


def test_a_killed_guardian_stops_the_supervisor(run):
    run.start(run.component("plain"))
    run.told("plain", "ready")

    os.kill(run.guardian(), signal.SIGKILL)

    run.wait_until(lambda: not supervisor_client.is_held(run.directory), "the lock is free")
    assert run.last_status().state == "stopped"
    assert run.alive() == ()


def test_both_killed_still_end_each_component(run):
    status = run.start(run.component("plain"))
    run.told("plain", "ready")

    for pid in (run.guardian(), status.pid):
        os.kill(pid, signal.SIGKILL)

    run.wait_until(lambda: not run.alive(), "nothing is left")
    assert not supervisor_client.is_held(run.directory)
