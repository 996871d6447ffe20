"""Findings as text, as JUnit and as GitLab's code quality report."""

import dataclasses
import json
import xml.etree.ElementTree as ET

import jsonschema
import pytest

from airflow_platform.dags.check.findings import Finding
from airflow_platform.reporting import finding_formats, findings

FINDINGS = (
    Finding("dags/a.py", 3, "import-error", "ValueError: no <&> way", "Mend it.", "error"),
    Finding("dags/a.py", 5, "import-error", "And another.", "Mend it.", "error"),
    Finding("dags/a.py", 5, "no-dags", "Nothing.", "Ignore it.", "warning"),
    Finding(
        "dags/b.py",
        1,
        "pool-unknown",
        "The pool x is not there for dev/y.",
        "Declare it.",
        "error",
        ("dev/y",),
    ),
)

CODE_QUALITY = {  # https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "location", "severity"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^./]"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}


def test_text_has_a_line_for_each_and_a_remedy_for_those_that_are_alike():
    assert findings.text(FINDINGS) == (
        "dags/a.py:3: import-error: ValueError: no <&> way\n"
        "dags/a.py:5: import-error: And another.\n"
        "    Mend it.\n"
        "dags/a.py:5: no-dags (warning): Nothing.\n"
        "    Ignore it.\n"
        "\n"
        "dags/b.py:1: pool-unknown: The pool x is not there for dev/y.\n"
        "    Declare it.\n"
        "\n"
    )


def test_no_finding_is_no_text():
    assert findings.text(()) == ""


@pytest.mark.parametrize("odd", ["\x1b[31m", "\n", "\x00", "\x9b", "\u2028", "\ud800", "\uffff", "\r"])
def test_what_would_steer_a_terminal_or_break_a_format_is_not_passed_on(odd):
    finding = Finding(f"dags/{odd}.py", 1, "import-error", f"a{odd}b", "Mend it.", "error")
    assert odd not in findings.text([finding]).replace("\n", "", 3) or odd == "\n"
    assert len(findings.text([finding]).splitlines()) == 3
    root = ET.fromstring(finding_formats.junit([finding], []))
    assert "a?" in root.find(".//failure").get("message")
    jsonschema.validate(json.loads(finding_formats.code_quality([finding])), CODE_QUALITY)
    finding_formats.code_quality([finding]).encode()
    finding_formats.junit([finding], []).encode()


def test_junit_has_a_case_for_each_file_and_one_failure_for_each_that_has_errors():
    root = ET.fromstring(finding_formats.junit(FINDINGS, ["dags/a.py", "dags/c.py"]))
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "2", "errors": "0", "skipped": "0",
    }  # fmt: skip
    cases = {case.get("name"): case for case in suite}
    assert list(cases) == ["dags/a.py", "dags/b.py", "dags/c.py"]
    assert all(case.tag == "testcase" and case.get("classname") and case.get("time") for case in suite)
    (failure,) = cases["dags/a.py"].findall("failure")
    assert failure.get("message") == "dags/a.py:3: import-error: ValueError: no <&> way"
    assert "dags/a.py:5: import-error: And another." in failure.text
    assert cases["dags/a.py"].find("system-out").text == "dags/a.py:5: no-dags (warning): Nothing."
    assert len(cases["dags/c.py"]) == 0


def test_junit_of_nothing_is_valid():
    (suite,) = ET.fromstring(finding_formats.junit((), ()))
    assert suite.get("tests") == "0"


def test_code_quality_is_what_gitlab_takes():
    report = json.loads(finding_formats.code_quality(FINDINGS))
    jsonschema.validate(report, CODE_QUALITY)
    assert [each["severity"] for each in report] == ["major", "major", "minor", "major"]
    assert report[3]["location"] == {"path": "dags/b.py", "lines": {"begin": 1}}
    jsonschema.validate(json.loads(finding_formats.code_quality(())), CODE_QUALITY)


def test_a_fingerprint_stays_while_lines_move_and_no_two_are_the_same():
    def prints(*found):
        return [each["fingerprint"] for each in json.loads(finding_formats.code_quality(found))]

    first = Finding("dags/a.py", 3, "import-error", "no", "Mend it.", "error")
    moved = Finding("dags/a.py", 30, "import-error", "no, in x.py:31 at 0x7f", "Mend it.", "error")
    assert prints(first) == prints(moved)
    for other in ({"file": "dags/b.py"}, {"rule": "no-dags"}, {"about": "one"}):
        assert prints(first) != prints(dataclasses.replace(first, **other))
    assert len(set(prints(first, moved))) == 2
    assert len(set(prints(*FINDINGS))) == 4
