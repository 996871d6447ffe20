"""The wiring of `dags-sync` and `dags-rollback`: places, branch, engine, ledger, summary."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_platform import errors, programs
from airflow_platform.config import load, paths, specs
from airflow_platform.engine import run, step, store
from airflow_platform.engine.report import OneAtATime, Outcome, Report, TenantReport
from airflow_platform.reporting import choosing as reporters
from airflow_platform.reporting import document, summary
from airflow_platform.runtimes import dag_checks, dag_places, following
from airflow_platform.steps import dag_branch as branch_step
from airflow_platform.steps import dag_check, dag_delivery, dag_proof
from airflow_platform.steps.dag_contexts import Project
from airflow_platform.tools import dag_branch, dag_changes
from airflow_platform.tools.dag_branch import Synced

SERVED, INCOMPLETE = "served", "not served everywhere"
"""What became of a version, as the ledger has it."""

LOCK_TIMEOUT = 60.0
"""Seconds to wait for another sync of this checkout."""


@dataclasses.dataclass(frozen=True)
class Call:
    """What a command line says, apart from what it is about."""

    task: str
    environments: tuple[str, ...] = ()
    over: str = ""
    plan: bool = False
    json: bool = False
    tracebacks: bool = False


class Scene:
    """All that a sync or rollback is about; made once a command."""

    def __init__(self, call: Call) -> None:
        """Read what is declared.

        Raises:
            UsageError, ConfigurationError: It does not fit.
        """
        self.call = call
        self.reporter = OneAtATime(reporters.choose(sys.stderr, os.environ, json=call.json))
        self.runner = programs.Programs(marker={"AIRFLOW_PLATFORM_RUN": f"dags-{os.getpid()}"})
        self.environments: Sequence[specs.Environment] = dag_places.environments(call.environments)
        self.places, self.elsewhere = dag_places.of(self.environments, self.runner)
        self.branch = following.branch(self.runner)
        self.known = dag_changes.Known(self.runner)
        self.differences: dict[str, dag_proof.Difference] = {}

    def execute(self, task: str, wanted: dag_branch.Wanted, first: Sequence[step.Step]) -> Report:
        """Move the branch and prove it everywhere; `first` are steps that must succeed before."""
        before = [each.name for each in first]
        source = self.branch.repository
        version = dag_changes.Version(wanted.objects.parent if wanted.objects else source, wanted.tree)
        steps = (
            *first,
            branch_step.MovedBranch(self.branch, wanted, over=self.call.over, requires=before),
            dag_delivery.Delivery(source),
            dag_proof.Proof(
                version,
                known=self.known,
                source=source,
                dags=lambda context: context.outputs(before[0])["dags"] if before else None,
                on_difference=self.differences.__setitem__,
                requires=before,
            ),
        )
        order = run.Order(
            task=task,
            environment=Project(),
            tenants=self.places,
            goal=step.Goal.PRESENT,
            steps=steps,
            store=store.LocalStore(
                paths.dag_state(),
                "all DAGs",
                lock_timeout=LOCK_TIMEOUT,
                programs=self.runner,
                on_note=self.reporter.note,
            ),
            reporter=self.reporter,
            programs=self.runner,
            planning=self.call.plan,
            reached="served",
            workers=max(8, 2 * len(self.places)),
        )
        report = run.execute(order)
        return dataclasses.replace(report, environment=None, tenants=tuple(map(_stated, report.tenants)))

    def record(self, report: Report, wanted: dag_branch.Wanted) -> str:
        """Write what became of a version into the ledger; returns the result, "" when nothing was moved."""
        moved = next((each for each in report.steps if each.name == branch_step.MovedBranch.name), None)
        if moved is None or "commit" not in moved.outputs:
            return ""
        result = SERVED if report.exit_code == 0 else INCOMPLETE
        states = {each.name: each.status for each in report.tenants}
        entry = {
            "task": report.task,
            "who": self.branch.who,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": moved.outputs["commit"],
            "source": wanted.source,
            "version": wanted.tree,
            "environments": _by_environment(states),
            "result": result,
            "job": os.environ.get("CI_JOB_URL", ""),
        }
        known = self.branch.entries(self.runner)
        if moved.status is Outcome.CHANGED or not known or _differs(known[-1], entry):
            self.branch.record(self.runner, entry)
        return result


def sync(call: Call, revision: str, *, rollback_on_error: bool) -> int:
    """Bring a version everywhere; the exit code."""
    scene = Scene(call)
    commit = following.resolved(scene.runner, revision)
    wanted = dag_branch.Wanted(
        source=commit.sha,
        tree=commit.tree,
        objects=following.objects(scene.runner),
        message=f"Serve the DAGs of {commit.sha[:12]}",
    )
    check = dag_check.DagCheck(
        lambda context: dag_checks.check(
            commit,
            scene.environments,
            runner=scene.runner,
            progress=context.progress,
            rules=load.dag_project().rules,
        ),
        revision=commit.sha,
    )
    report = scene.execute("dags-sync", wanted, [check])
    notes: list[str] = []
    if not call.plan and scene.record(report, wanted) == INCOMPLETE and rollback_on_error:
        report, notes = _undone(scene, report, wanted)
    return _tell(scene, report, notes)


def rollback(call: Call, to: str) -> int:
    """Bring an earlier version everywhere; the exit code."""
    scene = Scene(call)
    scene.branch.refresh(scene.runner)
    wanted = _earlier(scene, to)
    report = scene.execute("dags-rollback", wanted, [])
    if not call.plan:
        scene.record(report, wanted)
    return _tell(scene, report, [])


def _undone(scene: Scene, report: Report, wanted: dag_branch.Wanted) -> tuple[Report, list[str]]:
    """Take a version back that some tenant could not serve; the report of the sync, and what came of this."""
    if not any(step_.status is Outcome.FAILED for each in report.tenants for step_ in each.steps):
        return report, ["Nothing was rolled back: no tenant has tried the version."]
    try:
        earlier = _earlier(scene, "")
    except errors.UsageError as error:
        return report, [f"Nothing was rolled back: {error}"]
    undone = scene.execute("dags-rollback", earlier, [])
    scene.record(undone, earlier)
    told = f"version {earlier.tree[:12]} of commit {earlier.source[:12]}"
    if undone.exit_code == 0:
        return report, [f"Rolled back everywhere to {told}; version {wanted.tree[:12]} is no longer served."]
    faults = (*report.faults, *undone.faults)
    return dataclasses.replace(report, faults=faults), [f"The rollback to {told} did not reach every tenant."]


def _earlier(scene: Scene, to: str) -> dag_branch.Wanted:
    """The version that a rollback goes to.

    Raises:
        UsageError: There is none, or none is called so.
    """
    history = scene.branch.history(scene.runner, limit=1000)
    if not history:
        raise errors.UsageError("Nothing was ever synced.", hint="`inv dags-sync` does.")
    chosen = _named(history, to) if to else _last_good(scene, history)
    return dag_branch.Wanted(
        source=chosen.source,
        tree=chosen.tree,
        objects=None,
        message=f"Roll back to the DAGs of {chosen.source[:12]}",
    )


def _named(history: Sequence[Synced], to: str) -> Synced:
    found = {
        each.tree: each
        for each in history
        if not each.foreign and any(text.startswith(to) for text in (each.commit, each.source, each.tree))
    }
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        names = ", ".join(sorted(each.source[:12] for each in found.values()))
        raise errors.UsageError(f"--to={to} means several versions: {names}.", hint="Give more digits.")
    raise errors.UsageError(
        f"No version that was synced is called {to!r}.",
        hint="Give the beginning of a commit or version that the ledger names; for any other commit: "
        f"inv dags-sync --ref={to}.",
    )


def _last_good(scene: Scene, history: Sequence[Synced]) -> Synced:
    """The newest version other than the present one that the ledger calls served."""
    good = {entry["version"] for entry in scene.branch.entries(scene.runner) if entry["result"] == SERVED}
    for each in history[1:]:
        if each.tree in good and each.tree != history[0].tree and not each.foreign:
            return each
    raise errors.UsageError(
        "The ledger knows no other version that was served everywhere.",
        hint="Name one: inv dags-rollback --to=COMMIT.",
    )


def _stated(tenant: TenantReport) -> TenantReport:
    """A tenant that is down serves nothing, and is not called served."""
    outputs = {key: value for key, value in tenant.outputs.items() if key != "state"}
    down = tenant.outputs.get("state") == "down"
    return dataclasses.replace(tenant, status="down" if down else tenant.status, outputs=outputs)


def _by_environment(states: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, state in states.items():
        environment, _, tenant = name.partition("/")
        found.setdefault(environment, {})[tenant] = state
    return found


def _differs(known: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether an entry says more than the last one does."""
    return any(known.get(key) != entry[key] for key in ("commit", "result", "environments"))


def _tell(scene: Scene, report: Report, notes: Sequence[str]) -> int:
    call = scene.call
    differences = {place: each.to_json() for place, each in scene.differences.items()}
    report = dataclasses.replace(report, data={"differences": differences} if differences else None)
    if call.json:
        document.write(report)
    told = [
        *notes,
        *(f"{each.environment} was not looked at: {each.why}." for each in scene.elsewhere),
    ]
    summary.show(report, notes=told, next_commands=_next(report), tracebacks=call.tracebacks)
    return report.exit_code


def _next(report: Report) -> tuple[str, ...]:
    return ("scripts/inv dags-status",) if report.exit_code == 0 else ()
