"""What a Git tree holds, and its files on disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors, programs
from airflow_platform.parsing import place as locks
from airflow_platform.parsing import scratch
from airflow_platform.tools import files, git

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
    files.make_directory(parent, mode=0o711)
    _sweep(parent)
    place, held = _taken(parent)
    try:
        with files.state_errors(place):
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
    finally:
        _delete(place)
        os.close(held)


def _taken(parent: Path) -> tuple[Path, int]:
    """A new directory, and its lock, which says to others that it is in use."""
    while True:
        try:
            place = Path(tempfile.mkdtemp(dir=parent)).resolve()
            held = locks.take(place)
        except FileNotFoundError:
            continue  # Somebody swept it away before it was locked.
        except OSError as error:
            raise errors.StateError.of(parent, error) from error
        if held is not None:
            return place, held


def _sweep(parent: Path) -> None:
    """Delete what killed runs have left: the kernel has freed their locks."""
    for name in scratch.names(parent):
        with contextlib.suppress(OSError):
            held = locks.take(parent / name)
            if held is not None:
                _delete(parent / name)
                os.close(held)


def _delete(place: Path) -> None:
    """Delete a directory whose lock we have. Its name goes first: the next lock would be made while it goes."""
    with contextlib.suppress(OSError):  # Somebody else may have moved it.
        scratch.discard(scratch.condemned(place))
