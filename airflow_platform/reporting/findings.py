"""Findings for people: a line each that editors and terminals can follow, and what to do."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Protocol


class Finding(Protocol):
    """What is shown of a finding."""

    @property
    def file(self) -> str:
        """Relative to the repository."""

    @property
    def line(self) -> int:
        """From 1."""

    @property
    def rule(self) -> str:
        """Its name."""

    @property
    def message(self) -> str:
        """What is wrong."""

    @property
    def remedy(self) -> str:
        """What to do."""

    @property
    def severity(self) -> str:
        """error or warning."""

    @property
    def tenants(self) -> Sequence[str]:
        """To which it applies; none for all."""


def text(findings: Sequence[Finding]) -> str:
    """All findings, file by file; a remedy stands below the last line that it is for."""
    blocks = []
    for _, of_file in itertools.groupby(findings, key=lambda each: each.file):
        lines = []
        for _, alike in itertools.groupby(of_file, key=lambda each: (each.rule, each.remedy)):
            group = list(alike)
            lines += [line(each) for each in group]
            lines.append(f"    {group[-1].remedy}")
        blocks.append("\n".join(lines) + "\n")
    return "".join(f"{block}\n" for block in blocks)


def line(finding: Finding) -> str:
    """One finding, without its remedy."""
    weight = " (warning)" if finding.severity == "warning" else ""
    return f"{plain(finding.file)}:{finding.line}: {finding.rule}{weight}: {plain(finding.message)}"


def plain(words: str) -> str:
    """A text that somebody else chose, on one line and without what would steer a terminal or break XML."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]", "?", words)
