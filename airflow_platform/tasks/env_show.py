"""`env-list` and `env-show`: what is declared."""

from __future__ import annotations

from typing import Any

from airflow_platform.config import load, specs
from airflow_platform.engine.report import Report
from airflow_platform.tasks.command_line import CommandLine


def environments(line: CommandLine) -> int:
    """List the environments; the exit code."""
    rows = [
        (each.name, each.runtime, each.protected, ", ".join(t.name for t in each.tenants), each.description)
        for each in load.all_environments()
    ]
    headings = ("environment", "runtime", "protected", "tenants", "description")
    return line.answer(headings, rows, Report(line.task, None, "answered", 0))


def environment(line: CommandLine) -> int:
    """Show one environment's settings; the exit code."""
    spec = line.spec()
    rows = list(_settings(spec.model_dump(mode="json", by_alias=True), spec))
    return line.answer(("setting", "value", "from"), rows, Report(line.task, spec.name, "answered", 0))


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
