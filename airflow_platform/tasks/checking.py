"""The wiring of `dags-check`: commit, environments, check, formats."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors, programs
from airflow_platform.config import load, paths
from airflow_platform.dags.check import commit_check, result_cache
from airflow_platform.dags.check.findings import FOLDER, Checked
from airflow_platform.engine import signals
from airflow_platform.reporting import findings as shown
from airflow_platform.reporting import output
from airflow_platform.tools import files, git

TASK = "dags-check"


@dataclass(frozen=True)
class Call:
    """What a command line says."""

    ref: str
    environments: tuple[str, ...] = ()
    json: bool = False
    junit: str = ""
    code_quality: str = ""
    tracebacks: bool = False


def check(call: Call) -> int:
    """Check, tell, write; the exit code."""
    began = time.monotonic()
    runner = programs.Programs(marker={"AIRFLOW_PLATFORM_RUN": f"{TASK}-{os.getpid()}"})
    _require_known(call.environments)
    with signals.handled(runner.interruption):
        commit = commit_check.resolved(runner, call.ref)
        uncommitted = git.uncommitted(runner, paths.CHECKOUT, FOLDER)
        checked = commit_check.check(
            commit,
            result_cache.declared(call.environments),
            runner=runner,
            progress=lambda text: _note(call, text),
        )
    unwritten = _write(call, checked)
    code = errors.ExitCode.FAILED if checked.count("error") or unwritten else errors.ExitCode.DONE
    if call.json:
        _tell(checked, uncommitted, int(code), unwritten)
        return int(code)
    output.answer(shown.text(checked.findings))
    output.answer(_summary(checked, len(uncommitted), time.monotonic() - began))
    if unwritten is not None:
        raise unwritten
    return int(code)


def _note(call: Call, text: str) -> None:
    from airflow_platform.reporting import choosing as reporters

    reporters.choose(sys.stderr, os.environ, json=call.json).note(text)


def _require_known(names: Sequence[str]) -> None:
    """Refuse to check for nobody.

    Raises:
        UsageError: There is no environment of a name, or none at all.
    """
    if not load.names():
        raise errors.UsageError(
            f"No environment is declared in {paths.environments()}.",
            hint="A DAG is checked for tenants: declare one.",
        )
    for name in names:
        load.require(name)


def _write(call: Call, checked: Checked) -> errors.StateError | None:
    """Write the reports that are wanted; why one cannot be written, which is told after the findings."""
    if not (call.junit or call.code_quality):
        return None
    from airflow_platform.reporting import finding_formats

    places = [f"{FOLDER}/{each.path}" for each in checked.files]
    try:
        if call.junit:
            _put(call.junit, finding_formats.junit(checked.findings, places))
        if call.code_quality:
            _put(call.code_quality, finding_formats.code_quality(checked.findings))
    except errors.StateError as error:
        return error
    return None


def _put(place: str, text: str) -> None:
    path = Path(place).absolute()
    with files.state_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, text, mode=0o644)


def _tell(
    checked: Checked, uncommitted: Sequence[str], code: int, unwritten: errors.StateError | None
) -> None:
    from airflow_platform.engine.report import Report
    from airflow_platform.reporting import document

    data = {**checked.to_json(), "uncommitted": list(uncommitted)}
    status = "findings" if checked.count("error") else "failed" if unwritten else "passed"
    found = () if unwritten is None else unwritten.faults()
    document.write(Report(TASK, None, status, code, found, data=data))


def _summary(checked: Checked, uncommitted: int, seconds: float) -> str:
    dags = len(checked.ids)
    figures = (
        f"{_count(checked.count('error'), 'error')}, {_count(checked.count('warning'), 'warning')}: "
        f"{_count(dags, 'DAG')} in {_count(len(checked.files), 'file')}, {checked.anew} checked anew, {seconds:.1f} s"
    )
    lines = [f"{TASK} {checked.commit[:12]} (version {checked.tree[:12]}): {figures}\n"]
    if uncommitted:
        lines.append(f"{_count(uncommitted, 'file')} under {FOLDER}/ not committed, so not checked.\n")
    return "".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
