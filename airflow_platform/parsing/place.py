"""A worker's directory: one worker listens there, however many were started and whatever was left."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from airflow_platform.parsing import protocol

WAITING = 16
"""Clients that may wait until they are accepted."""


def take(directory: Path) -> int | None:
    """The directory's lock, for the rest of this process's life; None when another process has it.

    Raises:
        OSError: There is no such directory, or it has been deleted meanwhile.
    """
    lock = directory / protocol.LOCK
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


def is_free(directory: Path) -> bool:
    """Whether no worker lives there: the kernel frees the lock with the process that held it."""
    try:
        held = take(directory)
    except FileNotFoundError:
        return True
    if held is not None:
        os.close(held)
    return held is not None


def listen(directory: Path) -> socket.socket:
    """Listen there, in place of a worker that was killed. Only the holder of the lock may."""
    draft = f".{protocol.SOCKET}.new"
    with contextlib.suppress(FileNotFoundError):
        (directory / draft).unlink()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with reachable(directory) as near:
        server.bind(f"{near}/{draft}")
    (directory / draft).chmod(0o600)
    server.listen(WAITING)
    (directory / draft).rename(directory / protocol.SOCKET)
    return server


def listener(line: socket.socket) -> int:
    """The process that listens where a line is connected to; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    told = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", told)[0])


def is_ours(directory: Path, identity: tuple[int, int]) -> bool:
    """Whether the socket that clients find there is still the one with this identity."""
    try:
        return identity_of(directory) == identity
    except OSError:
        return False


def identity_of(directory: Path) -> tuple[int, int]:
    """Device and inode of the socket that clients find there."""
    found = (directory / protocol.SOCKET).stat()
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def reachable(directory: Path) -> Iterator[str]:
    """A short path to the directory: the kernel takes 107 bytes of a socket's, and caches lie deep."""
    if not Path("/proc/self/fd").is_dir():
        yield str(directory)
        return
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{held}"
    finally:
        os.close(held)
