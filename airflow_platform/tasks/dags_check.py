"""`dags-check`: what Airflow would make of a commit's DAGs, and whether they keep to the rules."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import load, paths
from airflow_platform.dags.check import commit_check, result_cache
from airflow_platform.dags.check.findings import FOLDER, Checked
from airflow_platform.engine import signals
from airflow_platform.reporting import findings as shown
from airflow_platform.reporting import output
from airflow_platform.tasks.command_line import CommandLine
from airflow_platform.tools import files
from airflow_platform.tools.git import git


def check(
    line: CommandLine, revision: str, environments: Sequence[str], junit: str, code_quality: str
) -> int:
    """Check, show, write; the exit code.

    Args:
        line: The command line.
        revision: What to check.
        environments: Whose tenants are considered; none for all.
        junit: A file for the findings as JUnit has them; "" for none.
        code_quality: The same as GitLab's code quality report has them.
    """
    began = time.monotonic()
    _require_known(environments)
    with signals.handled(line.runner.interruption):
        commit = commit_check.resolved(line.runner, revision)
        uncommitted = git.uncommitted(line.runner, paths.project().root, FOLDER)
        checked = commit_check.check(
            commit,
            result_cache.declared(environments),
            runner=line.runner,
            progress=lambda text: line.reporter.note(text),  # noqa: PLW0108 - a known result needs no reporter.
        )
    unwritten = _write(checked, junit, code_quality)
    code = errors.ExitCode.FAILED if checked.count("error") or unwritten else errors.ExitCode.DONE
    if line.json:
        from airflow_platform.engine.report import Report
        from airflow_platform.reporting import document

        data = {**checked.to_json(), "uncommitted": list(uncommitted)}
        status = "findings" if checked.count("error") else "failed" if unwritten else "passed"
        found = () if unwritten is None else unwritten.faults()
        document.write(Report(line.task, None, status, int(code), found, data=data))
        return int(code)
    output.answer(shown.text(checked.findings))
    output.answer(_summary(checked, len(uncommitted), time.monotonic() - began))
    if unwritten is not None:
        raise unwritten
    return int(code)


def _require_known(names: Sequence[str]) -> None:
    """Refuse to check for nobody.

    Raises:
        UsageError: There is no environment of a name, or none at all.
    """
    if not load.names():
        raise errors.UsageError(
            f"No environment is declared in {paths.project().environments}.",
            hint="A DAG is checked for tenants: declare one.",
        )
    for name in names:
        load.require(name)


def _write(checked: Checked, junit: str, code_quality: str) -> errors.StateError | None:
    """Write the reports that are wanted; why one cannot be written, which is told after the findings."""
    if not (junit or code_quality):
        return None
    from airflow_platform.reporting import finding_formats

    places = [f"{FOLDER}/{each.path}" for each in checked.files]
    try:
        if junit:
            _put(junit, finding_formats.junit(checked.findings, places))
        if code_quality:
            _put(code_quality, finding_formats.code_quality(checked.findings))
    except errors.StateError as error:
        return error
    return None


def _put(place: str, text: str) -> None:
    path = Path(place).absolute()
    with errors.state_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, text, mode=0o644)


def _summary(checked: Checked, uncommitted: int, seconds: float) -> str:
    dags = len(checked.ids)
    figures = (
        f"{_count(checked.count('error'), 'error')}, {_count(checked.count('warning'), 'warning')}: "
        f"{_count(dags, 'DAG')} in {_count(len(checked.files), 'file')}, {checked.imported} imported, {seconds:.1f} s"
    )
    lines = [f"dags-check {checked.commit[:12]} (version {checked.tree[:12]}): {figures}\n"]
    if uncommitted:
        lines.append(f"{_count(uncommitted, 'file')} under {FOLDER}/ not committed, so not checked.\n")
    return "".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
