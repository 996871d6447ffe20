"""A tenant's components in containers: made, healthy, and warm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.config.components import FAKESNOW
from airflow_platform.engine import step
from airflow_platform.runtimes.docker import health, resource_owner
from airflow_platform.runtimes.docker import manifest as manifests
from airflow_platform.runtimes.docker.inputs import handed
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tenants import startup
from airflow_platform.tenants.access import OpenAccess
from airflow_platform.tenants.contexts import TenantContext, TenantStep, asked_restarts
from airflow_platform.tools.containers import engine_session
from airflow_platform.tools.containers.spec import Container, FoundContainer

ThingT = TypeVar("ThingT")

AT_ONCE = 8
"""Containers that are made or stopped at the same time."""


@dataclass(frozen=True)
class Observed:
    """What should run (none on the way down), what is there, and what is still missing for `healthy`."""

    wanted: tuple[Container, ...]
    found: tuple[FoundContainer, ...]
    missing: str


class Containers(TenantStep):
    """Outputs: `url`, `user`, `password_file`, `start` (which start of the components this is),
    `snowflake` (`host` and `port` of the tenant's fakesnow as its tasks see it, or null).

    On the way down `left`: what it saw of the tenant when all was stopped.
    """

    name = "components"
    publishes = ("url", "user", "password_file", "left")

    def __init__(
        self, place: state_files.EnvironmentFiles, engine: engine_session.Open, access: OpenAccess
    ) -> None:
        self._place = place
        self._open = engine
        self._access = access
        self._owner = resource_owner.of(place)

    def observe(self, context: TenantContext) -> Observed:
        with self._open() as engine:
            found = self._found(context, engine)
            if context.goal is step.Goal.ABSENT:
                return Observed((), found, "")
            wanted = self._wanted(context)
            for each in wanted:
                self._owner.require("container", engine.containers.named(each.name))
            return Observed(wanted, found, self._missing(context, engine, wanted))

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        if context.goal is step.Goal.ABSENT:
            return _plan_removal(observed.found)
        if summary := _differences(observed.wanted, observed.found):
            return startup.changing(summary, _redefined(observed.wanted, observed.found))
        if observed.missing:
            return startup.waiting(observed.missing)
        return step.NoChange(startup.HEALTHY, self._outputs(context, observed.found))

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        with self._open() as engine:
            if context.goal is step.Goal.ABSENT:
                return self._remove(context, engine)
            wanted, found = self._wanted(context), self._found(context, engine)
            self._replace(context, engine, wanted, found)
            before = {each.name: each.restarts for each in self._found(context, engine)}
            startup.wait(
                context,
                lambda: self._waiting_for(context, engine, wanted, before),
                lambda: self._access(context.tenant.name),
                timeout=context.environment.docker.start_timeout,
            )
            return self._outputs(context, self._found(context, engine))

    def _replace(
        self,
        context: TenantContext,
        engine: engine_session.Engine,
        wanted: Sequence[Container],
        found: Sequence[FoundContainer],
    ) -> None:
        """Make what is missing or different, and remove what is not wanted; leave alone what fits."""
        there = {each.name: each for each in found}
        unfit = [each for each in wanted if not _fits(each, there.get(each.name))]
        leaving = {each.name for each in found} - {each.name for each in wanted}
        leaving |= {each.name for each in unfit if each.name in there}
        if leaving:
            context.progress(f"stopping {len(leaving)} containers")
        _each(sorted(leaving), engine.containers.remove)
        context.programs.interruption.raise_if_requested()
        context.progress(f"starting {len(unfit)} containers")
        _each(unfit, engine.containers.start)

    def _waiting_for(
        self,
        context: TenantContext,
        engine: engine_session.Engine,
        wanted: Sequence[Container],
        before: Mapping[str, int],
    ) -> str:
        """What is missing while it starts.

        Raises:
            StepError: A component ends again and again: waiting is of no use.
        """
        for each in self._found(context, engine):
            restarts = each.restarts - before.get(each.name, 0)
            if restarts >= startup.HOPELESS:
                printed = engine.containers.lines(each.name, last=startup.LINES)
                lines = [context.programs.mask(text) for _, text in printed]
                raise startup.given_up(_component(each), restarts, each.last_exit, each.name, lines)
        return self._missing(context, engine, wanted)

    def _missing(
        self, context: TenantContext, engine: engine_session.Engine, wanted: Sequence[Container]
    ) -> str:
        """What keeps the tenant from being healthy; "" for nothing."""
        there = {each.name: each for each in self._found(context, engine)}
        components = {each.labels[manifests.COMPONENT]: there.get(each.name) for each in wanted}
        with self._access(context.tenant.name) as reached:
            return health.missing(
                engine.containers, components, reached.airflow, context.programs.interruption
            )

    def _remove(self, context: TenantContext, engine: engine_session.Engine) -> step.Outputs:
        found = self._found(context, engine)
        context.progress(f"stopping {len(found)} containers")
        _each([each.name for each in found], engine.containers.remove)
        if left := self._found(context, engine):
            raise errors.StepError(
                f"{left[0].name} is still there.", hint="Somebody else starts it; stop that first."
            )
        return _LEFT_NOTHING

    def _wanted(self, context: TenantContext) -> tuple[Container, ...]:
        asked = asked_restarts(self._place.tenant(context.tenant.name))
        return handed(context, self._place, asked).all()

    def _found(self, context: TenantContext, engine: engine_session.Engine) -> tuple[FoundContainer, ...]:
        return engine.containers.found(manifests.labels(self._owner.value, context.tenant.name))

    def _outputs(self, context: TenantContext, found: Sequence[FoundContainer]) -> step.Outputs:
        place = self._place.tenant(context.tenant.name)
        snowflake = {"host": FAKESNOW, "port": manifests.SNOWFLAKE_PORT}
        return {
            "url": _url(context),
            "user": manifest.ADMIN,
            "password_file": str(place.admin_password),
            "snowflake": snowflake if context.tenant.snowflake.account is None else None,
            "start": step.digest([[each.name, each.id, each.started_at] for each in found]),
        }


_LEFT_NOTHING = {"left": "no container (looked)"}


def _plan_removal(found: Sequence[FoundContainer]) -> step.Change | step.NoChange:
    if not found:
        return step.NoChange(startup.DOWN, _LEFT_NOTHING)
    return step.Change(f"stop and remove {len(found)} containers")


def _url(context: TenantContext) -> str:
    return manifest.address(context.outputs("ports")["airflow"])


def _component(found: FoundContainer) -> str:
    return found.labels.get(manifests.COMPONENT, found.name)


def _fits(wanted: Container, found: FoundContainer | None) -> bool:
    """Whether a container may stay: made from this very spec, in its network, and running or about to."""
    if found is None or found.digest != wanted.digest() or wanted.network not in found.networks:
        return False
    return found.state in ("running", "restarting")


def _differences(wanted: Sequence[Container], found: Sequence[FoundContainer]) -> str:
    """Which components start, stop or restart, for people; "" when none does."""
    there = {each.name: each for each in found}
    names = {each.name for each in wanted}
    parts: dict[str, list[str]] = {"restart": [], "start": [], "stop": []}
    for each in wanted:
        known = there.get(each.name)
        if not _fits(each, known):
            running = known is not None and known.running
            parts["restart" if running else "start"].append(each.labels[manifests.COMPONENT])
    parts["stop"] = [_component(each) for each in found if each.name not in names]
    return startup.changes(parts)


def _redefined(wanted: Sequence[Container], found: Sequence[FoundContainer]) -> Iterable[str]:
    """The components of which more differs than that a restart was asked for; one that is gone says nothing."""
    there = {each.name: each for each in found}
    for each in wanted:
        known = there.get(each.name)
        if known and known.digest != each.digest() and known.definition != each.definition():
            yield each.labels[manifests.COMPONENT]
    names = {each.name for each in wanted}
    yield from (_component(each) for each in found if each.name not in names)


def _each(things: Iterable[ThingT], do: Callable[[ThingT], None]) -> None:
    """Do it to several at the same time; the first error is raised when all have ended."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(do, thing) for thing in things]:
            done.result()
