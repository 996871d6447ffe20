"""What is read from the text of a Python file, without executing it."""

import dataclasses

import pytest

from airflow_platform.dags.check import source
from airflow_platform.dags.check.connection_ids import Connection
from airflow_platform.dags.check.import_statements import Import

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
        Import("instead", 19, kind="optional"),
        Import("certainly", 21),
        Import("late", 26, late=True),
        Import("deep", 28, names=("thing",), late=True),
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
def test_what_is_no_python_for_us_says_nothing(text):
    assert source.read(text) == source.Source()


def test_an_odd_text_warns_nobody(recwarn):
    assert source.read(b"import a\nx = 1 is 1\ny = '\\d'").imports == (Import("a", 1),)
    assert not recwarn


NOT_NEEDED = {
    "@task.virtualenv(requirements=['x'])\ndef f():\n    import x": "elsewhere",
    "@task.external_python(python='/x')\ndef f():\n    def g():\n        import x": "elsewhere",
    "@task.branch_virtualenv\ndef f():\n    import x": "elsewhere",
    "@task.docker(image='x')\nasync def f():\n    import x": "elsewhere",
    "@task.kubernetes(image='x')\ndef f():\n    if y:\n        import x": "elsewhere",
    "@virtualenv_task\ndef f():\n    import x": "elsewhere",
    "ours = task.virtualenv(requirements=['x'])\n@ours\ndef f():\n    import x": "elsewhere",
    "def f():\n    import x\nPythonVirtualenvOperator(task_id='f', python_callable=f)": "elsewhere",
    "def f():\n    import x\np.ExternalPythonOperator.partial(python_callable=f).expand()": "elsewhere",
    "if sys.version_info >= (3, 11):\n    import a as b\nelse:\n    import x": "optional",
    "if sys.platform == 'win32':\n    import x": "optional",
    "def f():\n    if sys.version_info < (3, 11):\n        import x": "optional",
    "def f():\n    if os.name == 'nt':\n        import x": "optional",
    "def f():\n    if importlib.util.find_spec('x') is not None:\n        import x": "optional",
    "if os.environ.get('LOCAL'):\n    import x": "optional",  # Importing the file tells, if it comes there.
    "with contextlib.suppress(ImportError):\n    import x": "optional",
    "def f():\n    with suppress(ValueError, ModuleNotFoundError):\n        import x": "optional",
    "try:\n    import a\nexcept ImportError:\n    import x": "optional",
    "try:\n    import x\nexcept:\n    pass": "optional",
    "try:\n    import x\nexcept* ImportError:\n    pass": "optional",
    "if TYPE_CHECKING:\n    import x": "typing",
}


@pytest.mark.parametrize("text", NOT_NEEDED)
def test_what_runs_elsewhere_or_may_fail_is_not_needed(text):
    assert source.read(text.encode()).imports[-1].module == "x"
    assert source.read(text.encode()).imports[-1].kind == NOT_NEEDED[text]


NEEDED = (
    "@task\ndef f():\n    import x",
    "@task.branch\ndef f():\n    import x",
    "def f():\n    if kind == 'x':\n        import x",
    "def f():\n    import x\nPythonOperator(task_id='f', python_callable=f)",
    "with suppress(ValueError):\n    import x",
    "with open(y):\n    import x",
)


@pytest.mark.parametrize("text", NEEDED)
def test_what_tasks_import_is_needed(text):
    assert source.read(text.encode()).imports[-1].kind == "needed"


FILES = frozenset({"one.py", "pack/__init__.py", "pack/inner.py", "pack/deep/leaf.py", "up.py", "data.json"})
TREE = source.Tree(
    FILES,
    frozenset({".", "pack", "pack/deep", "linked", "pack/linked"}),
    {"linked": "pack/deep", "pack/linked": "pack", "away": "../away"},
)

