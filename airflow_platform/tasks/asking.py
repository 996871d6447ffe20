"""Answers: what is declared, what would stop a run, what the cache held."""

from __future__ import annotations

import dataclasses
import platform
import sys
from collections.abc import Sequence
from typing import Any

from airflow_platform import errors
from airflow_platform.config import load, paths, specs
from airflow_platform.engine.report import Report
from airflow_platform.reporting import document, tables
from airflow_platform.tasks import running
from airflow_platform.tools import cache


def environments(*, as_json: bool) -> int:
    """Answer `env-list`."""
    found = load.all_environments()
    rows = [
        (each.name, each.runtime, each.protected, ", ".join(t.name for t in each.tenants), each.description)
        for each in found
    ]
    headings = ("environment", "runtime", "protected", "tenants", "description")
    return _answer_table("env-list", None, headings, rows, as_json=as_json)


def environment(name: str, *, as_json: bool) -> int:
    """Answer `env-show`."""
    spec = load.environment(name)
    rows = list(_settings(spec.model_dump(mode="json", by_alias=True), spec))
    return _answer_table("env-show", name, ("setting", "value", "from"), rows, as_json=as_json)


def doctor(call: running.Call) -> int:
    """Answer `doctor`: the facts, then every fault with its remedy."""
    report, runtime = running.examined(call)
    versions = runtime.versions()
    report = _refusing(
        report, [_outdated(name) for name, each in versions.items() if each.pinned != each.wanted]
    )
    facts = {
        "environment": f"{call.environment} ({runtime.name})",
        "toolkit": f"Python {platform.python_version()}, {sys.prefix}",
        **{name: str(each) for name, each in versions.items()},
        "state": str(paths.state(call.environment)),
        "cache": str(paths.cache()),
        "free space": f"{cache.free_space(paths.cache()) / 1024**3:.1f} GB",
        "isolation": runtime.isolation(),
    }
    if not call.json:
        tables.write_details(facts)
    return running.finish(call, dataclasses.replace(report, data=facts))


def _outdated(name: str) -> errors.Fault:
    return errors.Fault(
        f"version of {name}",
        "The lock under images/ pins another than versions.toml.",
        "Run `scripts/nox -s lock`.",
    )


def _refusing(report: Report, faults: Sequence[errors.Fault]) -> Report:
    """The report with faults that were found besides the checks."""
    if not faults:
        return report
    code = report.exit_code or int(errors.ExitCode.PREFLIGHT)
    return dataclasses.replace(report, status="not ready", exit_code=code, faults=(*report.faults, *faults))


def prune_cache(*, as_json: bool) -> int:
    """Delete what the cache holds; the next tenant-up installs it again."""
    pruned = cache.prune(paths.cache())
    rows = [(str(paths.cache()), ", ".join(pruned.names) or "nothing", f"{pruned.freed / 1024**3:.1f} GB")]
    return _answer_table("cache-prune", None, ("cache", "deleted", "freed"), rows, as_json=as_json)


def _settings(value: Any, spec: Any, prefix: str = "", *, given: bool = True) -> Any:
    """Rows `setting, value, from` of a spec, leaf by leaf; `given` is whether the file has its table."""
    fields = {field.alias or name: name for name, field in type(spec).model_fields.items()}
    for key, inner in value.items():
        attribute = getattr(spec, fields[key])
        in_file = given and fields[key] in spec.model_fields_set
        named = f"{prefix}{key}"
        if isinstance(attribute, specs.Spec):
            yield from _settings(inner, attribute, f"{named}.", given=in_file)
        elif isinstance(attribute, tuple) and attribute and isinstance(attribute[0], specs.Spec):
            for each, dumped in zip(attribute, inner, strict=True):
                label = getattr(each, "name", None) or getattr(each, "id", "")
                yield from _settings(dumped, each, f"{named}[{label}].", given=in_file)
        else:
            yield (named, inner if inner not in (None, "", [], {}) else "-", "file" if in_file else "default")


def _answer_table(
    task: str, env: str | None, headings: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool
) -> int:
    if as_json:
        document.write(Report(task, env, "answered", 0, data=tables.objects(headings, rows)))
    else:
        tables.write(headings, rows)
    return 0
