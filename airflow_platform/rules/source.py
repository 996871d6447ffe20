"""What the text of a Python file says, without executing it: what it imports, which connections it names."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

Kind = Literal["needed", "optional", "typing"]

HOOK = "SnowflakeHook"
"""The hook whose first argument is a connection id."""


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
    """Optional ones stand in a `try` that expects ImportError; those for types are never executed."""


@dataclass(frozen=True)
class Connection:
    """A connection id that stands in the text."""

    id: str
    line: int


@dataclass(frozen=True)
class Source:
    """What was read."""

    imports: tuple[Import, ...] = ()
    connections: tuple[Connection, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a cache keeps it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Source:
        """What `to_json` made.

        Raises:
            KeyError, TypeError: It was not.
        """
        return cls(
            tuple(Import(**{**each, "names": tuple(each["names"])}) for each in found["imports"]),
            tuple(Connection(**each) for each in found["connections"]),
        )


def read(text: bytes) -> Source:
    """Read a file; one that is no Python says nothing here: importing it tells why."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Source()
    constants = _constants(tree)
    connections = {Connection(name, line) for name, line in _connections(tree, constants)}
    try:
        imports = tuple(_imports(tree, "needed"))
    except RecursionError:
        imports = ()
    return Source(imports, tuple(sorted(connections, key=lambda each: (each.line, each.id))))


def needs(path: str, source: Source, known: Collection[str], folders: Collection[str]) -> frozenset[str]:
    """The files of the folder that a file's imports may load; packages' own files come first for Airflow.

    Args:
        path: Of the file, relative to the folder of DAGs.
        source: What its text says.
        known: The paths of all files there.
        folders: The paths of all folders there.
    """
    found: set[str] = set()
    for each in source.imports:
        top = each.module.partition(".")[0]
        # Nearly all imports are of packages, and a version has thousands of them.
        if each.kind == "typing" or not (each.level or f"{top}.py" in known or top in folders):
            continue
        found.update(file for module in _modules(path, each) for file in _files(module) if file in known)
    return frozenset(found - {path})


def is_here(module: str, known: Collection[str], folders: Collection[str]) -> bool:
    """Whether the folder of DAGs has a module."""
    name = module.replace(".", "/")
    return f"{name}.py" in known or name in folders


def _modules(path: str, each: Import) -> Iterator[str]:
    """The modules that an import statement may load, as paths."""
    start = each.module.replace(".", "/")
    if each.level:
        parents = list(PurePosixPath(path).parents)
        base = parents[min(each.level, len(parents)) - 1]
        start = str(base / start) if start else str(base)
    yield start
    yield from (f"{start}/{name}".removeprefix("./") for name in each.names)


def _files(module: str) -> Iterator[str]:
    """Where a module and the packages above it may be."""
    parts = module.split("/")
    for end in range(1, len(parts) + 1):
        part = "/".join(parts[:end])
        yield f"{part}.py"
        yield f"{part}/__init__.py"


def _imports(node: ast.AST, kind: Kind) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, node.lineno, kind=kind) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        names = tuple(alias.name for alias in node.names)
        yield Import(node.module or "", node.lineno, node.level, names, kind)
    elif isinstance(node, ast.Try) and any(_expects_import_error(each) for each in node.handlers):
        for each in node.body:
            yield from _imports(each, "optional" if kind == "needed" else kind)
        for other in (*node.handlers, *node.orelse, *node.finalbody):
            yield from _imports(other, kind)
    elif isinstance(node, ast.If) and _is_for_types(node.test):
        for each in node.body:
            yield from _imports(each, "typing")
        for each in node.orelse:
            yield from _imports(each, kind)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, kind)


def _expects_import_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {each.id for each in ast.walk(handler.type) if isinstance(each, ast.Name)}
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def _is_for_types(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _constants(tree: ast.Module) -> dict[str, str]:
    """Texts that are given a name at the top of the file."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    found[target.id] = node.value.value
    return found


def _connections(tree: ast.Module, constants: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = [each.value for each in node.keywords if (each.arg or "").endswith("conn_id")]
        if called in (HOOK, "get_connection") and node.args:
            given.append(node.args[0])
        for value in given:
            text = _text(value, constants)
            if text and "{{" not in text:
                yield text, value.lineno


def _text(value: ast.expr, constants: Mapping[str, str]) -> str:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    return constants.get(value.id, "") if isinstance(value, ast.Name) else ""
