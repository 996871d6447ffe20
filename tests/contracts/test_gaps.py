"""The table of gaps names tests that there are."""

from __future__ import annotations

import ast
from pathlib import Path

from gaps import GAPS


def test_every_gap_names_a_test_of_this_folder():
    there = {
        each.name
        for path in Path(__file__).parent.glob("test_*.py")
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.FunctionDef)
    }
    assert {name for gaps in GAPS.values() for name in gaps} <= there
