"""What became of a DAG version, written into the ledger: also when a signal has ended the run."""

from __future__ import annotations

import dataclasses

from airflow_platform import errors, programs
from airflow_platform.engine.report import Report
from airflow_platform.runtimes import following
from airflow_platform.steps import dag_branch as branch_step
from airflow_platform.tasks import ledger
from airflow_platform.tasks.bringing import Scene
from airflow_platform.tools import dag_branch


def record(scene: Scene, report: Report, wanted: dag_branch.Wanted) -> tuple[Report, str]:
    """Write what became of a version into the ledger; the report, and the result ("" when nothing moved).

    Also when a signal has ended the run: what it moved has moved.
    """
    commit = moved_to(report)
    if not commit:
        return report, ""
    result = ledger.result_of(report, everywhere=not scene.call.environments)
    if result == ledger.NOT_PROVED:
        fault = errors.Fault(
            "tenants", "None is up, so nothing was proved.", "They serve the version when they come up."
        )
        report = failed(report, fault, status=result)
    runner = programs.Programs(mask=scene.runner.mask)
    branch = dataclasses.replace(scene.branch, turn=following.turns(runner, scene.reporter.note))
    try:
        if overtaken := _overtaken(branch, runner, wanted):
            # What was proved before stays proved, and good to go back to.
            result = result if result in (ledger.SERVED, ledger.SERVED_IN_PART) else ledger.OVERTAKEN
            report = failed(report, overtaken, status=ledger.OVERTAKEN)
        entry = ledger.entry(
            report,
            wanted,
            commit=commit,
            who=branch.who,
            result=result,
            unasked=[each.environment for each in scene.elsewhere],
        )
        if ledger.says_more(entry, branch.entries(runner)):
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
