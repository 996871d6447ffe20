"""Files and directories that are there whole or not at all, with the mode and owner asked for."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from airflow_platform import errors


@contextlib.contextmanager
def replacing(
    path: Path, *, mode: int = 0o600, owner: int | None = None, drafts: Path | None = None
) -> Iterator[tuple[int, Path]]:
    """A new, empty file; at the end of the block it is synced to disk and renamed to `path`.

    The draft always has the same name, so that what a killed run left, which may be half of a
    secret, is replaced by the next. Two writers at a time are for the caller's lock to prevent.

    Args:
        path: What is replaced, whole or not at all.
        mode: Permission bits of the new file.
        owner: Its user and group id; by default ours.
        drafts: The directory of the draft, on the same file system; by default that of `path`. Where
            somebody else can write that one, a directory of our own: whoever could swap the draft for
            a link would have us write elsewhere.

    Yields:
        The draft's descriptor, for writing, and its path.

    Raises:
        StateError: A full disk, a lost permission; the old file is as it was.
    """
    draft = (drafts or path.parent) / f".{path.name}.new"
    with errors.state_errors(path):
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            yield descriptor, draft
            os.fchmod(descriptor, mode)
            if owner is not None:
                os.fchown(descriptor, owner, owner)
            os.fsync(descriptor)
            draft.replace(path)
            _sync(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        finally:
            os.close(descriptor)


def write(
    path: Path,
    content: str | bytes,
    *,
    mode: int = 0o600,
    owner: int | None = None,
    drafts: Path | None = None,
) -> None:
    """Replace a file in one step; see `replacing`."""
    data = content.encode() if isinstance(content, str) else content
    with (
        replacing(path, mode=mode, owner=owner, drafts=drafts) as (descriptor, _),
        os.fdopen(descriptor, "wb", closefd=False) as file,
    ):
        file.write(data)


def read_untrusted(path: Path, *, limit: int) -> bytes:
    """A small file from a directory that somebody else can write.

    Raises:
        OSError: It is a link, a pipe or a device, or cannot be read.
        ValueError: It has more than `limit` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path} has more than {limit} bytes")
    return data


def make_directory(path: Path, *, mode: int, owner: int | None = None, group: int | None = None) -> None:
    """Make a directory, or fix the mode and owner of an existing one.

    Args:
        path: The directory; its parents are made with mode 0755.
        mode: Permission bits, exactly.
        owner: User and group id; by default left as they are.
        group: Group id, where it is another.

    Raises:
        StateError: It cannot be made, or is no directory.
    """
    with errors.state_errors(path):
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if owner is not None or group is not None:
                group = owner if group is None else group
                os.fchown(descriptor, -1 if owner is None else owner, -1 if group is None else group)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)


def _sync(directory: Path) -> None:
    """Make a rename in a directory durable; a file system that cannot is none of ours to refuse."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fits(path: Path, *, mode: int, owner: int | None = None, group: int | None = None) -> bool:
    """Whether a file or directory is there with this mode, owner and group."""
    try:
        found = path.lstat()
    except OSError:
        return False
    group = owner if group is None else group
    return (
        found.st_mode & 0o7777 == mode
        and (owner is None or found.st_uid == owner)
        and (group is None or found.st_gid == group)
    )
