"""Answers: what is declared, how tenants are, what their logs say, what would stop a run."""

from __future__ import annotations

import dataclasses
import difflib
import platform
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from airflow_platform import errors, programs
from airflow_platform.config import load, paths, specs
from airflow_platform.engine import signals
from airflow_platform.engine.report import Outcome, Report, StepReport, TenantReport
from airflow_platform.reporting import document, output, summary, tables
from airflow_platform.runtimes import choosing as runtimes
from airflow_platform.runtimes import runtime as contract
from airflow_platform.tasks import running
from airflow_platform.tools import cache, parsing_worker
from airflow_platform.tools import logs as log_files

_LOOK_AGAIN = 0.3
"""Seconds between two looks for new lines: soon enough for who reads along."""


class _Abandoned(Exception):
    """Nobody reads our answer any more."""


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
        f"version of {name}", "The lock under images/ pins another than versions.toml.", "Run `scripts/nox -s lock`."
    )


def _refusing(report: Report, faults: Sequence[errors.Fault]) -> Report:
    """The report with faults that were found besides the checks."""
    if not faults:
        return report
    code = report.exit_code or int(errors.ExitCode.PREFLIGHT)
    return dataclasses.replace(report, status="not ready", exit_code=code, faults=(*report.faults, *faults))


def status(call: running.Call) -> int:
    """Answer `tenant-status`: 0 healthy and as declared, 1 not healthy, 3 different from the spec."""
    spec = call.spec()
    runtime = runtimes.of(spec)
    report = running.planned(call)
    if report.exit_code in errors.INTERRUPTED:
        return running.finish(call, report)
    rows = [_row(runtime, tenant, report.steps) for tenant in report.tenants]
    unhealthy = any(row[1] != "healthy" for row in rows)
    left = [] if call.tenants else contract.left_running(spec, runtime)
    rows += [(name, "running, not declared", "", _count(runtime, name), "", "not declared") for name in left]
    code = 1 if unhealthy else 3 if report.exit_code or left else 0
    headings = ("tenant", "status", "url", "components", "dag commit", "differs")
    tenants = tuple(
        TenantReport(tenant.name, str(row[1]), tenant.steps, tenant.outputs)
        for tenant, row in zip(report.tenants, rows, strict=False)
    )
    words = {0: "healthy", 1: "not healthy", 3: "differs"}
    answer = dataclasses.replace(
        report, status=words[code], exit_code=code, tenants=tenants, data=_objects(headings, rows)
    )
    if call.json:
        document.write(answer)
    else:
        tables.write(headings, rows)
    if call.tracebacks:
        summary.show_tracebacks(answer)
    return code


def logs(env: str, tenant: str, chosen: Sequence[str], *, lines: str, follow: bool) -> int:
    """Answer `tenant-logs`."""
    spec = load.environment(env)
    runtime = runtimes.of(spec)
    if tenant not in runtime.tenants_found():
        load.select(spec, (tenant,))
        raise errors.UsageError(f"Tenant {tenant} was never up.", hint=f"Run: inv tenant-up --env={env}")
    found = runtime.log_names(tenant)
    _require_known(chosen, found)
    wanted = tuple(name for name in found if not chosen or name in chosen)
    if not lines.isdecimal():
        raise errors.UsageError(f"--lines={lines} is no number of lines.", hint="For example --lines=100.")
    for line in runtime.last_lines(tenant, wanted, int(lines)):
        if not _print_line(line, wanted):
            return 0
    return _follow(runtime, tenant, wanted) if follow else 0


def _follow(runtime: contract.Runtime, tenant: str, wanted: Sequence[str]) -> int:
    """Print new lines until nobody reads them, or a signal comes: how one ends this, and no failure."""
    interruption = programs.Interruption()

    def wait() -> None:
        interruption.sleep(_LOOK_AGAIN)
        if output.is_abandoned():
            raise _Abandoned

    with signals.handled(interruption):
        try:
            for line in runtime.new_lines(tenant, wanted, wait):
                if not _print_line(line, wanted):
                    break
        except errors.Interrupted as ended:
            return ended.code
        except _Abandoned:
            pass
    return 0


def airflow(env: str, tenant: str, arguments: str) -> int:
    """Run `airflow`."""
    spec = load.environment(env)
    runtime = runtimes.of(spec)
    (chosen,) = load.select(spec, (tenant,))
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise errors.UsageError(
            f"--args cannot be split into words: {error}.", hint="Close the quotes."
        ) from None
    return runtime.run_airflow(chosen, words)


