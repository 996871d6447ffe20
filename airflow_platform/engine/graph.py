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
    """The nodes that must have ended before a node begins."""
    steps: Mapping[str, Step]
    """The steps by name."""
    ancestors: Mapping[str, frozenset[str]]
    """For each step, all that it requires, directly or through others: whose outputs it may read."""

    def step(self, node: Node) -> Step:
        """The step that a node runs."""
        return self.steps[node.step]


def build(steps: Sequence[Step], tenants: Sequence[str], goal: Goal) -> Graph:
    """Arrange steps for the selected tenants; going to `ABSENT` is the same graph reversed.

    Raises:
        ConfigurationError: Two steps of one name, a requirement that does not exist, or a cycle.
    """
    by_name = _named(steps)
    requires = _requirements(by_name)
    order = _sorted(requires)
    if goal is Goal.ABSENT:
        order.reverse()
    places = {name: _places(by_name[name], tenants) for name in order}
    nodes = tuple(node for name in order for node in places[name])
    needs: dict[Node, set[Node]] = {node: set() for node in nodes}
    for name, required in requires.items():
        for node in places[name]:
            for other in (other for each in required for other in places[each] if _meet(node, other)):
                before, after = (other, node) if goal is Goal.PRESENT else (node, other)
                needs[after].add(before)
    return Graph(
        nodes=nodes,
        needs={node: frozenset(found) for node, found in needs.items()},
        steps=by_name,
        ancestors=_closure(requires),
    )


def _named(steps: Sequence[Step]) -> dict[str, Step]:
    found: dict[str, Step] = {}
    for step in steps:
        other = found.setdefault(step.name, step)
        if other is not step:
            raise errors.ConfigurationError(
                f"Two steps are called {step.name}: {_origin(other)} and {_origin(step)}.",
                (),
                hint="Rename one of them, or remove one from `steps` in the environment's file.",
            )
    return found


def _origin(step: Step) -> str:
    return f"{type(step).__module__}.{type(step).__qualname__}"


def _requirements(steps: Mapping[str, Step]) -> dict[str, set[str]]:
    requires = {name: set(step.requires) for name, step in steps.items()}
    for name, step in steps.items():
        for other in step.required_by:
            requires.setdefault(other, set()).add(name)
    for name in sorted(set(requires) | {each for found in requires.values() for each in found}):
        if name not in steps:
            wanted_by = sorted(
                {step.name for step in steps.values() if name in (*step.requires, *step.required_by)}
            )
            near = difflib.get_close_matches(name, steps, n=1)
            raise errors.ConfigurationError(
                f"Step {wanted_by[0]} names a step that is not there: {name}.",
                (),
                hint=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(steps))}.",
            )
    return requires


def _sorted(requires: Mapping[str, set[str]]) -> list[str]:
    try:
        return list(graphlib.TopologicalSorter(requires).static_order())
    except graphlib.CycleError as error:
        raise errors.ConfigurationError(
            f"Steps wait for each other in a circle: {' → '.join(error.args[1])}.",
            (),
            hint="Remove one of these from `requires` or `required_by`.",
        ) from None


def _closure(requires: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name in _sorted(requires):
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
