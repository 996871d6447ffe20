"""User ids for tenants: derived, not registered, so nothing is left on the machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

FIRST = 1_879_048_192
"""The lowest id: this and the 2**28 - 1 above it are unused by every system, as systemd's table
UIDS-GIDS lists them."""

COUNT = 2**28


def of_tenant(directory: Path) -> int | None:
    """The user id of the tenant whose directory this is; None unless we are root and may use it.

    The id of a new tenant is derived from the directory's path: distinct between tenants,
    environments and checkouts (two of a thousand tenants meet in 1 of 500 machines), and in need
    of no entry in /etc/passwd. From then on the directory's group is that id, so that it stays the
    same when the state is moved or reached by another path.
    """
    if os.geteuid() != 0 or not _mapped():
        return None
    with contextlib.suppress(OSError):
        found = directory.stat()
        if found.st_uid == 0 and FIRST <= found.st_gid < FIRST + COUNT:
            return found.st_gid
    digest = hashlib.sha256(str(directory).encode()).digest()
    return FIRST + int.from_bytes(digest[:4], "big") % COUNT


def blocking_directory(path: Path) -> Path | None:
    """The first directory on the way to `path` that other users cannot pass; None when all can be passed."""
    for parent in [*reversed(path.absolute().parents), path.absolute()]:
        if parent.is_dir() and not parent.stat().st_mode & 0o001:
            return parent
    return None


def _mapped() -> bool:
    """Whether this user namespace has the whole range; a container without it has some 65,536 ids."""
    try:
        lines = Path("/proc/self/uid_map").read_text().splitlines()
    except OSError:
        return False
    spans = [tuple(map(int, line.split())) for line in lines]
    return any(first <= FIRST and first + count >= FIRST + COUNT for first, _, count in spans)
