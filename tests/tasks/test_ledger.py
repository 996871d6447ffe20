"""What the ledger calls good, and where a rollback goes."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.engine.report import Report, TenantReport
from airflow_platform.tasks import ledger
from airflow_platform.tools.dag_branch import Synced


def commit(tree, number=0, source="s"):
    return Synced(f"{number:040}", tree, source, "A <a@localhost>", "2026-11-26T00:00:00+00:00", "Serve")


def entries(*versions):
    """`+A` a sync of A that was served, `-A` one that was not, `<A` a rollback to A."""
    tasks = {"+": "dags-sync", "-": "dags-sync", "<": "dags-rollback"}
    return [
        {
            "task": tasks[text[0]],
            "version": text[1:],
            "result": ledger.INCOMPLETE if text[0] == "-" else ledger.SERVED,
        }
        for text in versions
    ]


@pytest.mark.parametrize(
    ("trees", "written", "expected"),
    [
        ("BA", ("+A", "+B"), "A"),
        ("CBA", ("+A", "-B", "+C"), "A"),
        ("ABA", ("+A", "+B", "<A"), None),
        ("BCBA", ("+A", "+B", "+C", "<B"), "A"),
        ("CBCBA", ("+A", "+B", "+C", "<B", "+C"), "B"),
    ],
)
def test_a_rollback_never_goes_back_to_what_was_fled_from(trees, written, expected):
    history = [commit(tree, number) for number, tree in enumerate(trees)]
    if expected is None:
        with pytest.raises(errors.UsageError, match="no other version"):
            ledger.last_good(history, entries(*written))
    else:
        assert ledger.last_good(history, entries(*written)).tree == expected


def test_a_commit_made_by_hand_is_no_good_version():
    with pytest.raises(errors.UsageError):
        ledger.last_good([commit("B"), commit("A", 1, source="")], entries("+A", "+B"))


@pytest.mark.parametrize(
    ("statuses", "code", "everywhere", "expected"),
    [
        (("served", "down"), 0, True, ledger.SERVED),
        (("served",), 0, False, ledger.SERVED_IN_PART),
        (("down", "down"), 0, True, ledger.NOT_PROVED),
        (("served", "failed"), 1, True, ledger.INCOMPLETE),
    ],
)
def test_what_became_of_a_version(statuses, code, everywhere, expected):
    tenants = tuple(TenantReport(f"e/{number}", status) for number, status in enumerate(statuses))
    report = Report("dags-sync", None, "served", code, tenants=tenants)
    assert ledger.result_of(report, everywhere=everywhere) == expected
