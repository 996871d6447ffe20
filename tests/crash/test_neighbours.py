"""A tenant that runs beside one whose runs are killed: same processes, same files, same answers."""

from __future__ import annotations

from airflow_platform.runtimes.process import supervisor_client
from tests.crash import snapshots

LIVELY = ("airflow.db", "logs/")
"""What a running tenant writes itself: heartbeats and lines."""

UP = (("directory", "after begin"), ("keys", "after the effect"), ("database", "after the effect"),
      ("components", "after begin"), ("components", "after the effect"), ("settings", "after begin"))  # fmt: skip
DOWN = (("components", "after begin"), ("components", "after the effect"), ("directory", "after begin"))


def test_a_running_neighbour_is_not_touched(box, count):
    box.declare("alpha", "beta")
    assert box.up("--tenant=beta").code == 0
    before, running = files(box), supervisor_client.status(box.tenant("beta").run)
    for going, kills in ((box.up, UP), (box.down, DOWN)):
        words = ["--tenant=alpha", *(["--delete-data"] if going == box.down else [])]
        for step, phase in kills:
            killed = going(*words, kill={"step": step, "tenant": "alpha", "phase": phase})
            assert killed.code == -9, killed
            count("killed")
            assert files(box) == before, f"{step}, {phase}"
            assert supervisor_client.status(box.tenant("beta").run) == running
            count("converged")
        assert going(*words).code == 0
        assert files(box) == before
    assert box.place.found() == ("beta",)
    assert set(box.up("--tenant=beta").steps().values()) == {"unchanged"}


def files(box):
    found = snapshots.exact(box.tenant("beta").directory)
    return {name: each for name, each in found.items() if not any(part in name for part in LIVELY)}
