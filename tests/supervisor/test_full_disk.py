"""A disk that is full, by RLIMIT_FSIZE: a write to a file then fails as on a full disk (EFBIG)."""

import os
import resource
import signal

from airflow_platform.runtimes.process import supervisor_client
from airflow_platform.runtimes.process.supervisor import linux


def test_supervision_goes_on_and_the_status_is_written_when_there_is_room(run):
    status = run.start(run.component("a", "time.sleep(600)"), run.component("b", "time.sleep(600)"))
    old = status.components[0].pid
    _, hard = resource.prlimit(status.pid, resource.RLIMIT_FSIZE)

    resource.prlimit(status.pid, resource.RLIMIT_FSIZE, (0, hard))
    os.kill(old, signal.SIGKILL)

    def components():
        return {one.pid for one in linux.descendants(status.pid) if one.session == one.pid}

    run.wait_until(lambda: len(components() - {old}) == 2, "it was started again")
    assert supervisor_client.status(run.directory) == status, "an old status, but a whole one"
    draft = run.directory / "status.json.new"
    run.wait_until(lambda: not draft.exists(), "the draft that could not be written is gone")

    resource.prlimit(status.pid, resource.RLIMIT_FSIZE, (hard, hard))

    run.wait_until(lambda: run.of("a").restarts == 1, "the status was written")
    assert run.of("b") == status.components[1]
    assert {one.pid for one in run.last_status().components} == components()


def test_it_stops_on_a_full_disk(run):
    status = run.start(run.component("a", "time.sleep(600)"))
    _, hard = resource.prlimit(status.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(status.pid, resource.RLIMIT_FSIZE, (0, hard))

    run.stop()

    assert run.alive() == ()
    assert supervisor_client.status(run.directory) is None