NEEDS = {
    "import one": {"one.py"},
    "import pack.inner": {"pack/__init__.py", "pack/inner.py"},
    "import pack.deep.leaf": {"pack/__init__.py", "pack/deep/leaf.py"},
    "from pack import inner, nothing": {"pack/__init__.py", "pack/inner.py"},
    "from pack.deep import leaf": {"pack/__init__.py", "pack/deep/leaf.py"},
    "import os, data": set(),
    "try:\n    import one\nexcept ImportError:\n    pass": {"one.py"},
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import one": set(),
    "@task.virtualenv\ndef f():\n    import one": set(),
    "from linked import leaf": {"pack/deep/leaf.py"},
    "import pack.linked.linked.inner": {"pack/__init__.py", "pack/inner.py"},
    "import away.x": set(),
}


@pytest.mark.parametrize("text", NEEDS)
def test_the_files_that_an_import_may_load(text):
    assert source.needs("dag.py", source.read(text.encode()), TREE) == NEEDS[text]


def test_relative_imports_are_of_the_files_own_folder():
    def of(path, text):
        return source.needs(path, source.read(text), TREE)

    assert of("pack/deep/leaf.py", b"from .. import inner") == {"pack/__init__.py", "pack/inner.py"}
    assert of("pack/inner.py", b"from .deep.leaf import x") == {"pack/__init__.py", "pack/deep/leaf.py"}
    assert of("pack/inner.py", b"from . import nothing") == {"pack/__init__.py"}
    assert of("pack/inner.py", b"from .. import up") == {"up.py"}
    assert of("pack/inner.py", b"from ....... import up") == {"up.py"}
    assert of("one.py", b"import one") == set()


def test_whether_the_folder_has_a_module():
    assert all(
        source.is_here(name, TREE) for name in ("one", "pack", "pack.deep", "linked.leaf", "away", "away.x")
    )
    assert not any(source.is_here(name, TREE) for name in ("two", "pack.other", "data", "linked.inner"))


def test_native_modules_are_modules():
    files = {
        "a/_fast.abi3.so",
        "_own.cpython-313-x86_64-linux-gnu.so",
        "_plain.so",
        "win.cp313-win_amd64.pyd",
        "b.pyc",
    }
    native = source.Tree(frozenset({*files, "one.two.py", "lib.so.txt"}))
    assert all(map(native.has, ("a/_fast", "_own", "_plain", "win", "b")))
    assert not any(map(native.has, ("_fast", "one", "lib", "a")))


def test_what_a_path_means_without_links():
    paths = source.Tree(links={"lib": "common/deep", "common/up": ".", "away": "../../x"})
    assert {path: paths.real(path) for path in (".", "lib", "lib/a/b", "common/up/lib/a", "common/up", "away/a")} == {
        ".": ".", "lib": "common/deep", "lib/a/b": "common/deep/a/b", "common/up/lib/a": "common/deep/a",
        "common/up": ".", "away/a": "../../x/a",
    }  # fmt: skip


def test_what_may_fail_is_not_needed():
    text = b"import one\ntry:\n    import up\nexcept ImportError:\n    pass"
    assert source.needs("dag.py", source.read(text), TREE) == {"one.py", "up.py"}
    assert source.needs("dag.py", source.read(text), TREE, only_needed=True) == {"one.py"}


NAMES = {
    "names.py": "LOCAL = 'local'\nNOTE = 'two words'\nfrom pack.deep import FAR",
    "pack/__init__.py": "from .inner import INNER",
    "pack/inner.py": "INNER: str = 'inner'",
    "pack/deep/__init__.py": "FAR = 'far'",
    "loop.py": "from loop import ROUND",
}