def components_of(spec: specs.Environment, chosen: Sequence[str]) -> tuple[str, ...]:
    """The components that are meant: the chosen ones, or all."""
    known = runtimes.of(spec).component_names()
    _require_known(chosen, known)
    return tuple(chosen) or known


def leaving(call: running.Call, confirmed: Sequence[str]) -> tuple[specs.Tenant, ...]:
    """The tenants to take down: also those that are no longer declared, when they run or are named.

    What lies stopped in the state directory and is declared nowhere may be anybody's; nobody means
    it who does not name it.

    Raises:
        UsageError: None is known by that name.
        RefusedError: The environment is protected, and this was not confirmed.
    """
    spec = call.spec()
    runtime = runtimes.of(spec)
    undeclared = contract.undeclared(spec, runtime)
    if spec.protected and not call.plan:
        _require_confirmation(spec, call.tenants, confirmed)
    named = [name for name in call.tenants if name not in undeclared]
    declared = load.select(spec, named) if named or not call.tenants else ()
    others = [name for name in undeclared if name in call.tenants]
    others = others if call.tenants else contract.left_running(spec, runtime)
    return (*declared, *(specs.undeclared(name) for name in others))


def prune_cache(*, as_json: bool) -> int:
    """Delete what the cache holds; the next tenant-up installs it again."""
    # A worker that waits for the next check runs from the cache, and nobody would miss it.
    parsing_worker.end_all(paths.dag_checks() / "workers")
    pruned = cache.prune(paths.cache())
    rows = [(str(paths.cache()), ", ".join(pruned.names) or "nothing", f"{pruned.freed / 1024**3:.1f} GB")]
    return _answer_table("cache-prune", None, ("cache", "deleted", "freed"), rows, as_json=as_json)


def _require_confirmation(spec: specs.Environment, tenants: Sequence[str], confirmed: Sequence[str]) -> None:
    lacking = [f"{spec.name}/{name}" for name in tenants if f"{spec.name}/{name}" not in confirmed]
    if not tenants or lacking:
        example = lacking[0] if lacking else f"{spec.name}/{spec.tenants[0].name}"
        raise errors.RefusedError(
            f"Environment {spec.name} is protected.",
            hint=f"Name what you mean: --tenant={example.split('/')[1]} --confirm={example}",
        )


def _require_known(chosen: Sequence[str], known: Sequence[str]) -> None:
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise errors.UsageError(
                f"There is no component {name!r}.", hint=f"{hint}Known: {', '.join(known)}."
            )


def _row(
    runtime: contract.Runtime, tenant: TenantReport, shared: Sequence[StepReport]
) -> tuple[str, str, str, str, str, str]:
    """`healthy` is what the tenant says of itself; `differs` is what tenant-up would change."""
    unwell = runtime.unwell(tenant.name)
    state = "healthy"
    if unwell:
        state = f"unhealthy: waits for {unwell}" if runtime.is_running(tenant.name) else "stopped"
    pending = [each for each in (*shared, *tenant.steps) if each.status is not Outcome.UNCHANGED]
    known = [each for each in pending if not each.reason.startswith("known after")]
    differs = "; ".join(f"{each.name}: {each.reason}" for each in known[:3]) if state != "stopped" else ""
    commit = _commit(runtime, tenant.name, state) if state != "stopped" else ""
    return (tenant.name, state, runtime.url(tenant.name), _count(runtime, tenant.name), commit, differs)


def _commit(runtime: contract.Runtime, tenant: str, state: str) -> str:
    """What it serves; "" for an unhealthy tenant whose database cannot be asked."""
    try:
        return runtime.dag_commit(tenant)[:12]
    except errors.PlatformError:
        if state == "healthy":
            raise
        return ""


def _count(runtime: contract.Runtime, tenant: str) -> str:
    """`5/5`, and how often they were restarted."""
    found = runtime.components(tenant)
    running_ = sum(each.state == "running" for each in found)
    restarts = sum(each.restarts for each in found)
    return f"{running_}/{len(found)}" + (f", {restarts} restarts" if restarts else "") if found else "0"


def _print_line(line: log_files.Line, wanted: Sequence[str]) -> bool:
    """Whether somebody still reads."""
    start = f"{line.source:<{max(map(len, wanted))}} | " if len(wanted) > 1 else ""
    return output.answer(f"{start}{line.text}\n")


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
        document.write(Report(task, env, "answered", 0, data=_objects(headings, rows)))
    else:
        tables.write(headings, rows)
    return 0


def _objects(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(headings, row, strict=True)) for row in rows]
