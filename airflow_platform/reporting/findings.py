"""Findings for people: a line each that editors and terminals can follow, and what to do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from airflow_platform.dags.check.findings import Finding


def text(findings: Sequence[Finding]) -> str:
    """All findings, file by file; a remedy stands below the last line that it is for."""
    blocks = []
    for _, of_file in itertools.groupby(findings, key=lambda each: each.file):
        lines = []
        for _, alike in itertools.groupby(of_file, key=lambda each: (each.rule, each.remedy)):
            group = list(alike)
            lines += [str(each) for each in group]
            lines.append(f"    {group[-1].remedy}")
        blocks.append("\n".join(lines) + "\n")
    return "".join(f"{block}\n" for block in blocks)
