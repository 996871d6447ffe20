"""The contract of a step: read what is, say what would change, change it.

A step is one idempotent unit of work. The engine calls its four functions in this order, each
time with a context that holds everything it may know:

    check(context)                  yields faults; reads only
    observe(context)                what exists now; changes nothing in the world
    plan(context, observed)         pure: a `Change`, or `NoChange` and why
    apply(context, change)          makes the change and returns outputs

`observe` may put an artifact into `context.artifacts`, or return `Unknown`.
A step of scope `tenant` runs once for each selected tenant; one of scope `environment` runs once.
"""

from __future__ import annotations

import enum
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from airflow_platform import errors
from airflow_platform.programs import programs

Json = Any
"""What `json.dumps` takes: None, bool, int, float, str, list or dict of these."""

Outputs = Mapping[str, Json]
"""What a step hands to later steps and to the report. Never a secret: a reference to it instead."""


class Named(Protocol):
    """All that the engine knows of an environment or a tenant."""

    @property
    def name(self) -> str: ...


EnvironmentT = TypeVar("EnvironmentT", bound=Named)
TenantT = TypeVar("TenantT", bound=Named)


class Goal(enum.Enum):
    """Where a run is going: everything there, or everything gone. The way down is the graph reversed."""

    PRESENT = "present"
    ABSENT = "absent"


class Scope(enum.Enum):
    """How often a step runs."""

    ENVIRONMENT = "environment"
    TENANT = "tenant"


@dataclass(frozen=True)
class Change:
    """What `apply` would do: shown by `--plan`, written to the journal, handed to `apply` unaltered."""

    summary: str
    """For people, as a verb phrase: "start 4 components on port 18080"."""
    details: Mapping[str, Json] = field(default_factory=dict)
    """For `apply`: serialisable, without secrets."""
    artifacts: Mapping[str, str] = field(default_factory=dict)
    """Artifacts of the run that `apply` uses, by name, with the SHA-256 that they must have."""

    def to_json(self) -> dict[str, Json]:
        return {
            "summary": self.summary,
            "details": dict(self.details),
            "artifacts": dict(self.artifacts),
        }


@dataclass(frozen=True)
class NoChange:
    """What was planned is there already (or gone already)."""

    reason: str
    """For people: "the database is at revision 1f2e3d"."""
    outputs: Outputs = field(default_factory=dict)
    """The same outputs that `apply` would have returned."""


@dataclass(frozen=True)
class Unknown:
    """An observation that cannot be made until another step has run; only meaningful with `--plan`."""

    until: str
    """The step's name."""


class OutputsUnknown(errors.PlatformError):
    """Raised by `context.outputs` when that step has only been planned; the engine shows it as `Unknown`."""

    def __init__(self, step: str) -> None:
        self.step = step
        super().__init__(f"The outputs of step {step} are not known until it has run.")


class Artifacts(Protocol):
    """Files that plans of one run leave for `apply`, by name."""

    def put(self, name: str, content: bytes | Path) -> str:
        """Store an artifact, or a file's content as one; replaces an earlier one of that name.

        Returns:
            Its SHA-256 in hexadecimal digits, for `Change.artifacts`.

        Raises:
            StateError: It cannot be written.
        """

    def get(self, name: str) -> Path:
        """A local file with the artifact's content, to be read only.

        Raises:
            StepError: There is no artifact of that name.
        """


@dataclass(frozen=True)
class Context(Generic[EnvironmentT]):
    """Everything that a step may know; passed, never ambient."""

    environment: EnvironmentT
    goal: Goal
    run_id: str
    artifacts: Artifacts
    programs: programs.Programs
    progress: Callable[[str], None]
    """Shows one line of news on the step's line of the board."""
    clock: Callable[[], float]
    """Monotonic seconds; every deadline is kept on it."""
    find_outputs: Callable[[str], Outputs]

    def outputs(self, step: str) -> Outputs:
        """The outputs of a step that this one requires, directly or through others.

        Raises:
            OutputsUnknown: With `--plan`, when that step has not run.
            KeyError: This step does not require that one, or reads it in `check` or on the way down,
                when it has not run: a defect, not a fault.
            StepError: That step was left out on purpose.
        """
        return self.find_outputs(step)

    def wait_for(
        self,
        what: str,
        poll: Callable[[], str],
        *,
        timeout: float,
        patience: float = math.inf,
        every: float = 0.25,
        hint: str = "",
    ) -> None:
        """Call `poll` until it returns "" (done); anything else is what is still missing, and is shown.

        Raises:
            StepError: It is not done after `timeout` seconds, or what is missing has not changed for `patience`
                seconds; says what was missing last.
            Interrupted: A signal ended the run.
        """
        since = self.clock()
        deadline = since + timeout
        shown = ""
        while missing := poll():
            if missing != shown:
                self.progress(missing)
                shown, since = missing, self.clock()
            elif self.clock() > since + patience:
                raise errors.StepError(
                    f"Nothing has changed for {patience:g} s; still missing: {missing}.", hint=hint
                )
            if self.clock() > deadline:
                raise errors.StepError(
                    f"Waited {timeout:g} s for {what}; still missing: {missing}.", hint=hint
                )
            self.programs.interruption.sleep(every)