IDS = {
    "NAME = 'x'\nSnowflakeHook(NAME)": ["x"],
    "def f():\n    name = 'x'\n    SnowflakeHook(name)": ["x"],
    "def f():\n    if a:\n        name = 'x'\n    else:\n        name = 'y'\n    SnowflakeHook(name)": [],
    "NAME = 'x'\ndef f(NAME):\n    SnowflakeHook(NAME)": [],
    "for name in names:\n    SnowflakeHook(name)": [],
    "NAME = 'x'\nNAME = other()\nSnowflakeHook(NAME)": [],
    "from names import LOCAL\nSnowflakeHook(LOCAL)": ["local"],
    "from names import LOCAL as L\ndef f():\n    SnowflakeHook(snowflake_conn_id=L)": ["local"],
    "def f():\n    from names import LOCAL\n    SnowflakeHook(LOCAL)": ["local"],
    "import names\nSnowflakeHook(names.LOCAL)": ["local"],
    "import pack.inner\nSnowflakeHook(pack.inner.INNER)": ["inner"],
    "import pack.inner as p\nSnowflakeHook(p.INNER)": ["inner"],
    "from pack import inner\nSnowflakeHook(inner.INNER)": ["inner"],
    "from pack import INNER\nSnowflakeHook(INNER)": ["inner"],
    "from names import FAR\nSnowflakeHook(FAR)": ["far"],
    "from .names import LOCAL\nSnowflakeHook(LOCAL)": ["local"],
    "from . import names\nSnowflakeHook(names.LOCAL)": ["local"],
    "from names import NOTE, LOST\nSnowflakeHook(NOTE)\nSnowflakeHook(LOST)": [],
    "from loop import ROUND\nSnowflakeHook(ROUND)": [],
    "import os\nSnowflakeHook(os)\nSnowflakeHook(os.environ['X'])": [],
}


@pytest.mark.parametrize("text", IDS)
def test_a_connection_may_have_its_id_from_a_name(text):
    sources = {path: source.read(content.encode()) for path, content in NAMES.items()}
    found = (source.connection_id("dag.py", each, sources) for each in source.read(text.encode()).connections)
    assert [name for name in found if name] == IDS[text]


@pytest.mark.parametrize("lines", ["from m import X\n", "from .m import X\nfrom n import X\n"])
def test_a_name_that_is_imported_again_and_again_is_looked_for_once(lines):
    again = source.read(lines.encode() * 1000)
    text = source.read(b"from m import X\ndef f(): g(conn_id=X)")
    (each,) = text.connections
    looked: list[str] = []

    class Looked(dict):
        def __getitem__(self, path):
            looked.append(path)
            assert len(looked) < 100
            return super().__getitem__(path)

    assert source.connection_id("dag.py", each, Looked({"m.py": again, "n.py": again})) == ""


def test_a_name_is_followed_through_any_number_of_files():
    sources = {f"m{n}.py": source.read(f"from m{n + 1} import X".encode()) for n in range(2000)}
    sources["m2000.py"] = source.read(b"X = 'far'")
    (each,) = source.read(b"from m0 import X\ng(conn_id=X)").connections
    assert source.connection_id("dag.py", each, sources) == "far"


LACKING = {
    "from . import inner, deep": [],
    "from . import gone": [".gone"],
    "from .inner import anything": [],
    "from .gone import anything": [".gone"],
    "from .deep import leaf, gone": [".deep.gone"],
    "from .full import anything": [],
    "from .full import *": [],
    "from .. import up, gone": ["..gone"],
    "import gone": [],
    "from .linked import inner, gone": [".linked.gone"],
    "from .. import away": [],
    "from ..away.x import anything": [],
    "from . import _fast": [],
    "from ._fast import anything": [],
}


@pytest.mark.parametrize("text", LACKING)
def test_what_dots_name_is_in_the_folder_or_nowhere(text):
    paths = dataclasses.replace(
        TREE,
        files=FILES | {"pack/full/__init__.py", "pack/_fast.abi3.so"},
        folders=TREE.folders | {"pack/full"},
    )
    sources = {
        "pack/__init__.py": source.read(b'"""Words."""'),
        "pack/full/__init__.py": source.read(b"anything = 1"),
    }
    (each,) = source.read(text.encode()).imports
    found = source.lacking("pack/dag.py", each, sources, paths)
    assert list(found) == LACKING[text]
