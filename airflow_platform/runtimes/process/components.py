"""A tenant's components: under a supervisor, healthy, and warm."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.config.components import AIRFLOW, FAKESNOW
from airflow_platform.engine import step
from airflow_platform.runtimes.process import manifest as manifests
from airflow_platform.runtimes.process import supervisor_client
from airflow_platform.runtimes.process.supervisor.spec import Component, Spec, Status
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tenants import health, startup
from airflow_platform.tenants.access import OpenAccess
from airflow_platform.tenants.contexts import TenantContext, TenantStep, asked_restarts
from airflow_platform.tools import ports, processes, users

START_TIMEOUT = 60.0
"""Seconds until the supervisor has started every process once; they need not be healthy yet."""

STOP_TIMEOUT = 60.0
"""Seconds until all have stopped: the longest `stop_timeout` of a component is 25."""


@dataclass(frozen=True)
class Observed:
    """What should run, what does, and what is still missing for `healthy` ("" for nothing)."""

    wanted: Spec | None
    status: Status | None
    missing: str
    redefined: tuple[str, ...] = ()
    """Components that the supervisor was told otherwise the last time, a restart apart."""


class Components(TenantStep):
    """Outputs: `url`, `user`, `password_file`, `start` (which start of the components this is),
    `snowflake` (`host` and `port` of the tenant's fakesnow as its tasks see it, or null).

    On the way down `left`: what it saw of the tenant when all was stopped.
    """

    name = "components"
    publishes = ("url", "user", "password_file", "left")

    def __init__(self, place: state_files.EnvironmentFiles, access: OpenAccess) -> None:
        self._place = place
        self._access = access

    def observe(self, context: TenantContext) -> Observed:
        place = self._place.tenant(context.tenant.name)
        status = supervisor_client.status(place.run)
        if context.goal is step.Goal.ABSENT:
            return Observed(None, status, _left(place))
        wanted = self._wanted(context)
        redefined = _redefined(wanted, supervisor_client.read_spec(place.run))
        return Observed(wanted, status, self._missing(context, status), redefined)

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.wanted is None:
            return _plan_stop(observed)
        if observed.status is None:
            names = ", ".join(each.name for each in observed.wanted.components)
            return startup.changing(f"start {names}", observed.redefined)
        if summary := _differences(observed.wanted, observed.status):
            return startup.changing(summary, observed.redefined)
        if observed.missing:
            return startup.waiting(observed.missing)
        return step.NoChange(startup.HEALTHY, self._outputs(context, observed.status))

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        place = self._place.tenant(context.tenant.name)
        if context.goal is step.Goal.ABSENT:
            return _stop(context, place)
        supervisor_client.write_spec(place.run, self._wanted(context))
        status = self._supervise(context, place)
        before = {each.name: each.restarts for each in status.components}
        startup.wait(
            context,
            lambda: self._waiting_for(context, before),
            lambda: self._access(context.tenant.name),
            timeout=context.environment.process.start_timeout,
        )
        return self._outputs(context, supervisor_client.status(place.run) or status)

    def _supervise(self, context: TenantContext, place: state_files.TenantFiles) -> Status:
        """Have the supervisor run what was written; one that is just ending is waited for and replaced."""
        sleep = context.programs.interruption.sleep
        if supervisor_client.status(place.run) is not None:
            try:
                return supervisor_client.reload(place.run, START_TIMEOUT, sleep=sleep)
            except errors.ProgramError:
                if supervisor_client.status(place.run) is not None:
                    raise
        if not supervisor_client.is_held(place.run):
            # What a killed supervisor left behind would hold ports and the database.
            processes.end(supervisor_client.processes_of(place.directory), grace=10.0, sleep=sleep)
        return supervisor_client.start(
            place.run, python=Path(sys.executable), timeout=START_TIMEOUT, sleep=sleep
        )

    def _wanted(self, context: TenantContext) -> Spec:
        at = _machine(context, self._place)
        tenant = context.tenant
        return manifests.supervised(
            tenant,
            context.environment.dags,
            at,
            user=users.of_tenant(at.place.directory),
            snowflake=_fakesnow(context, at),
            generations=_generations(context, at.place),
        )

    def _missing(self, context: TenantContext, status: Status | None) -> str:
        """What keeps the tenant from being healthy; "" for nothing."""
        if status is None:
            return "the supervisor"
        with self._access(context.tenant.name) as opened:
            return health.missing(status.components, opened.airflow)

    def _waiting_for(self, context: TenantContext, before: Mapping[str, int]) -> str:
        """The same while it starts.

        Raises:
            StepError: A component ends again and again: waiting is of no use.
        """
        place = self._place.tenant(context.tenant.name)
        status = supervisor_client.status(place.run)
        for each in status.components if status else ():
            if each.state != "running":
                _give_up_on(place, each.name, each.restarts - before.get(each.name, 0), each.last_exit)
        return self._missing(context, status)

    def _outputs(self, context: TenantContext, status: Status) -> step.Outputs:
        place = self._place.tenant(context.tenant.name)
        return {
            "url": _url(context),
            "user": manifest.ADMIN,
            "password_file": str(place.admin_password),
            "snowflake": _snowflake(context),
            "start": step.digest([[each.name, each.pid, each.started_at] for each in status.components]),
        }


_LEFT_NOTHING = {"left": "no process, port, socket or lock (looked)"}


def _plan_stop(observed: Observed) -> step.Change | step.NoChange:
    if not observed.missing:
        return step.NoChange(startup.DOWN, _LEFT_NOTHING)
    running = observed.status.components if observed.status else ()
    return step.Change(
        f"stop {len(running)} processes" if running else f"end what is left: {observed.missing}"
    )


def _stop(context: TenantContext, place: state_files.TenantFiles) -> step.Outputs:
    sleep = context.programs.interruption.sleep
    context.progress("stopping")
    taken = _listened_on(place)
    supervisor_client.stop(place.run, STOP_TIMEOUT, sleep=sleep)
    processes.end(supervisor_client.processes_of(place.directory), grace=10.0, sleep=sleep)
    context.wait_for("everything to be gone", lambda: _left(place, taken), timeout=15.0)
    return _LEFT_NOTHING


def _machine(context: TenantContext, place: state_files.EnvironmentFiles) -> manifests.Machine:
    return manifests.Machine(
        place=place.tenant(context.tenant.name),
        port=context.outputs("ports")["airflow"],
        programs=Path(context.outputs("airflow-packages")["programs"]),
        repository=Path(context.outputs("dag-repository")["repository"]),
    )


def _fakesnow(context: TenantContext, at: manifests.Machine) -> Component | None:
    if context.tenant.snowflake.account is not None:
        return None
    return manifests.fakesnow(
        context.tenant,
        at,
        port=context.outputs("ports")["snowflake"],
        environment=Path(context.outputs("snowflake-packages")["environment"]),
    )


def _snowflake(context: TenantContext) -> step.Json:
    """Where the tenant's tasks find its fakesnow; None with an account."""
    if context.tenant.snowflake.account is not None:
        return None
    return {"host": "localhost", "port": context.outputs("ports")["snowflake"]}


def _generations(context: TenantContext, place: state_files.TenantFiles) -> dict[str, str]:
    """What makes a component restart besides its settings: its keys, and last, being asked to."""
    keys = context.outputs("keys")["fingerprint"]
    certificate = context.outputs("certificates")["fingerprint"]
    asked = asked_restarts(place)
    generation = step.digest([keys, certificate])
    return {name: f"{generation} {asked.get(name, '')}".strip() for name in (*AIRFLOW, FAKESNOW)}


def _url(context: TenantContext) -> str:
    return manifest.address(context.outputs("ports")["airflow"])


def _differences(wanted: Spec, status: Status) -> str:
    """Which components start, stop or restart, for people; "" when none does."""
    running = {each.name: each.digest for each in status.components}
    names = [each.name for each in wanted.components]
    parts = {
        "restart": [
            c.name for c in wanted.components if running.get(c.name, "") not in ("", wanted.digest_of(c))
        ],
        "start": [name for name in names if name not in running],
        "stop": [name for name in running if name not in names],
    }
    return startup.changes(parts)


def _redefined(wanted: Spec, told: Spec | None) -> tuple[str, ...]:
    """The components of which more differs than that a restart was asked for.

    What the supervisor was told decides, not what it has got round to: whoever told it was about to bring that in.
    """
    before = {} if told is None else {each.name: _definition(told, each) for each in told.components}
    after = {each.name: _definition(wanted, each) for each in wanted.components}
    return tuple(name for name in {**after, **before} if before.get(name) != after.get(name))


def _definition(spec: Spec, component: Component) -> str:
    """The digest of a component without what asks for its restart."""
    generation = component.generation.partition(" ")[0]
    return spec.digest_of(dataclasses.replace(component, generation=generation))


def _give_up_on(place: state_files.TenantFiles, component: str, restarts: int, last_exit: str) -> None:
    if restarts < startup.HOPELESS:
        return
    log = place.log(component)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    raise startup.given_up(component, restarts, last_exit, str(log), lines[-startup.LINES :])


def _listened_on(place: state_files.TenantFiles) -> tuple[int, ...]:
    """The ports on which the tenant's processes listen; one that a stranger has taken is not among them."""
    mine = {each.pid for each in supervisor_client.processes_of(place.directory)}
    return tuple(each.port for each in processes.listeners() if each.pid in mine)


def _left(place: state_files.TenantFiles, taken: Iterable[int] = ()) -> str:
    """What is still there of a tenant that should be down; "" for nothing. It really looks.

    Args:
        place: The tenant's.
        taken: Ports on which it listened when all of it was running.
    """
    if supervisor_client.is_held(place.run):
        return "the supervisor's lock"
    if left := supervisor_client.processes_of(place.directory):
        return f"process {left[0].pid} ({processes.command_of(left[0])})"
    for port in taken:
        if not ports.is_free(port) and (listeners := processes.listeners(port)):
            return f"port {port}, taken by {listeners[0]}"
    return ""
