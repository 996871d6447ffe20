"""Findings as files that CI systems read: JUnit, and GitLab's code quality report."""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from airflow_platform.dags.check.findings import Finding
from airflow_platform.dags.check.records import plain

SUITE = "dags-check"

_WEIGHTS = {"error": "major", "warning": "minor"}
"""GitLab has info, minor, major, critical and blocker."""


def junit(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """A test case for each file that was checked, and for each that has a finding; errors are failures."""
    names = sorted({*files, *(each.file for each in findings)})
    errors = [each for each in findings if each.severity == "error"]
    failed = {each.file for each in errors}
    figures = {
        "tests": str(len(names)),
        "failures": str(len(failed)),
        "errors": "0",
        "skipped": "0",
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": SUITE, **figures})
    suite = ET.SubElement(root, "testsuite", {"name": SUITE, **figures})
    for name in names:
        case = ET.SubElement(
            suite, "testcase", {"classname": SUITE, "name": plain(name), "file": plain(name), "time": "0"}
        )
        mine = [each for each in errors if each.file == name]
        if mine:  # One element a case is what every reader takes.
            kinds = ", ".join(sorted({each.rule for each in mine}))
            failure = ET.SubElement(case, "failure", {"type": kinds, "message": str(mine[0])})
            failure.text = "\n".join(f"{each}\n    {plain(each.remedy)}" for each in mine)
        warnings = [str(each) for each in findings if each.file == name and each.severity == "warning"]
        if warnings:
            ET.SubElement(case, "system-out").text = "\n".join(warnings)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def code_quality(findings: Sequence[Finding]) -> str:
    """GitLab's report: it compares fingerprints, so those of a finding stay while lines and messages change."""
    seen: dict[str, int] = {}
    return json.dumps([_quality(each, seen) for each in findings], indent=2) + "\n"


def _quality(finding: Finding, seen: dict[str, int]) -> dict[str, object]:
    # Not the message: it names lines, measured figures and addresses of objects.
    what = f"{finding.file}\0{finding.rule}\0{finding.about}"
    seen[what] = seen.get(what, 0) + 1
    digest = hashlib.sha256(f"{what}\0{seen[what]}".encode(errors="replace")).hexdigest()
    return {
        "description": plain(f"{finding.message} {finding.remedy}"),
        "check_name": finding.rule,
        "fingerprint": digest[:32],
        "severity": _WEIGHTS.get(finding.severity, "info"),
        "location": {"path": plain(finding.file), "lines": {"begin": finding.line}},
    }
