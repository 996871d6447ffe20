"""Directories that imports may write to: each has a fresh one, and it goes, whatever a file has made of it."""

from __future__ import annotations

import math
import os
import secrets
import stat
import tempfile
import time
from pathlib import Path

MODE = 0o711
"""Of the directory that they are in: imports run as other users, and are not to see each other's."""


_CONDEMNED = ".gone-"
"""How the names of directories begin that are being deleted."""


def fresh(parent: Path, owner: int | None) -> Path:
    """A new directory that belongs to a user and group id, or to us; `parent` is made, or mended, for it."""
    parent.mkdir(parents=True, exist_ok=True)
    parent.chmod(MODE)  # An import that runs as ourselves can have changed it.
    made = Path(tempfile.mkdtemp(dir=parent))
    if owner is not None:
        os.chown(made, owner, owner)
    return made


def condemned(tree: Path) -> Path:
    """Move a directory to a name beside it that no owner uses: nobody can put anything into it any more.

    Raises:
        OSError: It is not there, or cannot be moved.
    """
    if tree.name.startswith(_CONDEMNED):
        return tree
    return tree.rename(tree.with_name(f"{_CONDEMNED}{secrets.token_hex(8)}"))


def discard(tree: Path, *, seconds: float = math.inf) -> bool:
    """Delete a directory; False if there is more to delete than can be in that time."""
    try:
        remove(tree, until=time.monotonic() + seconds)
    except TimeoutError:
        return False
    except OSError:
        return True  # It cannot be deleted, also not later; nobody is given it again.
    return True


def names(parent: Path) -> set[str]:
    """What is in a directory; nothing where there is none."""
    try:
        return {path.name for path in parent.iterdir()}
    except OSError:
        return set()


def remove(tree: Path, *, until: float = math.inf) -> None:
    """Delete a directory, however deep it is and whatever its modes are.

    Folders are moved up instead of descended into: a path can be longer than the kernel takes, and a file can make
    thousands of levels. No link is followed, not even one that appears meanwhile.

    Args:
        tree: The directory.
        until: A time of the monotonic clock; something is deleted also when it is over.

    Raises:
        TimeoutError: Not all could be deleted until then; to be called again.
        OSError: It is none, or cannot be deleted.
    """
    top = _opened(tree, None)
    try:
        while found := os.listdir(top):  # noqa: PTH208 - of a descriptor, which no path is.
            for name in found:
                if _is_folder(name, top):
                    _flatten(name, top, until)
                else:
                    os.unlink(name, dir_fd=top)
                _check(until)
    finally:
        os.close(top)
    tree.rmdir()


def _flatten(name: str, top: int, until: float) -> None:
    """Delete a folder and its files; its folders move to the top."""
    folder = _opened(name, top)
    try:
        for each in os.listdir(folder):  # noqa: PTH208 - of a descriptor, which no path is.
            if _is_folder(each, folder):
                _allow(each, folder)  # Who moves a folder changes what ".." is in it.
                os.rename(each, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(each, dir_fd=folder)
            _check(until)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _check(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError


def _opened(path: Path | str, within: int | None) -> int:
    _allow(path, within)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)


def _allow(path: Path | str, within: int | None) -> None:
    """Let us into a folder of our own. Root needs no leave, and must not change what a link leads to."""
    if os.geteuid() != 0 and _is_folder(path, within):
        os.chmod(path, 0o700, dir_fd=within)


def _is_folder(path: Path | str, within: int | None) -> bool:
    return stat.S_ISDIR(os.stat(path, dir_fd=within, follow_symlinks=False).st_mode)
