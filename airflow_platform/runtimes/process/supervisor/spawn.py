"""Starting one component: everything between fork and exec, in the order that the kernel demands."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from airflow_platform.runtimes.process.supervisor import linux, log
from airflow_platform.runtimes.process.supervisor.spec import OWNER_VARIABLE, Component

LARGEST_LOG = 10_000_000
"""Bytes; a larger log is moved aside at the next start, and the one moved before is deleted."""

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def environment_of(component: Component, owner: str, user: int | None) -> dict[str, str]:
    """The environment that it starts with, secrets included.

    `SPT_NOENV` keeps setproctitle, which Airflow uses, from writing its titles over the environment
    that /proc shows, and with it over the owner.

    Raises:
        OSError: A secret cannot be read, or somebody else's file is in its place.
    """
    return {
        **component.environment,
        **{name: _secret(path, user) for name, path in component.secret_environment.items()},
        OWNER_VARIABLE: owner,
        "SPT_NOENV": "1",
    }


def spawn(component: Component, environment: Mapping[str, str], user: int | None) -> int:
    """Start it in a session of its own and return its process id.

    No signal is lost on the way: all wait until the child has given them their default meaning.

    Raises:
        OSError: It could not be started; the message says why.
    """
    reader, writer = os.pipe()
    supervisor = os.getpid()
    with os.fdopen(reader, "rb") as answer:
        try:
            with _signals_blocked():
                pid = os.fork()
                if pid == 0:
                    _become(component, environment, user, supervisor, writer)
        finally:
            os.close(writer)
        problem = answer.read().decode(errors="replace")
    if problem:
        os.waitpid(pid, 0)
        raise OSError(problem)
    return pid


def _become(
    component: Component,
    environment: Mapping[str, str],
    user: int | None,
    supervisor: int,
    answer: int,
) -> None:
    """Turn the forked child into the component. Never returns: the answer is a closed pipe, or why not."""
    try:
        _default_signals()
        os.setsid()
        os.umask(0o077)
        output = _open_log_and_change_user(component.log, user)
        linux.die_with(supervisor, signal.SIGTERM)
        os.chdir(component.directory)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.execvpe(component.argv[0], component.argv, environment)  # noqa: S606 - it is what we are for.
    except BaseException as error:  # noqa: BLE001 - it is raised in the supervisor.
        os.write(answer, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(127)


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _open_log_and_change_user(path: str, user: int | None) -> int:
    """Root opens a log only where nobody else could have put a link that leads to somebody else's file.

    In a directory that the user can write to it is opened with the user's rights.
    """
    if user is None:
        return _open_log(Path(path))
    ours = _is_only_ours(Path(path).parent)
    output = _open_log(Path(path)) if ours else -1
    if ours:
        os.fchown(output, user, user)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    return output if ours else _open_log(Path(path))


def _open_log(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    try:
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_size > LARGEST_LOG:
                path.replace(path.with_name(path.name + ".1"))
        output = os.open(path, flags, 0o600)
        os.fchmod(output, 0o600)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        log.say(f"{path} cannot be written, its lines are lost until the next start: {error}")
        output = os.open(os.devnull, os.O_WRONLY)
    return output


def _is_only_ours(directory: Path) -> bool:
    found = directory.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _secret(path: str, user: int | None) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
        owner = os.fstat(file.fileno()).st_uid
        if owner not in (os.geteuid(), user):
            raise PermissionError(f"{path} belongs to user {owner}")
        return file.read().removesuffix("\n")


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
