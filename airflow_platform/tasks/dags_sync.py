"""`dags-sync` and `dags-rollback`: one DAG version checked, put on the branch, proved in every place, recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.dags import (
    branch_following,
    branch_step,
    check_step,
    dag_branch,
    dag_changes,
    dag_delivery,
    dag_proof,
)
from airflow_platform.dags.check import commit_check, result_cache
from airflow_platform.dags.check.findings import Checked
from airflow_platform.dags.dag_contexts import Project, Target
from airflow_platform.engine import local_store, run, step
from airflow_platform.engine.report import Report, TenantReport
from airflow_platform.programs import programs
from airflow_platform.runtimes import dag_targets
from airflow_platform.tasks import dag_ledger
from airflow_platform.tasks.command_line import DOOR, CommandLine
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tools.git import git

LOCK_TIMEOUT = 60.0
"""Seconds to wait for another sync of this checkout."""


def sync(
    line: CommandLine, revision: str, environments: tuple[str, ...], over: str, *, rollback_on_error: bool
) -> int:
    """Check a version, put it on the branch, prove it everywhere; the exit code."""
    scene = Sync(line, environments, over)
    commit = commit_check.resolved(scene.runner, revision)
    wanted = dag_branch.Wanted(
        source=commit.sha,
        tree=commit.tree,
        objects=branch_following.objects(scene.runner),
        message=f"Serve the DAGs of {commit.sha[:12]}",
    )
    if left := git.uncommitted(scene.runner, paths.project().root, manifest.FOLDER):
        scene.notes.append(f"{len(left)} under dags/ not committed, so not synced: {', '.join(left)}.")
    report = scene.execute(line.task, wanted, must_pass=True)
    if line.plan:
        return _finish(scene, report, wanted, "")
    report, result = record(scene, report, wanted)
    if rollback_on_error and result == dag_ledger.INCOMPLETE and report.exit_code not in errors.INTERRUPTED:
        report = _undone(scene, report, wanted)
    return _finish(scene, report, wanted, result)


def rollback(line: CommandLine, to: str, environments: tuple[str, ...], over: str) -> int:
    """Bring an earlier version everywhere; the exit code."""
    scene = Sync(line, environments, over)
    scene.branch.refresh(scene.runner)
    wanted, present = _earlier(scene, to)
    report = scene.execute(line.task, wanted, must_pass=False, onto=present)
    if line.plan:
        return _finish(scene, report, wanted, "")
    report, result = record(scene, report, wanted)
    return _finish(scene, report, wanted, result)


def _undone(scene: Sync, report: Report, wanted: dag_branch.Wanted) -> Report:
    """Take a version back that some tenant cannot import; the sync's report, and what came of this."""
    if not scene.unimportable:
        scene.notes.append("Nothing was rolled back: no tenant said that it cannot import the version.")
        return report
    try:
        history, entries = _known(scene)
        earlier = _back_to(dag_ledger.last_good(history, entries))
        undone = scene.execute("dags-rollback", earlier, must_pass=False, onto=moved_to(report))
        undone, _ = record(scene, undone, earlier)
    except errors.Interrupted:
        raise
    except (
        errors.PlatformError
    ) as error:  # Such as another sync that has begun: what is told is the version's.
        fault = errors.Fault("rollback", f"Nothing was rolled back: {error.message}", error.hint)
        return failed(report, fault)
    told = f"version {earlier.tree[:12]} of commit {earlier.source[:12]}"
    if undone.exit_code == 0:
        where = f"in {', '.join(scene.environments)}" if scene.environments else "everywhere"
        scene.notes.append(f"Rolled back {where} to {told}; version {wanted.tree[:12]} is no longer served.")
        return report
    if moved_to(undone):
        scene.notes.append(f"The rollback to {told} did not reach every tenant.")
    report = dataclasses.replace(report, faults=(*report.faults, *undone.faults))
    if undone.exit_code in errors.INTERRUPTED:
        return dataclasses.replace(report, status=undone.status, exit_code=undone.exit_code)
    return report


def _earlier(scene: Sync, to: str) -> tuple[dag_branch.Wanted, str]:
    """The version that a rollback goes to, and the commit that it takes back: no other, whoever syncs meanwhile.

    Raises:
        UsageError: There is none, or none is called so.
    """
    history, entries = _known(scene)
    present = history[0].commit
    if to:
        return _back_to(dag_ledger.named(history, to)), present
    chosen = dag_ledger.target(history, entries)
    if chosen is history[0]:
        scene.notes.append(
            f"This goes on with the rollback to {chosen.source[:12]}, which was not served everywhere yet; --to "
            "goes elsewhere."
        )
    return _back_to(chosen), present


