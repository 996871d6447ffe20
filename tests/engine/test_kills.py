"""A run that is killed at any moment: the next one converges, the one after changes nothing."""

import shutil

import pytest

STEPS = [
    {"name": "packages"},
    {"name": "home", "scope": "tenant", "requires": ["packages"]},
    {"name": "commit", "requires": ["home"]},
    {"name": "healthy", "scope": "tenant", "requires": ["commit"]},
]
NODES = ["packages", "a/home", "commit", "a/healthy"]
PHASES = ["before-begun", "after-begun", "middle", "after-effect", "after-ended"]
TENANTS = ["a", "b"]


def content(directory):
    return {path.name: path.read_text() for path in (directory / "world").iterdir()}


def everything():
    places = [f"environment.{name}" for name in ("packages", "commit")]
    places += [f"{tenant}.{name}" for tenant in TENANTS for name in ("home", "healthy")]
    return {f"{place}.{part}": "made" for place in places for part in (1, 2)}


def forget(directory):
    for file in (directory / "state").glob("journal.sqlite*"):
        file.unlink()


def check_rerun(run_forked, directory, order):
    """One rerun converges, the next changes nothing; returns the nodes that the rerun says it took up."""
    rerun = run_forked(directory, **order)
    assert rerun["exit_code"] == 0
    assert content(directory) == (everything() if order["goal"] == "present" else {})
    assert sum("Took over the lock" in note for note in rerun["notes"]) >= 2
    third = run_forked(directory, **order)
    assert set(third["outcomes"].values()) == {"unchanged"}
    assert third["notes"] == []
    middle = " in the middle of "
    return [note.split(middle)[1].split()[0] for note in rerun["notes"] if middle in note]


@pytest.mark.parametrize("goal", ["present", "absent"])
@pytest.mark.parametrize("phase", PHASES)
def test_one_rerun_converges_and_the_next_changes_nothing(run_forked, memory_path, phase, goal):
    order = {"steps": STEPS, "tenants": TENANTS, "goal": goal}
    undisturbed = memory_path / "undisturbed"
    undisturbed.mkdir()
    if goal == "absent":
        run_forked(undisturbed, steps=STEPS, tenants=TENANTS)
    for node in NODES:
        killed, forgetful = (
            memory_path / f"{node.replace('/', '-')}-{kind}" for kind in ("killed", "forgetful")
        )
        shutil.copytree(undisturbed, killed)
        assert run_forked(killed, **order, kill=(node, phase)) == {"signal": 9}
        shutil.copytree(killed, forgetful)
        forget(forgetful)
        begun = phase not in ("before-begun", "after-ended")
        assert (node in check_rerun(run_forked, killed, order)) is begun
        assert check_rerun(run_forked, forgetful, order) == []


@pytest.mark.parametrize("skew", [-1, 1])
def test_a_clock_that_jumped_between_kill_and_rerun_changes_nothing(run_forked, memory_path, skew):
    order = {"steps": STEPS, "tenants": TENANTS}
    assert run_forked(memory_path, **order, kill=("commit", "middle")) == {"signal": 9}
    rerun = run_forked(memory_path, **order, skew=skew)
    assert (rerun["exit_code"], content(memory_path)) == (0, everything())
    assert sum("in the middle of commit" in note for note in rerun["notes"]) == 1
    assert set(run_forked(memory_path, **order)["outcomes"].values()) == {"unchanged"}


def test_no_lock_file_is_left(run_forked, memory_path):
    order = {"steps": STEPS, "tenants": TENANTS}
    run_forked(memory_path, **order, kill=("commit", "middle"))
    locks = memory_path / "state" / "locks"
    assert sorted(path.name for path in locks.iterdir()) == [
        "environment.lock",
        "tenant-a.lock",
        "tenant-b.lock",
    ]
    run_forked(memory_path, **order)
    assert list(locks.iterdir()) == []
