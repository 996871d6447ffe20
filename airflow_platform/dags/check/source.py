"""What the text of a Python file says, without executing it: what it imports, which connections it names."""

from __future__ import annotations

import ast
import functools
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from airflow_platform.dags.check import connection_ids, import_statements
from airflow_platform.dags.check.connection_ids import Connection, Constant, Elsewhere
from airflow_platform.dags.check.import_statements import Import


@dataclass(frozen=True)
class Source:
    """What was read."""

    imports: tuple[Import, ...] = ()
    connections: tuple[Connection, ...] = ()
    constants: tuple[Constant, ...] = ()
    empty: bool = False
    """Whether it gives nothing a name."""


@dataclass(frozen=True)
class Tree:
    """The paths of one DAG version, as whoever follows its links sees them, relative to the folder of DAGs."""

    files: frozenset[str] = frozenset()
    """Also links, but those to folders."""
    folders: frozenset[str] = frozenset()
    """Also links to folders; "." is the whole."""
    links: Mapping[str, str] = field(default_factory=dict)
    """What links to folders, and those that lead away, lead to: a path without links, which begins with ".." outside."""

    def real(self, path: str) -> str:
        """A path without links to folders in it; one that begins with ".." where they lead away."""
        if not self.links:
            return path
        done = "."
        for part in path.split("/"):
            here = part if done == "." else f"{done}/{part}"
            done = self.links.get(here, here)
        return done

    def has(self, module: str) -> bool:
        """Whether there is a module at a path without suffix; what is away may have any."""
        real = self.real(module)
        return is_away(real) or real in self.folders or real in self._modules

    @functools.cached_property
    def _modules(self) -> frozenset[str]:
        """Files that can be imported, without suffix: native ones have their Python's version in it."""
        found = set()
        for path in self.files:
            folder, slash, name = path.rpartition("/")
            stem, _, suffix = name.partition(".")
            if suffix in ("py", "pyc") or suffix.rpartition(".")[2] in ("so", "pyd"):
                found.add(f"{folder}{slash}{stem}")
        return frozenset(found)


def is_away(real: str) -> bool:
    """Whether a path without links is outside of the folder of DAGs."""
    return real.partition("/")[0] == os.pardir


def read(text: bytes) -> Source:
    """Read a file. Airflow's Python may parse what ours cannot; the import then decides."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # They are for whoever runs it.
            tree = ast.parse(text)
        return Source(
            tuple(import_statements.of(tree)),
            connection_ids.of(tree),
            connection_ids.constants(tree),
            empty=all(isinstance(each, ast.Expr) for each in tree.body),
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Source()


def needs(path: str, source: Source, tree: Tree, *, only_needed: bool = False) -> frozenset[str]:
    """The files of the folder that a file's imports may load; packages' own files come first for Airflow.

    Args:
        path: Of the file, relative to the folder of DAGs.
        source: What its text says.
        tree: All that is there.
        only_needed: Without those that may fail.
    """
    found: set[str] = set()
    for each in source.imports:
        top = each.module.partition(".")[0]
        # Nearly all imports are of packages, and a version has thousands of them.
        if not (each.level or f"{top}.py" in tree.files or top in tree.folders):
            continue
        if each.kind == "needed" or (each.kind == "optional" and not only_needed):
            files = (tree.real(file) for module in _modules(path, each) for file in _files(module))
            found.update(file for file in files if file in tree.files)
    return frozenset(found - {path})


def is_here(module: str, tree: Tree) -> bool:
    """Whether the folder of DAGs has a module."""
    return tree.has(module.replace(".", "/"))


def lacking(path: str, each: Import, sources: Mapping[str, Source], tree: Tree) -> Iterator[str]:
    """The modules that an import with dots names and the folder does not have; packages cannot have them."""
    if not each.level:
        return
    start, *below = _modules(path, each)
    if each.module and not tree.has(start):
        yield f"{'.' * each.level}{each.module}"
        return
    own = tree.real(f"{start}/__init__.py".removeprefix("./"))
    is_module = each.module and (
        tree.real(f"{start}.py") in tree.files or tree.real(start) not in tree.folders
    )
    if (own in tree.files and not sources.get(own, Source()).empty) or (is_module and own not in tree.files):
        return  # It may give the name itself.
    for name, module in zip(each.names, below, strict=True):
        if name != "*" and not tree.has(module):
            yield f"{'.' * each.level}{each.module}{'.' * bool(each.module)}{name}"


def connection_id(path: str, each: Connection, sources: Mapping[str, Source]) -> str:
    """The id that a text names, also where another file has it; "" where that cannot be told."""
    return each.id if each.elsewhere is None else _constant(path, each.elsewhere, sources)


def _constant(path: str, what: Elsewhere, sources: Mapping[str, Source]) -> str:
    """What a name means in another file, or in one that it has it from."""
    waiting = list(_homes(path, what.module, what.level))
    seen: set[str] = set()
    while waiting:
        file = waiting.pop()
        if file in seen or file not in sources:
            continue
        seen.add(file)
        for constant in sources[file].constants:
            if constant.name == what.name:
                return constant.value
        more = [(each.module, each.level) for each in sources[file].imports if what.name in each.names]
        for module, level in reversed(dict.fromkeys(more)):
            waiting += _homes(file, module, level)
    return ""


def _homes(path: str, module: str, level: int) -> tuple[str, str]:
    """The files that a module may be, the one that Python looks for first as the last."""
    start = next(_modules(path, Import(module, 1, level)))
    return f"{start}.py", f"{start}/__init__.py".removeprefix("./")


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