def _known(scene: Sync) -> tuple[tuple[dag_branch.Synced, ...], tuple[Mapping[str, object], ...]]:
    """The branch's commits, newest first, and the ledger's entries."""
    history = scene.branch.history(scene.runner, limit=1000)
    if not history:
        raise errors.UsageError("Nothing was ever synced.", hint="`inv dags-sync` does.")
    return history, scene.branch.entries(scene.runner)


def _back_to(chosen: dag_branch.Synced) -> dag_branch.Wanted:
    return dag_branch.Wanted(
        source=chosen.source,
        tree=chosen.tree,
        objects=None,
        message=f"Roll back to the DAGs of {chosen.source[:12]}",
        rollback=True,
    )


def _finish(scene: Sync, report: Report, wanted: dag_branch.Wanted, result: str) -> int:
    data = {
        "source": wanted.source,
        "version": wanted.tree,
        "commit": moved_to(report),
        "result": result,
        "differences": {place: each.to_json() for place, each in scene.differences.items()},
        "notes": scene.notes,
    }
    then = (f"{DOOR} dags-status",) if report.exit_code == 0 else ()
    return scene.line.finish(dataclasses.replace(report, data=data), notes=scene.notes, next_commands=then)


class Sync:
    """What a sync or rollback works on: places, branch, and what was found out about them."""

    def __init__(self, line: CommandLine, environments: tuple[str, ...], over: str) -> None:
        """Read what is declared.

        Args:
            line: The command line.
            environments: Names; none for all.
            over: The beginning of a commit made by hand that may be covered.

        Raises:
            UsageError, ConfigurationError: It does not fit.
            PreflightError: The token for the branch's repository is not there.
        """
        self.line = line
        self.environments = environments
        self.runner = line.runner
        self._over = over
        chosen = dag_targets.environments(environments)
        self.places, self.elsewhere = dag_targets.of(chosen, self.runner, line.reporter.note)
        if not self.places:
            raise errors.UsageError(
                f"Nothing could be proved in {', '.join(each.name for each in chosen)}: "
                f"{'; '.join(each.why for each in self.elsewhere)}.",
                hint="Name an environment whose tenants can be asked.",
            )
        self.branch = branch_following.branch(self.runner, line.reporter.note)
        self.known = dag_changes.Known(self.runner)
        self.differences: dict[str, dag_proof.Difference] = {}
        self.unimportable: set[str] = set()
        self.notes = [f"{each.environment} was not looked at: {each.why}." for each in self.elsewhere]

    def execute(self, task: str, wanted: dag_branch.Wanted, *, must_pass: bool, onto: str = "") -> Report:
        """Check a version, move the branch to it, and prove it in every place."""
        source = self.branch.repository
        before: dict[str, str] = {}
        version = dag_changes.Version(wanted.objects.parent if wanted.objects else source, wanted.tree)

        def look_and_check(context: step.Context[Project]) -> Checked:
            before.update(self._served())  # As late as can be, and before the branch moves.
            return self._check(context, version, wanted)

        check = check_step.DagCheck(
            look_and_check,
            revision=wanted.source,
            must_pass=must_pass,
        )
        steps = (
            check,
            branch_step.MovedBranch(self.branch, wanted, over=self._over, onto=onto).after(check.name),
            dag_delivery.Delivery(source).after("dag-branch"),
            dag_proof.Proof(
                version,
                known=self.known,
                source=source,
                dags=lambda context: context.outputs(check.name)["dags"],
                unread=lambda context: context.outputs(check.name)["unread"],
                before=lambda place: before.get(place, ""),
                on_difference=self.differences.__setitem__,
                on_unimportable=self.unimportable.add,
            ).after("delivery", check.name),
        )
        store = local_store.LocalStore(
            paths.dag_state(),
            "all DAGs",
            lock_timeout=LOCK_TIMEOUT,
            programs=self.runner,
            on_note=self.line.reporter.note,
        )
        order = self.line.order(
            Project(),
            self.places,
            steps,
            store,
            goal=step.Goal.PRESENT,
            reached=dag_ledger.SERVED,
            workers=max(8, 2 * len(self.places)),
        )
        report = run.execute(dataclasses.replace(order, task=task))
        return dataclasses.replace(report, environment=None, tenants=tuple(map(_stated, report.tenants)))

    def _served(self) -> dict[str, str]:
        """The commits that all places serve, by their names."""
        with ThreadPoolExecutor(len(self.places)) as pool:
            return dict(
                zip((place.name for place in self.places), pool.map(_serves, self.places), strict=True)
            )

    def _check(
        self, context: step.Context[Project], version: dag_changes.Version, wanted: dag_branch.Wanted
    ) -> Checked:
        """For the tenants of all environments: the branch moves for all, whoever is waited for."""
        return commit_check.check(
            git.Commit(wanted.source, wanted.tree),
            result_cache.declared(()),
            runner=context.programs,
            progress=context.progress,
            checkout=version.repository,
        )


