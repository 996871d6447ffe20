"""What `dags-sync` and `dags-rollback` write into the ledger, and what a rollback reads out of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_platform import errors
from airflow_platform.dags.dag_branch import Synced, Wanted
from airflow_platform.engine.report import Report

SERVED = "served"
"""Every tenant that is up, of every environment that can be asked, serves the version, and at least one is up."""

SERVED_IN_PART = "served in some environments"
"""The same of those environments that were asked for with `--env`."""

NOT_PROVED = "not proved"
"""The branch was moved, and no tenant was up to prove it."""

INCOMPLETE = "not served everywhere"

OVERTAKEN = "overtaken"
"""Somebody has put another version on the branch before this one was proved."""


def result_of(report: Report, *, everywhere: bool) -> str:
    """What became of a version; `everywhere` says that no environment was left out."""
    if report.exit_code != 0:
        return INCOMPLETE
    if not any(each.status == SERVED for each in report.tenants):
        return NOT_PROVED
    return SERVED if everywhere else SERVED_IN_PART


def entry(
    report: Report, wanted: Wanted, *, commit: str, who: str, result: str, unasked: Sequence[str]
) -> dict[str, Any]:
    """One entry; `unasked` are environments that follow the branch and could not be asked what they serve."""
    environments: dict[str, dict[str, str]] = {}
    for each in report.tenants:
        environment, _, tenant = each.name.partition("/")
        environments.setdefault(environment, {})[tenant] = each.status
    return {
        "task": report.task,
        "who": who,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "source": wanted.source,
        "version": wanted.tree,
        "environments": environments,
        "unasked": sorted(unasked),
        "result": result,
        "job": os.environ.get("CI_JOB_URL", ""),
    }


def says_more(new: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an entry says more than the last one does."""
    return not known or any(known[-1].get(key) != new[key] for key in ("commit", "result", "environments"))


def target(history: Sequence[Synced], entries: Iterable[Mapping[str, Any]]) -> Synced:
    """Where a rollback goes that is not told: on with one that has not come to its end, else to `last_good`.

    It takes and raises the same.
    """
    head = history[0]
    return head if head.rolls_back and head.commit not in _served(entries) else last_good(history, entries)


def _served(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """The commits that were served everywhere."""
    return {str(each.get("commit")) for each in entries if each.get("result") == SERVED}


def last_good(history: Sequence[Synced], entries: Iterable[Mapping[str, Any]]) -> Synced:
    """The newest version that was served everywhere, other than the present one and those that were fled from.

    Args:
        history: The branch's commits, newest first; at least one.
        entries: The ledger's.

    Raises:
        UsageError: The ledger knows none.
    """
    served = _served(entries)
    good: set[str] = set()
    for commit in reversed(history):
        good.discard(commit.rolls_back)
        if commit.commit in served:
            good.add(commit.tree)
    for commit in history[1:]:
        if commit.tree in good and commit.tree != history[0].tree and not commit.foreign:
            return commit
    raise errors.UsageError(
        "The ledger knows no other version that was served everywhere.",
        hint="Name one: inv dags-rollback --to=COMMIT.",
    )


def named(history: Sequence[Synced], to: str) -> Synced:
    """The version that the beginning of a commit or of a version means.

    Raises:
        UsageError: None, or several.
    """
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
