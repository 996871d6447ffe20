"""Which files of DAGs a change of the DAG version can concern, so that only those have to be parsed again.

A file concerns itself and whatever names it: a module is named where it is imported, in whichever way. This
errs on the side of parsing too much: a word is a name, a file that looks for others by itself is concerned by
every change, and a change of anything but a Python file (a template of SQL, settings) concerns all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools.git import git

LOOKING = (
    "importlib", "import_module", "__import__", "pkgutil", "runpy", "exec", "glob", "rglob", "iterdir", "listdir",
    "scandir", "walk",
)  # fmt: skip
"""Words of a file that may look for other files by itself."""


@dataclass(frozen=True)
class Concerned:
    """Files that have to be parsed again, relative to the folder of DAGs."""

    files: frozenset[str]
    all: bool = False
    """Whether it is all of them, `files` or not."""
    gone: frozenset[str] = frozenset()
    """Files that are no longer there; nobody can parse those."""

    def __contains__(self, file: str) -> bool:
        return file not in self.gone and (self.all or file in self.files)

    def __or__(self, other: Concerned) -> Concerned:
        """What either of two ways to the same version concerns."""
        return Concerned(self.files | other.files, all=self.all or other.all, gone=self.gone | other.gone)


NONE, ALL = Concerned(frozenset()), Concerned(frozenset(), all=True)


@dataclass(frozen=True)
class Version:
    """A DAG version, and a repository that has it."""

    repository: Path
    tree: str


def at(runner: programs.Programs, repositories: Iterable[Path], commit: str, folder: str) -> Version | None:
    """The version that a commit has, from the first of the repositories that knows it; None where none does."""
    for repository in repositories if commit else ():
        if (repository / "HEAD").is_file() and (tree := git.tree(runner, repository, commit, folder)):
            return Version(repository, tree)
    return None


def concerned(runner: programs.Programs, old: Version | None, new: Version) -> Concerned:
    """What has to be parsed again when a tenant comes from one version to another.

    Args:
        runner: Starts Git.
        old: The version before; None where it is not known, and everything is concerned.
        new: The version now.
    """
    if old is None:
        return ALL
    if old.tree == new.tree:
        return NONE
    before, after = (git.listed(runner, each.repository, each.tree) for each in (old, new))
    changed = {path for path, _ in before.items() ^ after.items()}
    gone = frozenset(before.keys() - after.keys())
    if any(not path.endswith(".py") for path in changed):
        return Concerned(frozenset(), all=True, gone=gone)
    found = changed | _naming(runner, new, LOOKING)
    fresh = set(changed)
    while fresh:
        naming = _naming(runner, new, {_module(path) for path in fresh})
        fresh = naming - found
        found |= naming
    return Concerned(frozenset(found), gone=gone)


class Known:
    """What was found out about versions, once for all tenants: neither a commit nor a tree ever changes."""

    def __init__(self, runner: programs.Programs) -> None:
        self._runner = runner
        self._versions: dict[str, Version] = {}
        self._ways: dict[tuple[str, str], Concerned] = {}
        self._lock = threading.Lock()

    def version(self, commit: str, repositories: Iterable[Path], folder: str) -> Version | None:
        """The version that a commit has; None where none of the repositories knows it."""
        with self._lock:
            if commit not in self._versions:
                found = at(self._runner, repositories, commit, folder)
                if found is None:
                    return None
                self._versions[commit] = found
            return self._versions[commit]

    def way(self, old: Version | None, new: Version) -> Concerned:
        """What the way from one version to another concerns."""
        if old is None:
            return ALL
        with self._lock:
            key = (old.tree, new.tree)
            if key not in self._ways:
                self._ways[key] = concerned(self._runner, old, new)
            return self._ways[key]


def _module(path: str) -> str:
    """The word by which a file is imported: a package's is its folder's name."""
    file = PurePosixPath(path)
    return file.parent.name if file.name == "__init__.py" else file.stem


def _naming(runner: programs.Programs, version: Version, names: Iterable[str]) -> set[str]:
    """The Python files of a version that have one of these words in them."""
    patterns = [word for name in sorted(names) if name for word in ("-e", name)]
    if not patterns:
        return set()
    words = ("grep", "--name-only", "-z", "--word-regexp", "--fixed-strings", *patterns, version.tree)
    done = git.call(runner, version.repository, *words, check=False)
    # 1 says that there is none; a file that it cannot read it only mentions.
    if done.code > 1 or any(line.startswith("error:") for line in done.tail):
        raise errors.ProgramError("git grep", done.code, done.tail)
    paths = (path.removeprefix(f"{version.tree}:") for path in done.stdout.split("\0"))
    return {path for path in paths if path.endswith(".py")}
