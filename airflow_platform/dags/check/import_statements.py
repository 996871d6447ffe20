"""Which import statements a text has, and whether the file needs what they name."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["needed", "optional", "elsewhere", "typing"]

_ELSEWHERE = frozenset({
    "virtualenv", "external_python", "branch_virtualenv", "branch_external_python", "docker", "kubernetes",
    "virtualenv_task", "external_python_task", "docker_task", "kubernetes_task",
})  # fmt: skip
"""Decorators whose functions run with other packages: `@task.virtualenv`, and as their modules call them."""

_OPERATORS = frozenset({
    "PythonVirtualenvOperator", "BranchPythonVirtualenvOperator", "ExternalPythonOperator",
    "BranchExternalPythonOperator",
})  # fmt: skip
"""Operators whose `python_callable` runs with other packages."""

_OF_THE_MACHINE = frozenset({
    "version_info", "hexversion", "python_version", "python_version_tuple", "platform", "implementation",
    "system", "machine", "find_spec",
})  # fmt: skip
"""Names that a condition has where it asks for the Python, the system or a package."""

_NOT_THERE = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """An import statement, wherever it stands: in functions, too."""

    module: str
    """With dots; "" for `from . import name`."""
    line: int
    level: int = 0
    """Dots before it."""
    names: tuple[str, ...] = ()
    """What `from module import …` takes."""
    kind: Kind = "needed"
    """Optional ones may fail, or need not be executed; those elsewhere are executed with other packages; those for
    types never."""
    late: bool = False
    """Whether it stands in a function: importing the file does not execute it."""


def of(tree: ast.Module) -> Iterator[Import]:
    """All import statements of a file."""
    return _Reader(tree).read(tree, "needed", late=False)


class _Reader:
    """Reads one file: what runs elsewhere is said in other places than where it stands."""

    def __init__(self, tree: ast.Module) -> None:
        self._callables = frozenset(_callables(tree))
        self._decorators = _ELSEWHERE | frozenset(_decorators(tree))

    def read(self, node: ast.AST, kind: Kind, *, late: bool) -> Iterator[Import]:
        """The imports below a node.

        Args:
            node: Where to look.
            kind: What an import there is.
            late: Whether it is executed after the import of the file, which cannot tell then.
        """
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, kind=kind, late=late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield Import(node.module or "", node.lineno, node.level, names, kind, late)
        elif isinstance(node, ast.If) and _is_for_types(node.test):
            yield from self._each(node.body, "typing", late=late)
            yield from self._each(node.orelse, kind, late=late)
        else:
            if isinstance(node, _Function):
                kind, late = _weaker(kind, "elsewhere") if self._runs_elsewhere(node) else kind, True
            elif _may_fail(node) or (isinstance(node, ast.If) and not (late and not _asks(node.test))):
                kind = _weaker(kind, "optional")
            yield from self._each(ast.iter_child_nodes(node), kind, late=late)

    def _each(self, nodes: Iterable[ast.AST], kind: Kind, *, late: bool) -> Iterator[Import]:
        for node in nodes:
            yield from self.read(node, kind, late=late)

    def _runs_elsewhere(self, function: _Function) -> bool:
        return function.name in self._callables or any(
            last_name(each) in self._decorators for each in function.decorator_list
        )


def last_name(node: ast.expr) -> str:
    """The last name of what is called or named: `virtualenv` of `task.virtualenv(…)`."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _weaker(kind: Kind, other: Kind) -> Kind:
    return other if kind == "needed" else kind


def _callables(tree: ast.Module) -> Iterator[str]:
    """Functions that operators run elsewhere: `Operator(python_callable=f)`, or `Operator.partial(…)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            partial = isinstance(node.func, ast.Attribute) and node.func.attr == "partial"
            called = node.func.value if partial and isinstance(node.func, ast.Attribute) else node.func
            if last_name(called) in _OPERATORS:
                yield from (last_name(each.value) for each in node.keywords if each.arg == "python_callable")


def _decorators(tree: ast.Module) -> Iterator[str]:
    """Names that a file gives to decorators: `ours = task.virtualenv(requirements=[…])`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and last_name(node.value) in _ELSEWHERE:
            yield from (each.id for each in node.targets if isinstance(each, ast.Name))


def _may_fail(node: ast.AST) -> bool:
    """Whether imports below a statement may fail: one of its alternatives goes on without them."""
    if isinstance(node, ast.Try | ast.TryStar):
        return any(each.type is None or _NOT_THERE & _names(each.type) for each in node.handlers)
    if isinstance(node, ast.With):
        calls = [each.context_expr for each in node.items if isinstance(each.context_expr, ast.Call)]
        return any(last_name(each) == "suppress" and _NOT_THERE & _names(each) for each in calls)
    return False


def _asks(test: ast.expr) -> bool:
    """Whether a condition asks for the Python, the system or a package."""
    return bool(_OF_THE_MACHINE & _names(test)) or ast.unparse(test).startswith("os.name")


def _names(node: ast.AST) -> set[str]:
    return {last_name(each) for each in ast.walk(node) if isinstance(each, ast.Attribute | ast.Name)}


def _is_for_types(test: ast.expr) -> bool:
    return last_name(test) == "TYPE_CHECKING"
