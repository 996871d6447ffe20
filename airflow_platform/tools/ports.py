"""TCP ports on 127.0.0.1."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Collection, Iterable

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether nobody listens there on any address, so that we could."""
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET, HOST), (socket.AF_INET6, "::")):
        with contextlib.suppress(_NoSuchFamily), _socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    return False
    return True


def choose(candidates: Iterable[int], *, taken: Collection[int], count: int) -> tuple[int, ...]:
    """The first free ports among the candidates; fewer than `count` when there are not enough."""
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        if port not in taken and is_free(port):
            found.append(port)
    return tuple(found)


class _NoSuchFamily(Exception):
    """This machine has no IPv6."""


def _socket(family: socket.AddressFamily) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoSuchFamily from error
