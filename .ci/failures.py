"""Prints the tests that failed, from the reports of a run: the last thing that a log says, however long it is.

    python .ci/failures.py

Reads JUnit files below build/reports. Of each failure: its name, its message, and the end of its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

REPORTS = Path(__file__).parents[1] / "build" / "reports"
LAST_LINES = 40


def failures(report: Path) -> Iterator[tuple[str, str]]:
    """The name and the text of each test that failed; a report that was cut short names itself."""
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - this run wrote it.
    except ElementTree.ParseError as error:
        yield report.name, f"the report cannot be read: {error}"
        return
    for case in cases:
        for outcome in (*case.findall("failure"), *case.findall("error")):
            lines = (outcome.text or outcome.get("message") or "").rstrip().splitlines()
            yield f"{case.get('classname')}::{case.get('name')}", "\n".join(lines[-LAST_LINES:])


def main() -> None:
    """Print what failed."""
    for report in sorted(REPORTS.glob("*.xml")):
        for name, text in failures(report):
            print(f"\n--- {report.stem}: {name}\n{text}", flush=True)


if __name__ == "__main__":
    main()
