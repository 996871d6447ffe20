"""Temporary directories that are also gone after a kill: the next one made there takes away what was left."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from airflow_platform import errors
from airflow_platform.tools import files

_CONDEMNED = ".gone-"
"""How the names of directories begin that are being deleted."""


@contextlib.contextmanager
def directory(parent: Path) -> Iterator[Path]:
    """A new directory, 0700, for as long as this lasts.

    Args:
        parent: Made if missing; nobody but us can list it.

    Yields:
        Its path, without links in it.

    Raises:
        StateError: It cannot be made.
    """
    files.make_directory(parent, mode=0o711)
    sweep(parent)
    made, held = _taken(parent)
    try:
        yield made
    finally:
        _delete(made)
        os.close(held)


def sweep(parent: Path) -> None:
    """Delete what killed runs have left there: the kernel has freed their locks."""
    for path in list(parent.iterdir()) if parent.is_dir() else ():
        with contextlib.suppress(OSError):
            held = _lock(path)
            if held is not None:
                _delete(path)
                os.close(held)


def _taken(parent: Path) -> tuple[Path, int]:
    """A new directory, and its lock, which says to others that it is in use."""
    while True:
        try:
            made = Path(tempfile.mkdtemp(dir=parent)).resolve()
            held = _lock(made)
        except FileNotFoundError:
            continue  # Somebody swept it away before it was locked.
        except OSError as error:
            raise errors.StateError.of(parent, error) from error
        if held is not None:
            return made, held


def _delete(made: Path) -> None:
    """Delete a directory whose lock we have. Its name goes first: the next lock would be made while it goes."""
    with contextlib.suppress(OSError):  # Somebody else may have moved it.
        remove(made.rename(made.with_name(f"{_CONDEMNED}{secrets.token_hex(8)}")))


def _lock(directory: Path) -> int | None:
    """The directory's lock, for the rest of this process's life; None when another process has it.

    Raises:
        OSError: There is no such directory, or it has been deleted meanwhile.
    """
    lock = directory / "lock"
    held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(held), lock.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
    except BlockingIOError:
        os.close(held)
        return None
    except OSError:
        os.close(held)
        raise
    return held


def remove(tree: Path) -> None:
    """Delete a directory, however deep it is and whatever its modes are.

    Folders are moved up instead of descended into: a path can be longer than the kernel takes, and a file can make
    thousands of levels. No link is followed, not even one that appears meanwhile.

    Raises:
        OSError: It is no directory, or cannot be deleted.
    """
    top = _opened(tree, None)
    try:
        while found := os.listdir(top):  # noqa: PTH208 - of a descriptor, which no path is.
            for name in found:
                if _is_folder(name, top):
                    _flatten(name, top)
                else:
                    os.unlink(name, dir_fd=top)
    finally:
        os.close(top)
    tree.rmdir()


def _flatten(name: str, top: int) -> None:
    """Delete a folder and its files; its folders move to the top."""
    folder = _opened(name, top)
    try:
        for each in os.listdir(folder):  # noqa: PTH208 - of a descriptor, which no path is.
            if _is_folder(each, folder):
                _allow(each, folder)  # Who moves a folder changes what ".." is in it.
                os.rename(each, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(each, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _opened(path: Path | str, within: int | None) -> int:
    _allow(path, within)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)


def _allow(path: Path | str, within: int | None) -> None:
    """Let us into a folder of our own. Root needs no leave, and must not change what a link leads to."""
    if os.geteuid() != 0 and _is_folder(path, within):
        os.chmod(path, 0o700, dir_fd=within)


def _is_folder(path: Path | str, within: int | None) -> bool:
    return stat.S_ISDIR(os.stat(path, dir_fd=within, follow_symlinks=False).st_mode)