@dataclass(frozen=True)
class EnvironmentContext(Context[EnvironmentT], Generic[EnvironmentT, TenantT]):
    """The context of an environment step."""

    tenants: tuple[TenantT, ...] = ()
    """The selected tenants. Where the step requires tenant steps: those that succeeded."""
    find_tenant_outputs: Callable[[str, str], Outputs] = lambda step, tenant: {}
    tenants_at_work: Callable[[], Mapping[str, bool]] = dict
    """The tenants that any run, this one too, works on now, and whether it takes them away: `Store.tenants_at_work`."""

    def tenant_outputs(self, step: str, tenant: str) -> Outputs:
        """The outputs of a required tenant step, for one of `tenants`; raises what `outputs` raises."""
        return self.find_tenant_outputs(step, tenant)


@dataclass(frozen=True, kw_only=True)
class TenantContext(Context[EnvironmentT], Generic[EnvironmentT, TenantT]):
    """The context of a tenant step."""

    tenant: TenantT


class Step:
    """What both kinds of steps declare. Derive from `EnvironmentStep` or `TenantStep`."""

    name: str
    """Lower case with hyphens; unique in a run. Journal, report and `requires` use it."""
    scope: Scope
    requires: Sequence[str] = ()
    """Names of steps that must have succeeded before this one (after it, on the way down)."""
    required_by: Sequence[str] = ()
    """Names of steps that must wait for this one: how a plugin puts itself in the middle."""
    publishes: Sequence[str] = ()
    """Keys of its outputs that the report shows as the tenant's."""
    undone_by: str = ""
    """What removes on the way down what this step made, when the step itself does not: another
    step's name, or words for people. Then the step is not called on the way down."""
    keeps_data: bool = False
    """Whether going down would delete what cannot be made again; then only `--delete-data` does."""

    def after(self, *names: str, before: Sequence[str] = (), undone_by: str = "") -> Self:
        """This step, with its neighbours in a run; whoever composes the run knows them.

        Args:
            names: Steps that must have succeeded before, added to those that the step requires by itself.
            before: Steps that must wait for this one.
            undone_by: See the attribute.
        """
        self.requires = (*self.requires, *names)
        self.required_by = (*self.required_by, *before)
        self.undone_by = undone_by or self.undone_by
        return self


class EnvironmentStep(Step, Generic[EnvironmentT, TenantT]):
    """A step that runs once in an environment."""

    scope = Scope.ENVIRONMENT

    def check(self, context: EnvironmentContext[EnvironmentT, TenantT]) -> Iterable[errors.Fault]:
        """Yield what would stop this step. Reads only; must not need outputs of other steps."""
        return ()

    def observe(self, context: EnvironmentContext[EnvironmentT, TenantT]) -> Any:
        """Read what exists. Its type is the step's own; `plan` receives it."""
        raise NotImplementedError

    def plan(self, context: EnvironmentContext[EnvironmentT, TenantT], observed: Any) -> Change | NoChange:
        """Compare; touch nothing."""
        raise NotImplementedError

    def apply(self, context: EnvironmentContext[EnvironmentT, TenantT], change: Change) -> Outputs:
        """Make the change. Safe to be killed at any moment and to be run again."""
        raise NotImplementedError


class TenantStep(Step, Generic[EnvironmentT, TenantT]):
    """A step that runs once for each selected tenant."""

    scope = Scope.TENANT

    def check(self, context: TenantContext[EnvironmentT, TenantT]) -> Iterable[errors.Fault]:
        """Yield what would stop this step. Reads only; must not need outputs of other steps."""
        return ()

    def observe(self, context: TenantContext[EnvironmentT, TenantT]) -> Any:
        """Read what exists. Its type is the step's own; `plan` receives it."""
        raise NotImplementedError

    def plan(self, context: TenantContext[EnvironmentT, TenantT], observed: Any) -> Change | NoChange:
        """Compare; touch nothing."""
        raise NotImplementedError

    def apply(self, context: TenantContext[EnvironmentT, TenantT], change: Change) -> Outputs:
        """Make the change. Safe to be killed at any moment and to be run again."""
        raise NotImplementedError


def digest(value: Json) -> str:
    """A short, stable digest of anything serialisable: 16 hexadecimal digits of SHA-256."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
