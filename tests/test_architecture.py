"""The shape of the code: charters, sizes, names, the error tree, declarations of tasks, imports of `--list`."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.collection import Collection

from airflow_platform import errors
from airflow_platform.tasks import collection, task_decorator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_platform"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 500
LONGEST_FUNCTION = 50
NO_NAMES = {"utils", "util", "common", "core", "helpers", "helper", "models", "manager", "misc"}
HEAVY = {
    "pydantic", "rich", "boto3", "docker", "kubernetes", "cryptography", "sqlite3", "urllib3", "requests", "jsonschema", "psycopg",
}  # fmt: skip


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=name_of)
def test_a_package_is_a_charter_and_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "say what lives here, what does not, and what it may import"
    assert len(tree.body) == 1, "no re-exports and no logic"


def test_every_folder_of_code_is_a_package() -> None:
    assert {path.parent for path in FILES} == {path.parent for path in PACKAGE.rglob("__init__.py")}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for function in functions(ast.parse(text)):
        assert body_lines(function) <= LONGEST_FUNCTION, f"{function.name} is two things"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_names_say_something(path: Path) -> None:
    assert not NO_NAMES & {path.stem, *path.relative_to(PACKAGE).parts}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_public_things_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} needs a docstring"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_shell_and_no_exit_in_the_depths(path: Path) -> None:
    text = path.read_text()
    assert "shell=True" not in text
    if path.parent.name not in ("tasks", "supervisor"):
        assert "sys.exit" not in text, "raise an error; tasks turn it into the exit code"


def drawn_tree() -> dict[str, tuple[str, str]]:
    """Class, its parent and its exit codes, as errors.py draws them."""
    found: dict[str, tuple[str, str]] = {}
    ancestors: list[str] = []
    for match in re.finditer(r"^([│├└─ ]*)([A-Z]\w+) +([\d-]+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(match[1]) // 4
        ancestors[depth:] = [match[2]]
        found[match[2]] = (ancestors[depth - 1] if depth else "Exception", match[3])
    return found


def public_parent(error: type) -> str:
    return next(base.__name__ for base in error.__mro__[1:] if not base.__name__.startswith("_"))


def test_the_drawn_error_tree_is_the_real_one() -> None:
    real = {
        name: (public_parent(error), "129-143" if name == "Interrupted" else str(int(error.exit_code)))
        for name, error in vars(errors).items()
        if inspect.isclass(error) and issubclass(error, errors.PlatformError) and not name.startswith("_")
    }
    assert drawn_tree() == real


@pytest.mark.parametrize("name", sorted(collection.namespace.task_names))
def test_a_task_is_declared_so_that_the_parser_cannot_be_tricked(name: str) -> None:
    task = collection.namespace[name]
    assert isinstance(task, task_decorator.Task)
    assert (list(task.positional), task.auto_shortflags, list(task.aliases)) == ([], False, [])
    for argument in task.get_arguments():
        assert argument.kind in (str, bool, list)
        assert all(len(each) > 1 for each in argument.names)
        assert argument.help


def test_tasks_do_not_nest() -> None:
    assert isinstance(collection.namespace, Collection)
    assert not collection.namespace.collections


@pytest.mark.parametrize(
    "words", [["--list"], ["--help"], ["tenant-up", "--help"], ["--complete", "--", "inv "]]
)
def test_listing_and_help_import_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys; from airflow_platform.tasks import collection, program;"
        f"code = program.PlatformProgram(collection.namespace).outcome(['inv', *{words}]);"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr); sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=20, check=False
    )
    assert result.returncode == 0, result.stderr
    loaded = set(ast.literal_eval(result.stderr.splitlines()[-1]))
    assert not HEAVY & loaded
