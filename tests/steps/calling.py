"""Calls the functions of a step as the engine does, on what a test states."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.engine import local_store, step
from airflow_platform.programs import programs
from airflow_platform.tenants import contexts
from airflow_platform.testing import specs as testing


class Patience(programs.Interruption):
    """Waits a thousandth of the time that it is asked to, and tells the clock that all of it has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pace = 1.0
        """Seconds that pass for each one that is slept."""

    def sleep(self, seconds: float) -> None:
        self.raise_if_requested()
        self.now += seconds * self.pace
        time.sleep(seconds / 1000)


@dataclass(frozen=True)
class Ran:
    """What one run of a step came to."""

    planned: step.Change | step.NoChange
    outputs: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The summary of its change, or why there was none."""
        return self.planned.summary if isinstance(self.planned, step.Change) else self.planned.reason

    @property
    def changed(self) -> bool:
        return isinstance(self.planned, step.Change)


class Unmade(dict[str, Mapping[str, Any]]):
    """Outputs of steps, of which some have only been planned."""

    def __missing__(self, name: str) -> Mapping[str, Any]:
        raise step.OutputsUnknown(name)


class Calls:
    """Contexts for one environment and one tenant of it, and runs of steps in them."""

    def __init__(
        self,
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        environment: Any = None,
        tenant: Any = "analytics",
        goal: step.Goal = step.Goal.PRESENT,
        artifacts: Path = Path("/nowhere"),
        at_work: Mapping[str, bool] | None = None,
    ) -> None:
        """State what the steps may know; outputs that are not among `outputs` are a KeyError."""
        self.outputs: dict[str, Mapping[str, Any]] = dict(outputs or {})
        self.tenant = testing.tenant(tenant) if isinstance(tenant, str) else tenant
        self.environment = environment or testing.environment("sandbox", self.tenant)
        self.goal = goal
        self.patience = Patience()
        self.programs = programs.Programs(interruption=self.patience)
        self.news: list[str] = []
        self._artifacts = local_store.LocalArtifacts(artifacts)
        self.at_work = dict(at_work or {})

    def context(self, scope: step.Scope) -> Any:
        """The context of a step of this scope."""
        shared: dict[str, Any] = {
            "environment": self.environment,
            "goal": self.goal,
            "run_id": "1",
            "artifacts": self._artifacts,
            "programs": self.programs,
            "progress": self.news.append,
            "clock": lambda: self.patience.now,
            "find_outputs": self.outputs.__getitem__,
        }
        if scope is step.Scope.TENANT:
            return contexts.TenantContext(**shared, tenant=self.tenant)
        return contexts.EnvironmentContext(
            **shared,
            tenants=getattr(self.environment, "tenants", ()),
            tenants_at_work=lambda: self.at_work,
        )

    def faults(self, one: Any) -> list[errors.Fault]:
        """What the step's check finds."""
        return list(one.check(self.context(one.scope)))

    def plan(self, one: Any) -> step.Change | step.NoChange:
        """What it would do; its change survives being written to the journal."""
        context = self.context(one.scope)
        planned = one.plan(context, one.observe(context))
        assert isinstance(planned, step.Change | step.NoChange)
        content = planned.to_json() if isinstance(planned, step.Change) else dict(planned.outputs)
        assert json.loads(json.dumps(content)) == content
        return planned

    def run(self, one: Any) -> Ran:
        """Observe, plan and apply; a step's outputs are known to later ones."""
        planned = self.plan(one)
        if isinstance(planned, step.Change):
            outputs = dict(one.apply(self.context(one.scope), planned))
        else:
            outputs = dict(planned.outputs)
        assert json.loads(json.dumps(outputs)) == outputs
        self.outputs[one.name] = outputs
        return Ran(planned, outputs)

    def twice(self, one: Any) -> tuple[Ran, Ran]:
        """Run it, and run it again, which must change nothing and hand on the same."""
        first, second = self.run(one), self.run(one)
        assert not second.changed, second.text
        assert second.outputs == first.outputs
        return first, second
