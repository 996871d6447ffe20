"""The order of work: steps × tenants, and what each waits for."""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_platform import errors
from airflow_platform.engine.report import Node
from airflow_platform.engine.step import Goal, Scope, Step


@dataclass(frozen=True)
class Graph:
    """Every step of every selected tenant, with what it waits for in the run's direction."""

    nodes: tuple[Node, ...]
    """In an order that respects `needs`."""
    needs: Mapping[Node, frozenset[Node]]
    """The nodes that must have ended before a node begins, directly or through others.

    Through others, because a tenant that was lost before a fan-in must stay lost after it.
    """
    steps: Mapping[str, Step]
    """The steps by name."""
    ancestors: Mapping[str, frozenset[str]]
    """All that a step requires, directly or through others: whose outputs it may read."""

    def step(self, node: Node) -> Step:
        """The step that a node runs."""
        return self.steps[node.step]

    def gathers(self, node: Node) -> bool:
        """Whether it is an environment step that requires tenant steps: a fan-in.

        A fan-in goes on with the tenants that succeeded, in both directions. Any other environment
        step that goes down is what tenants stand on, and waits until none is left.
        """
        return node.tenant is None and any(
            self.steps[name].scope is Scope.TENANT for name in self.ancestors[node.step]
        )


def build(steps: Sequence[Step], tenants: Sequence[str], goal: Goal) -> Graph:
    """Arrange steps for the selected tenants; going to `ABSENT` is the same graph reversed.

    Raises:
        ConfigurationError: Two steps of one name, a requirement that does not exist, or a cycle.
    """
    by_name = _named(steps)
    requires = _requirements(by_name)
    order = _sorted(requires)
    ancestors = _closure(requires, order)
    if goal is Goal.ABSENT:
        order.reverse()
    places = {name: _places(by_name[name], tenants) for name in order}
    needs: dict[Node, set[Node]] = {node: set() for name in order for node in places[name]}
    for node in needs:
        for other in (other for name in ancestors[node.step] for other in places[name]):
            if _meet(node, other):
                before, after = (other, node) if goal is Goal.PRESENT else (node, other)
                needs[after].add(before)
    return Graph(
        nodes=tuple(needs),
        needs={node: frozenset(found) for node, found in needs.items()},
        steps=by_name,
        ancestors=ancestors,
    )


def _named(steps: Sequence[Step]) -> dict[str, Step]:
    found: dict[str, Step] = {}
    faults = []
    for step in steps:
        other = found.setdefault(step.name, step)
        if other is not step:
            faults.append(
                errors.Fault(
                    f"step {step.name}",
                    f"Two steps have this name: {_origin(other)} and {_origin(step)}.",
                    "Rename one of them, or remove one from `steps` in the environment's file.",
                )
            )
    _refuse(faults)
    return found


def _origin(step: Step) -> str:
    return f"{type(step).__module__}.{type(step).__qualname__}"


def _requirements(steps: Mapping[str, Step]) -> dict[str, list[str]]:
    requires = {name: list(step.requires) for name, step in steps.items()}
    for name, step in steps.items():
        for other in step.required_by:
            requires.setdefault(other, []).append(name)
    _refuse(
        [
            _unknown(step, name, steps)
            for step in steps.values()
            for name in (*step.requires, *step.required_by)
            if name not in steps
        ]
    )
    return requires


def _unknown(step: Step, name: str, steps: Mapping[str, Step]) -> errors.Fault:
    near = difflib.get_close_matches(name, steps, n=1)
    return errors.Fault(
        f"step {step.name}",
        f"It names a step that is not there: {name}.",
        f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(steps))}.",
    )


def _sorted(requires: Mapping[str, Sequence[str]]) -> list[str]:
    try:
        return list(graphlib.TopologicalSorter(requires).static_order())
    except graphlib.CycleError as error:
        circle = error.args[1]
        fault = errors.Fault(
            f"step {circle[0]}",
            f"Steps wait for each other in a circle: {' → '.join(circle)}.",
            "Remove one of these from `requires` or `required_by`.",
        )
    _refuse([fault])
    raise AssertionError("refused above")


def _refuse(faults: Sequence[errors.Fault]) -> None:
    if faults:
        raise errors.ConfigurationError("The steps do not fit together.", faults)


def _closure(requires: Mapping[str, Sequence[str]], order: Sequence[str]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name in order:
        direct = requires[name]
        found[name] = frozenset(direct).union(*(found[each] for each in direct))
    return found


def _places(step: Step, tenants: Sequence[str]) -> list[Node]:
    if step.scope is Scope.ENVIRONMENT:
        return [Node(step.name)]
    return [Node(step.name, tenant) for tenant in tenants]


def _meet(one: Node, other: Node) -> bool:
    """Steps of one tenant never wait for those of another."""
    return one.tenant is None or other.tenant is None or one.tenant == other.tenant
