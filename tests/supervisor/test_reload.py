import dataclasses
import os
import signal

import pytest

from airflow_platform import errors
from airflow_platform.runtimes.process import supervisor_client


def test_only_what_changed_is_restarted(run):
    same, changed, removed = (run.component(name) for name in ("same", "changed", "removed"))
    before = {one.name: one for one in run.start(same, changed, removed).components}
    run.told("removed", "ready")

    spec = run.spec(same, dataclasses.replace(changed, generation="2"), run.component("new"))
    supervisor_client.write_spec(run.directory, spec)
    status = supervisor_client.reload(run.directory, 10)

    after = {one.name: one for one in status.components}
    assert status.spec_digest == spec.digest
    assert {name: one.digest for name, one in after.items()} == {
        one.name: spec.digest_of(one) for one in spec.components
    }
    assert [one.name for one in status.components] == ["same", "changed", "new"]
    assert after["same"] == before["same"]
    assert after["changed"].pid != before["changed"].pid
    assert {one.pid for one in run.alive()} == {
        *(one.pid for one in after.values()),
        status.pid,
        run.guardian(),
    }


def test_a_changed_component_is_started_after_the_old_one_has_ended(run):
    code = """
os.mkdir("taken")
def leave(*_):
    time.sleep(0.5)
    os.rmdir("taken")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
tell("ready")
while True:
    signal.pause()
"""
    component = run.component("a", code)
    run.start(component)
    run.told("a", "ready")

    status = run.reload(dataclasses.replace(component, generation="2"))

    assert [(one.state, one.restarts) for one in status.components] == [("running", 0)]
    assert "FileExistsError" not in (run.directory / "a.log").read_text()


def test_a_change_that_is_taken_back_leaves_one_component(run):
    component = run.component("a", "tell('ready'); time.sleep(600)")
    run.start(component)
    run.told("a", "ready")
    supervisor_client.write_spec(run.directory, run.spec(dataclasses.replace(component, generation="2")))
    os.kill(run.last_status().pid, signal.SIGHUP)

    status = run.reload(component)

    assert [one.state for one in status.components] == ["running"]
    run.wait_until(lambda: len(run.alive()) == 3, "guardian, supervisor and one component are left")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "owner": "x"}', "\xff"])
def test_an_unreadable_spec_is_ignored(run, text):
    before = run.start(run.component("a"))
    (run.directory / "supervisor.json").write_text(text, encoding="latin-1")

    os.kill(before.pid, signal.SIGHUP)

    run.wait_until(lambda: "supervisor.json is ignored" in run.log(), "it said so")
    assert supervisor_client.status(run.directory) == before
    with pytest.raises(errors.ProgramError, match="has no spec"):
        supervisor_client.reload(run.directory, 5)


def test_a_component_that_waits_is_tried_at_once(run):
    run.start(run.component("a", "sys.exit(1)"), run.component("b"))

    run.try_again("a", 5)  # Which would take 31 seconds else, and it is not waited for as long.


def test_nothing_can_be_told_to_a_supervisor_that_does_not_run(run):
    supervisor_client.write_spec(run.directory, run.spec())

    with pytest.raises(errors.ProgramError, match="is not running"):
        supervisor_client.reload(run.directory, 5)
