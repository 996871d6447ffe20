"""The texts of one DAG version: what each file needs by what it says, and whether that is as it was."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from airflow_platform.rules import connections, imports, source
from airflow_platform.tools import git_trees, results

PYTHON = ".py"

_NOTHING = source.Source()

_READING = (source, imports, connections)
"""The code that decides what a text says."""

_AWAY = ""
"""The digest of what is outside of the version, and may change unseen."""


class Texts:
    """Every file of a version, by its path."""

    def __init__(
        self, digests: Mapping[str, str], folders: frozenset[str], sources: Mapping[str, source.Source]
    ) -> None:
        """Take them together.

        Args:
            digests: Of the contents of all files and folders, by their paths; "." is the whole, "" a link away.
            folders: Which of them are folders.
            sources: What the Python files say.
        """
        self.sources = sources
        self.paths = frozenset(digests.keys() - folders)
        self.folders = folders
        self.closed = _AWAY not in digests.values()
        """Whether no link leads out of the version."""
        # What is away is never the same again.
        self._digests = {path: digest or os.urandom(16).hex() for path, digest in digests.items()}
        # A version has hundreds of files, and each is asked several times.
        self.needs = functools.cache(self._needs)
        self.modules = functools.cache(self._modules)

    def digest(self, path: str) -> str:
        """Of a file's or folder's content; "" when it is not there."""
        return self._digests.get(path, "")

    def seen(self, names: Iterable[str]) -> dict[str, str]:
        """What is at each path now: its content, or with a question mark before it whether it is there."""
        return {name: self._kind(name[1:]) if name.startswith("?") else self.digest(name) for name in names}

    def _kind(self, path: str) -> str:
        return "folder" if path in self.folders else "file" if path in self.paths else ""

    def identity(self, path: str) -> list[object]:
        """What decides about a file's import, as far as the texts tell: its own, and those it may load."""
        needs = [(name, self.digest(name)) for name in self.needs(path)]
        return [path, self.digest(path), needs, self.modules(path)]

    def airflow_modules(self, path: str) -> Iterable[str]:
        """Modules of Airflow that a file or its needs import: worth importing once for all."""
        return (name for name in self.modules(path) if name.startswith("airflow."))

    def _needs(self, path: str) -> tuple[str, ...]:
        """Files that a file's imports may load, directly or through others."""
        found: set[str] = set()
        waiting = [path]
        while waiting:
            file = waiting.pop()
            more = source.needs(file, self.sources.get(file, _NOTHING), self.paths, self.folders) - found
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
        return tuple(sorted(name for name in names if not source.is_here(name, self.paths, self.folders)))


def read(tree: str, entries: Mapping[str, git_trees.Entry], root: Path, kept: results.Results) -> Texts:
    """The texts of the files below a folder; what one says is kept by its content alone.

    Args:
        tree: The digest of the folder.
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

    folders = frozenset({".", *(path for path, each in entries.items() if each.kind == git_trees.TREE)})
    digests = {path: _digest(path, entries, root) for path in entries}
    sources = {path: said(path) for path in entries if path.endswith(PYTHON)}
    return Texts({".": tree, **digests}, folders, sources)


def _digest(path: str, entries: Mapping[str, git_trees.Entry], root: Path) -> str:
    """Of what is found at a path: for a link, of what it leads to."""
    if entries[path].mode != git_trees.LINK:
        return entries[path].digest
    target = os.path.relpath(os.path.realpath(root / path), root)
    if target in entries:
        return f"to {entries[target].digest}"
    return _AWAY if Path(target).parts[0] == os.pardir else "to nothing"
