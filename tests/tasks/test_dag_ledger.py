"""What the ledger calls good, and where a rollback goes."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.dags.dag_branch import Synced
from airflow_platform.engine.report import Report, TenantReport
from airflow_platform.tasks import dag_ledger


def scene(text):
    """The history, newest first, and the ledger, of events in the order in which they happened.

    `+A` a sync of A that was served, `-A` one that was not, `<A` a rollback to A that was served, `!A` one that was
    ended before its entry, `?A` a commit made by hand.
    """
    history, entries = [], []
    for number, event in enumerate(text.split()):
        kind, tree = event
        synced = Synced(
            commit=f"{number:040}",
            tree=tree,
            source="" if kind == "?" else "s",
            who="A <a@localhost>",
            when="2026-11-26T00:00:00+00:00",
            subject="Serve",
            rolls_back=history[0].tree if kind in "<!" else "",
        )
        history.insert(0, synced)
        if kind in "+-<":
            result = dag_ledger.INCOMPLETE if kind == "-" else dag_ledger.SERVED
            entries.append({"commit": synced.commit, "version": tree, "result": result})
    return history, entries


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("+A +B", "A"),
        ("+A -B +C", "A"),
        ("+A +B <A", None),
        ("+A +B +C <B", "A"),
        ("+A +B +C <B +C", "B"),
        ("?A +B", None),
        ("-A +B", None),
    ],
)
def test_a_rollback_never_goes_back_to_what_was_fled_from(events, expected):
    history, entries = scene(events)
    if expected is None:
        with pytest.raises(errors.UsageError, match="no other version"):
            dag_ledger.target(history, entries)
    else:
        assert dag_ledger.target(history, entries).tree == expected


@pytest.mark.parametrize("events", ["+Z +A +B !A", "+A +B !A"])
def test_a_rollback_that_was_ended_goes_on_where_it_went(events):
    history, entries = scene(events)
    assert dag_ledger.target(history, entries) == history[0], "neither back to B nor on to Z"


def test_a_rollback_that_was_ended_and_covered_is_still_known_to_have_fled():
    history, entries = scene("+A +B !A +C")
    assert dag_ledger.target(history, entries).tree == "A"


@pytest.mark.parametrize(
    ("statuses", "code", "everywhere", "expected"),
    [
        (("served", "down"), 0, True, dag_ledger.SERVED),
        (("served",), 0, False, dag_ledger.SERVED_IN_PART),
        (("down", "down"), 0, True, dag_ledger.NOT_PROVED),
        (("served", "failed"), 1, True, dag_ledger.INCOMPLETE),
    ],
)
def test_what_became_of_a_version(statuses, code, everywhere, expected):
    tenants = tuple(TenantReport(f"e/{number}", status) for number, status in enumerate(statuses))
    report = Report("dags-sync", None, "served", code, tenants=tenants)
    assert dag_ledger.result_of(report, everywhere=everywhere) == expected