def _serves(place: Target) -> str:
    """The commit that a place serves; "" where nobody can say."""
    try:
        return "" if place.down() else place.commit()
    except errors.Interrupted:
        raise
    except errors.PlatformError:
        return ""


def _stated(tenant: TenantReport) -> TenantReport:
    """A tenant that is down serves nothing, and is not called served."""
    outputs = {key: value for key, value in tenant.outputs.items() if key != "state"}
    down = tenant.outputs.get("state") == "down"
    return dataclasses.replace(tenant, status="down" if down else tenant.status, outputs=outputs)


def record(scene: Sync, report: Report, wanted: dag_branch.Wanted) -> tuple[Report, str]:
    """Write what became of a version into the ledger; the report, and the result ("" when nothing moved).

    Also when a signal has ended the run: what it moved has moved.
    """
    commit = moved_to(report)
    if not commit:
        return report, ""
    result = dag_ledger.result_of(report, everywhere=not scene.environments)
    if result == dag_ledger.NOT_PROVED:
        fault = errors.Fault(
            "tenants", "None is up, so nothing was proved.", "They serve the version when they come up."
        )
        report = failed(report, fault, status=result)
    runner = programs.Programs(mask=scene.runner.mask)
    branch = dataclasses.replace(scene.branch, turn=branch_following.turns(runner, scene.line.reporter.note))
    try:
        if overtaken := _overtaken(branch, runner, wanted):
            # What was proved before stays proved, and good to go back to.
            result = (
                result if result in (dag_ledger.SERVED, dag_ledger.SERVED_IN_PART) else dag_ledger.OVERTAKEN
            )
            report = failed(report, overtaken, status=dag_ledger.OVERTAKEN)
        entry = dag_ledger.entry(
            report,
            wanted,
            commit=commit,
            who=branch.who,
            result=result,
            unasked=[each.environment for each in scene.elsewhere],
        )
        if dag_ledger.says_more(entry, branch.entries(runner)):
            branch.record(runner, entry)
        if spoiled := branch.spoiled(runner):
            lines = ", ".join(map(str, spoiled))
            scene.notes.append(
                f"Branch {branch.ledger} was written to by hand: no entries are lines {lines}."
            )
    except errors.PlatformError as error:
        report = failed(report, errors.Fault(f"ledger {branch.ledger}", error.message, error.hint))
    return report, result


def _overtaken(
    branch: dag_branch.DagBranch, runner: programs.Programs, wanted: dag_branch.Wanted
) -> errors.Fault | None:
    """What somebody else has put on top meanwhile, unless it is the same version."""
    branch.refresh(runner)
    head = branch.head(runner)
    if head is None or head.tree == wanted.tree:
        return None
    return errors.Fault(
        f"branch {branch.name}",
        f"{head.who} has put version {head.tree[:12]} ({head.subject}) on top meanwhile.",
        "All tenants follow that one; `inv dags-status` shows where they are.",
    )


def failed(report: Report, fault: errors.Fault, *, status: str = "") -> Report:
    """The report with one more fault; an exit code that says more than "failed" stays."""
    return dataclasses.replace(
        report,
        status=status or report.status,
        exit_code=report.exit_code or int(errors.ExitCode.FAILED),
        faults=(*report.faults, fault),
    )


def moved_to(report: Report) -> str:
    """The commit that the branch is at after a run; "" when it did not come to that, or was only planned."""
    steps = {each.name: each.outputs for each in report.steps}
    return str(steps.get(branch_step.MovedBranch.name, {}).get("commit", ""))
