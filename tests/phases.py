"""The moments of a step at which a run can be killed; nothing in the toolkit knows of it."""

from collections.abc import Callable

from airflow_platform.engine import journal, report

PHASES = ("before begin", "after begin", "after the effect", "after end")
"""Of a step that changes something: around its two entries in the journal."""


def on_each(call: Callable[[report.Node, str], None]) -> None:
    """Have this process call something at each phase of each step; the later two are of a change that was made."""
    begun, ended = journal.SqliteJournal.begun, journal.SqliteJournal.ended

    def beginning(self, node, change):
        call(node, PHASES[0])
        begun(self, node, change)
        call(node, PHASES[1])

    def ending(self, node, outcome, *arguments):
        changed = outcome is report.Outcome.CHANGED
        if changed:
            call(node, PHASES[2])
        ended(self, node, outcome, *arguments)
        if changed:
            call(node, PHASES[3])

    journal.SqliteJournal.begun = beginning
    journal.SqliteJournal.ended = ending
