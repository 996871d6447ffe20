"""The shape of the code: charters, sizes, names, the error tree, declarations of tasks, imports of `--list`."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from invoke.collection import Collection

from airflow_platform import errors
from airflow_platform.tasks import collection, task_decorator
from airflow_platform.tenants import access

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


def offenders(rule: Callable[[Path, ast.Module], Iterator[str]]) -> list[str]:
    """What breaks a rule, in all files of the package."""
    return [
        f"{name_of(path)}: {what}"
        for path in FILES
        for what in rule(path, ast.parse(path.read_text(encoding="utf-8")))
    ]


def test_packages_are_charters_and_every_folder_of_code_is_one() -> None:
    def rule(path: Path, tree: ast.Module) -> Iterator[str]:
        if path.name == "__init__.py":
            if not ast.get_docstring(tree):
                yield "say what lives here, what does not, and what it may import"
            if len(tree.body) != 1:
                yield "no re-exports and no logic"

    assert offenders(rule) == []
    assert {path.parent for path in FILES} == {path.parent for path in PACKAGE.rglob("__init__.py")}


def test_files_and_functions_stay_small_and_their_names_say_something() -> None:
    def rule(path: Path, tree: ast.Module) -> Iterator[str]:
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE:
            yield f"{lines} lines are two things"
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and (lines := body_lines(function)) > LONGEST_FUNCTION:
                yield f"{function.name} has {lines} lines, which are two things"
        if bad := NO_NAMES & {path.stem, *path.relative_to(PACKAGE).parts}:
            yield f"{', '.join(bad)} says nothing"

    assert offenders(rule) == []


def body_lines(function: ast.FunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_public_things_are_documented() -> None:
    def rule(path: Path, tree: ast.Module) -> Iterator[str]:
        for node in (tree, *tree.body):
            named = isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
            if (named or node is tree) and not ast.get_docstring(node):
                yield f"{getattr(node, 'name', 'the module')} needs a docstring"

    assert offenders(rule) == []


def test_no_shell_no_exit_in_the_depths_and_one_way_to_a_tenants_airflow() -> None:
    client = "airflow_client.Airflow("

    def rule(path: Path, tree: ast.Module) -> Iterator[str]:
        text = path.read_text()
        if "shell=True" in text:
            yield "programs are started from argument lists"
        if path.parent.name not in ("tasks", "supervisor") and "sys.exit" in text:
            yield "raise an error; tasks turn it into the exit code"
        if client in text and path.name not in ("access.py", "bringing_up.py"):
            yield "tenants.access looks at who listens before a password is sent"
        if "parents[" in text and "__file__" in text and path.name not in ("paths.py", "worker.py"):
            yield "files are found by paths.project() and paths.toolkit() alone"

    assert offenders(rule) == []
    assert client in Path(access.__file__).read_text(), "the rule looks for a name that is gone"


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


def test_tasks_are_declared_so_that_the_parser_cannot_be_tricked() -> None:
    for name in sorted(collection.namespace.task_names):
        task = collection.namespace[name]
        assert isinstance(task, task_decorator.Task), name
        assert (list(task.positional), task.auto_shortflags, list(task.aliases)) == ([], False, []), name
        for argument in task.get_arguments():
            assert argument.kind in (str, bool, list), name
            assert all(len(each) > 1 for each in argument.names), name
            assert argument.help, name


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
