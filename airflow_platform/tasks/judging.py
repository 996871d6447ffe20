"""What `dags-status` makes of what every tenant serves: equal, or who differs, and the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from airflow_platform import errors
from airflow_platform.engine.report import Report
from airflow_platform.tasks.serving import Look, Row
from airflow_platform.tools import dag_serving

SYNC = "`inv dags-sync` brings one version everywhere."


def judged(look: Look, rows: Sequence[Row]) -> Report:
    """The answer, with what is not equal as its faults."""
    faults = list(_skew(look, rows))
    unreadable = [each for each in rows if each.state == "unreadable"]
    code = errors.ExitCode.DIFFERENCES if faults else errors.ExitCode.DONE
    if not faults and (unreadable or not any(row.readable for row in rows)):
        code = errors.ExitCode.FAILED
    if look.unsure and not faults:
        refused = isinstance(look.unsure, errors.RefusedError)
        code = errors.ExitCode.REFUSED if refused else errors.ExitCode.DIFFERENCES
    if look.unsure:
        name = f"branch {look.branch_name}"
        faults.append(errors.Fault(name, look.unsure.message, look.unsure.hint))
    faults += [
        errors.Fault(
            f"{each.environment}/{each.tenant}",
            f"It cannot be read: {each.why}",
            f"inv tenant-status --env={each.environment}",
        )
        for each in unreadable
    ]
    words = {0: "equal", 1: "not proved", 3: "differs", 6: "not proved"}
    data = {
        "branch": None if look.head is None else {
            "name": look.branch_name, "commit": look.head.commit,
            "version": look.head.tree, "source": look.head.source, "who": look.head.who, "when": look.head.when,
        },
        "tenants": [row.to_json() for row in rows],
        "notes": look.notes,
    }  # fmt: skip
    return Report("dags-status", None, words[int(code)], int(code), faults=tuple(faults), data=data)


def _skew(look: Look, rows: Sequence[Row]) -> list[errors.Fault]:
    """Who serves another version than the others, than the branch, or than was asked for."""
    found: list[errors.Fault] = []
    up = [row for row in rows if row.readable]
    wanted, what = _reference(look, [row for row in up if row.version])
    everywhere: frozenset[str] = frozenset().union(*(row.ids for row in up if row.version == wanted))
    for row in up:
        name, mend = f"{row.environment}/{row.tenant}", "Mend and sync it, or: inv dags-rollback"
        if differs := _difference(row, wanted, what) or _lack(row, everywhere):
            found.append(errors.Fault(name, *differs))
        found += [errors.Fault(name, f"It cannot import {each}.", mend) for each in row.failures]
    if look.head and look.wanted and look.head.tree != look.wanted:
        cause = f"It is at version {look.head.tree[:12]}, not {look.wanted[:12]} ({what})."
        name = f"branch {look.branch_name}"
        found.append(errors.Fault(name, cause, f"inv dags-sync --ref={look.revision}"))
    return found


def _difference(row: Row, wanted: str, what: str) -> tuple[str, str] | None:
    """Whether a tenant is at another version than the wanted one, as cause and remedy."""
    if not row.declared:
        cause = "It runs and is not declared, so that no sync waits for it."
        return cause, f"Declare it again, or: inv tenant-down --env={row.environment} --tenant={row.tenant}"
    if not row.commit or (row.version and not (row.dags or row.failures)):
        return "It serves no DAG yet.", f"inv tenant-up --env={row.environment}"
    if not row.version:
        return f"It serves commit {row.commit[:12]}, which no repository here has.", SYNC
    if row.version != wanted:
        return f"It serves {row.version[:12]}, not {wanted[:12]} ({what}).", SYNC
    return None


def _lack(row: Row, everywhere: frozenset[str]) -> tuple[str, str] | None:
    """What of the wanted version a tenant does not serve, as cause and remedy; None for nothing."""
    if row.elsewhere:
        cause = f"It serves {row.commit[:12]}, and {row.elsewhere}."
        return cause, "It follows by itself; look again, or into its log."
    if row.behind:
        older, names = dag_serving.count(row.behind, "DAG"), dag_serving.some(row.behind)
        return f"Its workers would run {older} from an older commit: {names}.", SYNC
    if not row.failures and (missing := _missing(row, everywhere)):
        cause = f"It has not parsed {dag_serving.some(missing)}, which the version has."
        of = f"--env={row.environment} --tenant={row.tenant}"
        return cause, f"Its log says why: inv tenant-logs {of} --component=dag-processor"
    return None


def _reference(look: Look, up: Sequence[Row]) -> tuple[str, str]:
    """What all must serve: what was asked for, else the branch's version, else what most serve."""
    if look.wanted:
        return look.wanted, f"--ref={look.revision}"
    if look.head:
        return look.head.tree, f"head of {look.branch_name}"
    common = Counter(row.version for row in up).most_common(1)
    return (common[0][0], "what most serve") if common else ("", "")


def _missing(row: Row, everywhere: frozenset[str]) -> Collection[str]:
    """The DAGs that a tenant should have: as the check says, or where that is not known as the other tenants have."""
    return everywhere - row.ids if row.lacking is None else row.lacking
