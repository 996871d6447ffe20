"""The wiring of `dags-sync` and `dags-rollback`: which version, what comes after it, what is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.dags.check import commit_check
from airflow_platform.engine.report import Report
from airflow_platform.manifests import airflow as manifest
from airflow_platform.reporting import document, summary
from airflow_platform.runtimes import following
from airflow_platform.tasks import ledger, recording, wiring
from airflow_platform.tasks.bringing import Call, Scene
from airflow_platform.tools import dag_branch, git


def sync(call: Call, revision: str, *, rollback_on_error: bool) -> int:
    """Bring a version everywhere; the exit code."""
    scene = Scene(call)
    commit = commit_check.resolved(scene.runner, revision)
    wanted = dag_branch.Wanted(
        source=commit.sha,
        tree=commit.tree,
        objects=following.objects(scene.runner),
        message=f"Serve the DAGs of {commit.sha[:12]}",
    )
    if left := git.uncommitted(scene.runner, paths.CHECKOUT, manifest.FOLDER):
        scene.notes.append(f"{len(left)} under dags/ not committed, so not synced: {', '.join(left)}.")
    report = scene.execute(call.task, wanted, must_pass=True)
    if call.plan:
        return _tell(scene, report, wanted, "")
    report, result = recording.record(scene, report, wanted)
    if rollback_on_error and result == ledger.INCOMPLETE and report.exit_code not in errors.INTERRUPTED:
        report = _undone(scene, report, wanted)
    return _tell(scene, report, wanted, result)


def rollback(call: Call, to: str) -> int:
    """Bring an earlier version everywhere; the exit code."""
    scene = Scene(call)
    scene.branch.refresh(scene.runner)
    wanted, present = _earlier(scene, to)
    report = scene.execute(call.task, wanted, must_pass=False, onto=present)
    if call.plan:
        return _tell(scene, report, wanted, "")
    report, result = recording.record(scene, report, wanted)
    return _tell(scene, report, wanted, result)


def _undone(scene: Scene, report: Report, wanted: dag_branch.Wanted) -> Report:
    """Take a version back that some tenant cannot import; the sync's report, and what came of this."""
    if not scene.unimportable:
        scene.notes.append("Nothing was rolled back: no tenant said that it cannot import the version.")
        return report
    try:
        history, entries = _known(scene)
        earlier = _back_to(ledger.last_good(history, entries))
        undone = scene.execute("dags-rollback", earlier, must_pass=False, onto=recording.moved_to(report))
        undone, _ = recording.record(scene, undone, earlier)
    except errors.Interrupted:
        raise
    except (
        errors.PlatformError
    ) as error:  # Such as another sync that has begun: what is told is the version's.
        fault = errors.Fault("rollback", f"Nothing was rolled back: {error.message}", error.hint)
        return recording.failed(report, fault)
    told = f"version {earlier.tree[:12]} of commit {earlier.source[:12]}"
    if undone.exit_code == 0:
        where = f"in {', '.join(scene.call.environments)}" if scene.call.environments else "everywhere"
        scene.notes.append(f"Rolled back {where} to {told}; version {wanted.tree[:12]} is no longer served.")
        return report
    if recording.moved_to(undone):
        scene.notes.append(f"The rollback to {told} did not reach every tenant.")
    report = dataclasses.replace(report, faults=(*report.faults, *undone.faults))
    if undone.exit_code in errors.INTERRUPTED:
        return dataclasses.replace(report, status=undone.status, exit_code=undone.exit_code)
    return report


def _earlier(scene: Scene, to: str) -> tuple[dag_branch.Wanted, str]:
    """The version that a rollback goes to, and the commit that it takes back: no other, whoever syncs meanwhile.

    Raises:
        UsageError: There is none, or none is called so.
    """
    history, entries = _known(scene)
    present = history[0].commit
    if to:
        return _back_to(ledger.named(history, to)), present
    chosen = ledger.target(history, entries)
    if chosen is history[0]:
        scene.notes.append(
            f"This goes on with the rollback to {chosen.source[:12]}, which was not served everywhere yet; --to "
            "goes elsewhere."
        )
    return _back_to(chosen), present


def _known(scene: Scene) -> tuple[tuple[dag_branch.Synced, ...], tuple[Mapping[str, object], ...]]:
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


def _tell(scene: Scene, report: Report, wanted: dag_branch.Wanted, result: str) -> int:
    call = scene.call
    data = {
        "source": wanted.source,
        "version": wanted.tree,
        "commit": recording.moved_to(report),
        "result": result,
        "differences": {place: each.to_json() for place, each in scene.differences.items()},
        "notes": scene.notes,
    }
    report = dataclasses.replace(report, data=data)
    if call.json:
        document.write(report)
    then = (f"{wiring.DOOR} dags-status",) if report.exit_code == 0 else ()
    summary.show(report, notes=scene.notes, next_commands=then, tracebacks=call.tracebacks)
    return report.exit_code
