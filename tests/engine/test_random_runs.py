"""Random graphs × random failing steps × random kills: what must hold always holds.

A failing case prints its seed: `AIRFLOW_PLATFORM_SEED=<seed> pytest tests/engine/test_random_runs.py`
plays it alone; `AIRFLOW_PLATFORM_CASES=2000 pytest -o timeout=0 …` plays more.
"""

import contextlib
import os
import random
import sqlite3

from airflow_platform.engine import graph
from airflow_platform.engine.report import Node
from airflow_platform.engine.step import Goal
from airflow_platform.testing.steps import Script, ScriptedStep, World

PHASES = ["before-begun", "after-begun", "middle", "after-effect", "before-ended", "after-ended"]
CASES = int(os.environ.get("AIRFLOW_PLATFORM_CASES", "15"))


def seeds():
    given = os.environ.get("AIRFLOW_PLATFORM_SEED")
    return [int(given)] if given else range(CASES)


def arrange(steps, tenants, goal):
    scripts = {name: Script() for name in tenants}
    made = [
        ScriptedStep(
            step["name"],
            World(),
            scripts if step["scope"] == "tenant" else None,
            requires=step["requires"],
        )
        for step in steps
    ]
    return graph.build(made, tenants, Goal(goal))


def make_case(dice):
    tenants = [f"t{number}" for number in range(dice.randint(1, 3))]
    steps = []
    for number in range(dice.randint(1, 6)):
        earlier = [step["name"] for step in steps]
        steps.append(
            {
                "name": f"s{number}",
                "scope": dice.choice(["tenant", "environment"]),
                "requires": dice.sample(earlier, dice.randint(0, min(2, len(earlier)))),
            }
        )
    return steps, tenants


def fail_some(dice, steps, nodes):
    failing = {str(node) for node in nodes if dice.random() < 0.15}
    return [{**step, "fails": sorted(failing)} for step in steps]


def read_trace(directory):
    trace = directory / "trace"
    lines = [line.split() for line in trace.read_text().splitlines()] if trace.exists() else []
    trace.unlink(missing_ok=True)
    return lines


def fan_in_may_miss(arranged, node, need):
    return arranged.gathers(node) and need.tenant is not None


def check_order(arranged, trace, started_with):
    """A step begins only after all that it needs has ended well (now, or before this run)."""
    by_name = {str(node): node for node in arranged.nodes}
    ended = set()
    seen = set()
    for phase, name in trace:
        node = by_name[name]
        if phase == "before-begun":
            assert name not in seen, f"{name} began twice"
            seen.add(name)
            for need in arranged.needs[node]:
                well = str(need) in ended or str(need) in started_with
                assert well or fan_in_may_miss(arranged, node, need), f"{name} began before {need}"
        if phase == "after-ended":
            ended.add(name)


def check_journal(directory, trace):
    with contextlib.closing(sqlite3.connect(directory / "state" / "journal.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = database.execute(
            "SELECT name, tenant, ended IS NULL FROM step WHERE run = (SELECT max(id) FROM run)"
        ).fetchall()
    begun = {str(Node(name, tenant or None)) for name, tenant, _ in rows}
    unfinished = {str(Node(name, tenant or None)) for name, tenant, is_open in rows if is_open}
    traced = {name for phase, name in trace if phase == "after-begun"}
    done = {name for phase, name in trace if phase == "after-ended"}
    assert traced <= begun <= {name for phase, name in trace if phase == "before-begun"}
    assert unfinished & done == set()


def there(directory, nodes, goal):
    """The nodes that are at the goal already, by their files."""
    files = {path.name for path in (directory / "world").glob("*")}
    wanted = 2 if goal == "present" else 0
    return {
        str(node)
        for node in nodes
        if sum(f"{node.tenant or 'environment'}.{node.step}.{part}" in files for part in (1, 2)) == wanted
    }


def play(run_forked, directory, seed):
    dice = random.Random(seed)
    steps, tenants = make_case(dice)
    for _ in range(dice.randint(1, 4)):
        goal = dice.choice(["present", "present", "absent"])
        arranged = arrange(steps, tenants, goal)
        kill = (str(dice.choice(arranged.nodes)), dice.choice(PHASES)) if dice.random() < 0.6 else ("", "")
        before = there(directory, arranged.nodes, goal)
        told = fail_some(dice, steps, arranged.nodes)
        answer = run_forked(directory, steps=told, tenants=tenants, goal=goal, kill=kill)
        trace = read_trace(directory)
        check_order(arranged, trace, before)
        check_journal(directory, trace)
        if "signal" not in answer:
            assert set(answer["outcomes"]) == {str(node) for node in arranged.nodes}
            failed = "failed" in answer["outcomes"].values()
            assert answer["exit_code"] == (1 if failed else 0)
    goal = dice.choice(["present", "absent"])
    if dice.random() < 0.3:
        for file in (directory / "state").glob("journal.sqlite*"):
            file.unlink()
    last = run_forked(directory, steps=steps, tenants=tenants, goal=goal)
    assert last["exit_code"] == 0
    nodes = arrange(steps, tenants, goal).nodes
    assert there(directory, nodes, goal) == {str(node) for node in nodes}
    again = run_forked(directory, steps=steps, tenants=tenants, goal=goal)
    assert set(again["outcomes"].values()) == {"unchanged"}
    assert again["notes"] == []


def test_what_must_hold_holds(run_forked, memory_path):
    for seed in seeds():
        directory = memory_path / str(seed)
        directory.mkdir()
        try:
            play(run_forked, directory, seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
