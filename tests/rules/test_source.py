"""What is read from the text of a Python file, without executing it."""

import json

import pytest

from airflow_platform.rules import source
from airflow_platform.rules.source import Connection, Import

TEXT = b'''
"""A file."""
import os, a.b
from c import d as e, f
from . import near
from ..up import far
from typing import TYPE_CHECKING
import typing

if TYPE_CHECKING:
    import for_types
else:
    import for_running
if typing.TYPE_CHECKING:
    from more import types
try:
    import perhaps
except (ImportError, ValueError):
    import instead
try:
    import certainly
except ValueError:
    pass

def work():
    import late
    class Inner:
        from deep import thing
'''


def test_imports_are_found_wherever_they_stand():
    assert source.read(TEXT).imports == (
        Import("os", 3),
        Import("a.b", 3),
        Import("c", 4, names=("d", "f")),
        Import("", 5, 1, ("near",)),
        Import("up", 6, 2, ("far",)),
        Import("typing", 7, names=("TYPE_CHECKING",)),
        Import("typing", 8),
        Import("for_types", 11, kind="typing"),
        Import("for_running", 13),
        Import("more", 15, names=("types",), kind="typing"),
        Import("perhaps", 17, kind="optional"),
        Import("instead", 19),
        Import("certainly", 21),
        Import("late", 26),
        Import("deep", 28, names=("thing",)),
    )


def test_connections_are_found_where_their_ids_stand_in_the_text():
    text = b"""
ONE = "one"
TWO: str = "two"
Operator(conn_id=ONE, other="x")
SnowflakeHook("three"); SnowflakeHook(TWO); HttpHook("GET", http_conn_id="four")
def f():
    BaseHook.get_connection("five")
    Operator(snowflake_conn_id="{{ params.x }}", conn_id=unknown)
    SnowflakeHook(snowflake_conn_id="one")
"""
    assert source.read(text).connections == (
        Connection("one", 4),
        Connection("four", 5),
        Connection("three", 5),
        Connection("two", 5),
        Connection("five", 7),
        Connection("one", 9),
    )


@pytest.mark.parametrize("text", [b"def f(:", b"\xff\xfe", b"\0", b"(" * 1000, b"-" * 100_000 + b"1"])
def test_what_is_no_python_says_nothing(text):
    assert source.read(text) == source.Source()


def test_it_survives_being_kept():
    read = source.read(TEXT + b"SnowflakeHook('x')")
    assert source.Source.from_json(json.loads(json.dumps(read.to_json()))) == read


FOLDERS = {"pack", "pack/deep"}
KNOWN = {"one.py", "pack/__init__.py", "pack/inner.py", "pack/deep/leaf.py", "up.py", "data.json"}

NEEDS = {
    "import one": {"one.py"},
    "import pack.inner": {"pack/__init__.py", "pack/inner.py"},
    "import pack.deep.leaf": {"pack/__init__.py", "pack/deep/leaf.py"},
    "from pack import inner, nothing": {"pack/__init__.py", "pack/inner.py"},
    "from pack.deep import leaf": {"pack/__init__.py", "pack/deep/leaf.py"},
    "import os, data": set(),
    "try:\n    import one\nexcept ImportError:\n    pass": {"one.py"},
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import one": set(),
}


@pytest.mark.parametrize("text", NEEDS)
def test_the_files_that_an_import_may_load(text):
    assert source.needs("dag.py", source.read(text.encode()), KNOWN, FOLDERS) == NEEDS[text]


def test_relative_imports_are_of_the_files_own_folder():
    def of(path, text):
        return source.needs(path, source.read(text), KNOWN, FOLDERS)

    assert of("pack/deep/leaf.py", b"from .. import inner") == {"pack/__init__.py", "pack/inner.py"}
    assert of("pack/inner.py", b"from .deep.leaf import x") == {"pack/__init__.py", "pack/deep/leaf.py"}
    assert of("pack/inner.py", b"from . import nothing") == {"pack/__init__.py"}
    assert of("pack/inner.py", b"from .. import up") == {"up.py"}
    assert of("pack/inner.py", b"from ....... import up") == {"up.py"}
    assert of("one.py", b"import one") == set()


def test_whether_the_folder_has_a_module():
    assert all(
        source.is_here(name, KNOWN, FOLDERS) for name in ("one", "pack", "pack.deep", "pack.deep.leaf")
    )
    assert not any(source.is_here(name, KNOWN, FOLDERS) for name in ("two", "pack.other", "data"))
