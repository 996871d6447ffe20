"""Steps that play what they were told, on a world that is a dictionary."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_platform import errors
from airflow_platform.engine.report import Node
from airflow_platform.engine.step import (
    Change,
    Context,
    Goal,
    Json,
    NoChange,
    Outputs,
    Scope,
    Step,
    TenantContext,
    Unknown,
)


class World(dict[str, Json]):
    """What exists, by name; refuses to be changed outside `changing()`, which `apply` uses.

    A step that writes while it should only look raises AssertionError here.
    """

    def __init__(self, content: Mapping[str, Json] | None = None) -> None:
        super().__init__(content or {})
        self._changing = threading.local()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Let this thread change the world."""
        self._changing.now = True
        try:
            yield
        finally:
            self._changing.now = False

    def __setitem__(self, name: str, value: Json) -> None:
        self._require(f"set {name}")
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        self._require(f"deleted {name}")
        super().__delitem__(name)

    def _require(self, what: str) -> None:
        assert getattr(self._changing, "now", False), f"{what} outside apply"

    def _refuse(self, *_: object, **__: object) -> Any:
        raise AssertionError("set and delete single names of a World")

    pop = popitem = clear = update = setdefault = __ior__ = _refuse


@dataclass(frozen=True)
class Script:
    """What a scripted step does at one place: for one tenant, or for the environment."""

    value: Json = True
    """What the world has under the step's name when it is present."""
    outputs: Mapping[str, Json] = field(default_factory=dict)
    """What it hands on, whether it changed something or not."""
    faults: Sequence[errors.Fault] = ()
    """What its check finds."""
    unknown_until: str = ""
    """The step that must have run before it can be observed, until it has run."""
    during: Callable[[Context[Any]], Outputs | None] | None = None
    """Called by `apply` before the world changes; may raise; what it returns replaces `outputs`."""


class ScriptedStep(Step):
    """A step that does what its scripts say and refuses everything else.

    It is present where the world has its script's `value` under the node's name ("packages",
    "analytics/home"). It raises AssertionError when it is called for a tenant that it has no script
    for, when `plan` gets another observation than `observe` made, and when `apply` gets another
    change than `plan` made, or none was planned.
    """

    def __init__(
        self,
        name: str,
        world: World,
        scripts: Mapping[str, Script] | Script | None = None,
        *,
        requires: Sequence[str] = (),
        required_by: Sequence[str] = (),
        publishes: Sequence[str] = (),
    ) -> None:
        """Prepare.

        Args:
            name: The step's name.
            world: Where its effects are.
            scripts: By tenant: a tenant step. One, or none: an environment step.
            requires: As of any step.
            required_by: As of any step.
            publishes: As of any step.
        """
        self.name = name
        self.scope = Scope.TENANT if isinstance(scripts, Mapping) else Scope.ENVIRONMENT
        self.requires = tuple(requires)
        self.required_by = tuple(required_by)
        self.publishes = tuple(publishes)
        self.world = world
        self.calls: list[str] = []
        """What was called, in order: "observe a/home"."""
        self._scripts: dict[str | None, Script] = {}
        if isinstance(scripts, Mapping):
            self._scripts.update(scripts)
        else:
            self._scripts[None] = scripts or Script()
        self._observed: dict[Node, object] = {}
        self._planned: dict[Node, Change] = {}

    def check(self, context: Context[Any]) -> Sequence[errors.Fault]:
        node, script = self._called("check", context)
        assert node not in self._observed, f"checked {node} after observing it"
        return script.faults

    def observe(self, context: Context[Any]) -> object:
        node, script = self._called("observe", context)
        if script.unknown_until and script.unknown_until not in self.world and str(node) not in self.world:
            return Unknown(script.unknown_until)
        observed = (str(node) in self.world, self.world.get(str(node)))
        self._observed[node] = observed
        return observed

    def plan(self, context: Context[Any], observed: Any) -> Change | NoChange:
        node, script = self._called("plan", context)
        assert observed is self._observed.pop(node, None), f"planned {node} with what was not observed"
        wanted = (True, script.value) if context.goal is Goal.PRESENT else (False, None)
        if observed == wanted:
            return NoChange(f"{node} is {context.goal.value}", script.outputs)
        verb = "make" if context.goal is Goal.PRESENT else "remove"
        self._planned[node] = Change(f"{verb} {node}", {"value": script.value})
        return self._planned[node]

    def apply(self, context: Context[Any], change: Change) -> Outputs:
        node, script = self._called("apply", context)
        assert change is self._planned.pop(node, None), f"applied to {node} what was not planned"
        outputs = script.during(context) if script.during else None
        with self.world.changing():
            if context.goal is Goal.PRESENT:
                self.world[str(node)] = change.details["value"]
            else:
                del self.world[str(node)]
        return script.outputs if outputs is None else outputs

    def _called(self, function: str, context: Context[Any]) -> tuple[Node, Script]:
        tenant = context.tenant.name if isinstance(context, TenantContext) else None
        node = Node(self.name, tenant)
        assert tenant in self._scripts, f"{function} was called for {node}, which has no script"
        self.calls.append(f"{function} {node}")
        return node, self._scripts[tenant]
