"""The texts of one DAG version: what each file needs by what it says, and whether that is as it was."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from airflow_platform.rules import connections, imports, source, tree
from airflow_platform.tools import git_trees, results

PYTHON = ".py"

_NOTHING = source.Source()

_READING = (source, imports, connections)
"""The code that decides what a text says."""

_LOST = "to nothing"
"""The digest of a link that leads to nothing."""


class Texts:
    """Every file of a version, by its path."""

    def __init__(
        self, digests: Mapping[str, str], paths: tree.Tree, sources: Mapping[str, source.Source]
    ) -> None:
        """Take them together.

        Args:
            digests: Of the contents of all files and folders, by their paths; "." is the whole.
            paths: All of them.
            sources: What the Python files say.
        """
        self.sources = sources
        self.tree = paths
        self._digests = digests
        # A version has hundreds of files, and each is asked several times.
        self.needs = functools.cache(self._needs)
        self.loads = functools.cache(functools.partial(self._needs, only_needed=True))
        self.modules = functools.cache(self._modules)

    @property
    def closed(self) -> bool:
        """Whether no link leads out of the version."""
        return not any(map(tree.is_away, self.tree.links.values()))

    def digest(self, path: str) -> str:
        """Of a file's or folder's content; "" when it is not there."""
        real = self.tree.real(path)
        return _never_the_same() if tree.is_away(real) else self._digests.get(real, "")

    def seen(self, names: Iterable[str]) -> dict[str, str]:
        """What is at each path now: its content, or with a question mark before it whether it is there."""
        return {name: self._kind(name[1:]) if name.startswith("?") else self.digest(name) for name in names}

    def _kind(self, path: str) -> str:
        real = self.tree.real(path)
        if tree.is_away(real):
            return _never_the_same()
        if real in self.tree.folders:
            return "folder"
        return "file" if self._digests.get(real, _LOST) != _LOST else ""

    def identity(self, path: str) -> list[object]:
        """What decides about a file's import, as far as the texts tell: its own, and those it may load."""
        needs = [(name, self.digest(name)) for name in self.needs(path)]
        return [path, self.digest(path), needs, self.modules(path), self.loads(path)]

    def airflow_modules(self, path: str) -> Iterable[str]:
        """Modules of Airflow that a file or its needs import: worth importing once for all."""
        return (name for name in self.modules(path) if name.startswith("airflow."))

    def _needs(self, path: str, *, only_needed: bool = False) -> tuple[str, ...]:
        """Files that a file's imports may load, directly or through others."""
        found: set[str] = set()
        waiting = [path]
        while waiting:
            file = waiting.pop()
            said = self.sources.get(file, _NOTHING)
            more = source.needs(file, said, self.tree, only_needed=only_needed) - found
            found |= more
            waiting += more
        return tuple(sorted(found - {path}))

    def _modules(self, path: str) -> tuple[str, ...]:
        """What a file and its needs import, and the folder of DAGs does not have."""
        names = {
            each.module
            for file in (path, *self.needs(path))
            for each in self.sources.get(file, _NOTHING).imports
            if each.kind == "needed" and not each.level
        }
        return tuple(sorted(name for name in names if not source.is_here(name, self.tree)))


def read(whole: str, entries: Mapping[str, git_trees.Entry], root: Path, kept: results.Results) -> Texts:
    """The texts of the files below a folder; what one says is kept by its content alone.

    Args:
        whole: The digest of the folder.
        entries: Its files and folders.
        root: Where they are on disk.
        kept: What is known of texts.
    """
    code = [hashlib.sha256(Path(str(each.__file__)).read_bytes()).hexdigest() for each in _READING]

    def said(path: str) -> source.Source:
        key = results.key(entries[path].digest, code)
        if (known := kept.get("sources", key)) is not None:
            return source.Source.from_json(known)
        file = root / path
        # A link could lead out of the folder, to what is not the author's to show.
        found = _NOTHING if file.is_symlink() or not file.is_file() else source.read(file.read_bytes())
        kept.put("sources", key, found.to_json())
        return found

    links = dict(_links(entries, root))
    folders = {".", *(path for path, each in entries.items() if each.kind == git_trees.TREE)}
    folders |= {path for path, target in links.items() if target in folders}
    digests = {path: _digest(path, entries, root) for path in entries}
    sources = {path: said(path) for path in entries if path.endswith(PYTHON)}
    paths = tree.Tree(frozenset(entries.keys() - folders), frozenset(folders), links)
    return Texts({".": whole, **digests}, paths, sources)


def _links(entries: Mapping[str, git_trees.Entry], root: Path) -> Iterator[tuple[str, str]]:
    """Links to folders, and those that lead away, with what they lead to."""
    for path, each in entries.items():
        if each.mode == git_trees.LINK:
            target = _target(path, root)
            is_folder = target == "." or (target in entries and entries[target].kind == git_trees.TREE)
            if is_folder or tree.is_away(target):
                yield path, target


def _digest(path: str, entries: Mapping[str, git_trees.Entry], root: Path) -> str:
    """Of what is found at a path: for a link to a file, of what it leads to."""
    if entries[path].mode != git_trees.LINK:
        return entries[path].digest
    target = _target(path, root)
    return f"to {entries[target].digest}" if target in entries else _LOST


def _target(path: str, root: Path) -> str:
    """What a link leads to, without links, relative to the folder."""
    return os.path.relpath(os.path.realpath(root / path), root)


def _never_the_same() -> str:
    """What stands for the content of what is outside of the version, and may change unseen."""
    return os.urandom(16).hex()
