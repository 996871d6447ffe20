"""The order of work."""

import subprocess
import sys

import pytest

from airflow_platform import errors
from airflow_platform.engine import graph
from airflow_platform.engine.report import Node
from airflow_platform.engine.step import Goal
from airflow_platform.testing import steps

TENANTS = {"a": steps.Script(), "b": steps.Script()}


def environment_step(name, **relations):
    return steps.ScriptedStep(name, steps.World(), **relations)


def tenant_step(name, **relations):
    return steps.ScriptedStep(name, steps.World(), TENANTS, **relations)


def needs(built, node):
    return {str(need) for need in built.needs[node]}


@pytest.fixture
def fan_in():
    """packages ← home (a tenant's) ← commit ← healthy (a tenant's)."""
    return [
        environment_step("packages"),
        tenant_step("home", requires=["packages"]),
        environment_step("commit", requires=["home"]),
        tenant_step("healthy", requires=["commit"]),
    ]


def test_a_node_waits_for_all_that_it_requires_directly_or_through_others(fan_in):
    built = graph.build(fan_in, ["a", "b"], Goal.PRESENT)
    assert needs(built, Node("packages")) == set()
    assert needs(built, Node("home", "a")) == {"packages"}
    assert needs(built, Node("commit")) == {"packages", "a/home", "b/home"}
    assert needs(built, Node("healthy", "a")) == {"packages", "a/home", "commit"}


def test_going_down_is_the_same_graph_reversed(fan_in):
    up = graph.build(fan_in, ["a", "b"], Goal.PRESENT)
    down = graph.build(fan_in, ["a", "b"], Goal.ABSENT)
    assert {(before, after) for after, found in up.needs.items() for before in found} == {
        (after, before) for after, found in down.needs.items() for before in found
    }


@pytest.mark.parametrize("goal", Goal)
def test_nodes_come_in_an_order_that_respects_needs(fan_in, goal):
    built = graph.build(fan_in, ["a", "b"], goal)
    for place, node in enumerate(built.nodes):
        assert built.needs[node] <= set(built.nodes[:place])


def test_only_environment_steps_that_require_tenant_steps_gather(fan_in):
    for goal in Goal:
        built = graph.build(fan_in, ["a", "b"], goal)
        assert [str(node) for node in built.nodes if built.gathers(node)] == ["commit"]


def test_required_by_puts_a_step_in_the_middle():
    built = graph.build(
        [
            tenant_step("home"),
            tenant_step("start", requires=["home"]),
            tenant_step("audit", requires=["home"], required_by=["start"]),
        ],
        ["a"],
        Goal.PRESENT,
    )
    assert [str(node) for node in built.nodes] == ["a/home", "a/audit", "a/start"]
    assert built.ancestors["start"] == {"home", "audit"}


def test_without_tenants_only_steps_of_the_environment_are_there(fan_in):
    built = graph.build(fan_in, [], Goal.PRESENT)
    assert [str(node) for node in built.nodes] == ["packages", "commit"]


def faults_of(*arranged):
    with pytest.raises(errors.ConfigurationError) as caught:
        graph.build(arranged, ["a"], Goal.PRESENT)
    assert caught.value.exit_code == 2
    return caught.value.faults()


def test_unknown_names_are_all_told_with_the_nearest_match():
    home, start = tenant_step("home", required_by=["healty"]), tenant_step("start", requires=["hom"])
    first, second = faults_of(home, start)
    assert first.thing == "step home"
    assert "healty" in first.cause
    assert first.remedy == "There are: home, start."
    assert (second.thing, second.remedy) == ("step start", "Did you mean home?")


def test_a_duplicate_names_both():
    class Home(steps.ScriptedStep):
        pass

    (fault,) = faults_of(tenant_step("home"), Home("home", steps.World(), TENANTS))
    assert fault.thing == "step home"
    assert "airflow_platform.testing.steps.ScriptedStep and " in fault.cause
    assert "Home" in fault.cause


@pytest.mark.parametrize("relation", ["requires", "required_by"])
def test_a_circle_is_told(relation):
    (fault,) = faults_of(
        tenant_step("home", **{relation: ["start"]}), tenant_step("start", **{relation: ["home"]})
    )
    assert fault.cause in (
        "Steps wait for each other in a circle: home → start → home.",
        "Steps wait for each other in a circle: start → home → start.",
    )


def test_a_step_that_requires_itself_is_a_circle():
    (fault,) = faults_of(environment_step("home", requires=["home"]))
    assert "home → home" in fault.cause


def test_the_order_does_not_depend_on_the_hash_seed():
    program = (
        "from airflow_platform.engine import graph, step\n"
        "from airflow_platform.testing.steps import ScriptedStep, World\n"
        "names = [f'step-{n}' for n in range(12)]\n"
        "made = [ScriptedStep(n, World()) for n in names]\n"
        "made.append(ScriptedStep('last', World(), requires=names))\n"
        "print([str(n) for n in graph.build(made, [], step.Goal.PRESENT).nodes])\n"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(orders) == 1
