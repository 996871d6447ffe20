"""The files of one DAG version: what each needs by its text, and what decides about its import."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from airflow_platform.dags.check import source
from airflow_platform.tools import results
from airflow_platform.tools.git import git_trees

PYTHON = ".py"

_NOTHING = source.Source()

_DANGLING = "to nothing"
"""The digest of a link that leads to nothing."""


class VersionFiles:
    """Every file of a version, by its path."""

    def __init__(self, whole: str, entries: Mapping[str, git_trees.Entry], root: Path) -> None:
        """Read the texts.

        Args:
            whole: The digest of the version.
            entries: Its files and folders.
            root: Where they are on disk.
        """
        links = dict(_links(entries, root))
        folders = {".", *(path for path, each in entries.items() if each.kind == git_trees.TREE)}
        folders |= {path for path, target in links.items() if target in folders}
        self.tree = source.Tree(frozenset(entries.keys() - folders), frozenset(folders), links)
        self.sources = {path: _source(root / path) for path in entries if path.endswith(PYTHON)}
        self._digests = {".": whole, **{path: _digest(path, entries, root) for path in entries}}
        data = sorted(path for path in self.tree.files if not path.endswith(PYTHON))
        self._data = results.key([(path, self._digests[path]) for path in data])
        # A version has hundreds of files, and each is asked several times.
        self.needs = functools.cache(self._needs)
        self.loads = functools.cache(functools.partial(self._needs, only_needed=True))
        self.modules = functools.cache(self._modules)

    @property
    def closed(self) -> bool:
        """Whether no link leads out of the version, to what may change unseen."""
        return not any(map(source.is_away, self.tree.links.values()))

    def identity(self, path: str) -> list[object]:
        """What decides about a file's import, as far as the texts tell.

        That is the file itself, the Python files that it may load, and all other files: native code, such as a
        database's, reads them unseen.
        """
        needs = [(name, self._digest(name)) for name in self.needs(path)]
        return [path, self._digest(path), needs, self.modules(path), self.loads(path), self._data]

    def seen(self, reads: Iterable[str], asks: Iterable[str]) -> list[object]:
        """What is there now: contents of what an import read, and what kind of thing is where it looked for modules."""
        return [[self._digest(path) for path in reads], [self._kind(path) for path in asks]]

    def airflow_modules(self, path: str) -> Iterable[str]:
        """Modules of Airflow that a file or its needs import: worth importing once for all."""
        return (name for name in self.modules(path) if name.startswith("airflow.") and ":" not in name)

    def _digest(self, path: str) -> str:
        """Of a file's or folder's content; "" when it is not there."""
        return self._digests.get(self.tree.real(path), "")

    def _kind(self, path: str) -> str:
        real = self.tree.real(path)
        if real in self.tree.folders:
            return "folder"
        return "file" if self._digests.get(real, _DANGLING) != _DANGLING else ""

    def _needs(self, path: str, *, only_needed: bool = False) -> tuple[str, ...]:
        """Files that a file's imports may load, directly or through others."""
        found: set[str] = set()
        waiting = [path]
        while waiting:
            file = waiting.pop()
            text = self.sources.get(file, _NOTHING)
            more = source.needs(file, text, self.tree, only_needed=only_needed) - found
            found |= more
            waiting += more
        return tuple(sorted(found - {path}))

    def _modules(self, path: str) -> tuple[str, ...]:
        """What a file and its needs import, and the folder of DAGs does not have: `module`, and `module:name`."""
        found: set[str] = set()
        for file in (path, *self.needs(path)):
            for each in self.sources.get(file, _NOTHING).imports:
                if each.kind == "needed" and not each.level and not source.is_here(each.module, self.tree):
                    found |= {each.module, *(f"{each.module}:{name}" for name in each.names if name != "*")}
        return tuple(sorted(found))


def _source(file: Path) -> source.Source:
    # A link could lead out of the folder, to what is not the author's to show.
    return _NOTHING if file.is_symlink() or not file.is_file() else source.read(file.read_bytes())


def _links(entries: Mapping[str, git_trees.Entry], root: Path) -> Iterator[tuple[str, str]]:
    """Links to folders, and those that lead away, with what they lead to."""
    for path, each in entries.items():
        if each.mode == git_trees.LINK:
            target = _target(path, root)
            is_folder = target == "." or (target in entries and entries[target].kind == git_trees.TREE)
            if is_folder or source.is_away(target):
                yield path, target


def _digest(path: str, entries: Mapping[str, git_trees.Entry], root: Path) -> str:
    """Of what is found at a path: for a link to a file, of what it leads to."""
    if entries[path].mode != git_trees.LINK:
        return entries[path].digest
    target = _target(path, root)
    return f"to {entries[target].digest}" if target in entries else _DANGLING


def _target(path: str, root: Path) -> str:
    """What a link leads to, without links, relative to the folder."""
    return os.path.relpath(os.path.realpath(root / path), root)
