"""What a Git tree holds, and its files on disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools import temporary
from airflow_platform.tools.git import git

TREE = "tree"
"""The kind of an entry that is a folder."""

LINK = "120000"
"""The mode of an entry that is a symbolic link."""


@dataclass(frozen=True)
class Entry:
    """A file or folder of a tree."""

    kind: str
    """blob, tree, or commit: a submodule."""
    mode: str
    """100644, 100755, 040000, 160000 or `LINK`."""
    digest: str
    """Of its content: 40 hexadecimal digits."""


def entries(runner: programs.Programs, repository: Path, tree: str) -> Mapping[str, Entry]:
    """Every file and folder below a tree, by its path."""
    printed = git.call(runner, repository, "ls-tree", "-r", "-t", "-z", tree).stdout
    found = {}
    for line in printed.split("\0"):
        if line:
            what, _, path = line.partition("\t")
            mode, kind, digest = what.split()
            found[path] = Entry(kind, mode, digest)
    return found


@contextlib.contextmanager
def on_disk(
    runner: programs.Programs, repository: Path, tree: str, parent: Path, name: str
) -> Iterator[Path]:
    """The files of a tree in a folder that is there while inside, as a checkout would have them.

    Args:
        runner: Starts Git.
        repository: Where the tree is.
        tree: Its digest.
        parent: Made if missing; nobody but us can list it.
        name: The folder's name.

    Yields:
        The folder, without links in its path.
    """
    with temporary.directory(parent) as place:
        with errors.state_errors(place):
            place.chmod(0o755)
            (place / name).mkdir(mode=0o755)
        # An index and a work tree of its own: the repository's are not touched, and a bare one has none.
        index = {"GIT_INDEX_FILE": str(place / "index")}
        kept = git.call(runner, repository, "rev-parse", "--absolute-git-dir").stdout.strip()
        ours = (f"--git-dir={kept}", f"--work-tree={place}", "-c", "core.bare=false")
        git.call(runner, place, *ours, "read-tree", tree, env=index)
        prefix = f"--prefix={place / name}{os.sep}"
        git.call(runner, place, *ours, "checkout-index", "--all", "--quiet", prefix, env=index)
        yield place / name
