"""What the kernel lets an import do: no other program, no socket, no signal to others, so much of everything.

Linux only, and only what needs no privilege: a seccomp filter that stays with the process. Where there is
none (another system, another processor) audit hooks alone stop work, and native code is not stopped.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys

from airflow_platform.parsing import protocol

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_FILTER = 2

LARGEST_FILE = 64 * 1024**2
"""Bytes of one file that an import may write; nobody reads it."""

MOST_THREADS = 64
"""Threads of one import, where it has a user id of its own; numerical libraries start one a core."""

# The Berkeley packet filter's instructions that are needed, and seccomp's answers.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_EACCES, _ENOSYS = 13, 38
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x00010000
_OTHER_NUMBERS = 0x40000000

_X86_64 = {
    "refused": (
        41,  # socket
        57,  # fork
        58,  # vfork
        59,  # execve
        322,  # execveat
        101,  # ptrace
        310,  # process_vm_readv
        311,  # process_vm_writev
        129,  # rt_sigqueueinfo
        297,  # rt_tgsigqueueinfo
        424,  # pidfd_send_signal
        434,  # pidfd_open
        438,  # pidfd_getfd
        425,  # io_uring_setup, which does what the other calls may not
        112,  # setsid
        109,  # setpgid
        141,  # setpriority
        272,  # unshare, which would make it root of a world of its own
        308,  # setns
    ),
    "to ourselves": (62, 200, 234),  # kill, tkill, tgkill
    "limits": 302,  # prlimit64, by which the C library sets limits of its own process, too
    "prctl": 157,
    "clone": 56,
    "clone3": 435,
    "architecture": 0xC000003E,
}
_AARCH64 = {
    "refused": (198, 221, 281, 117, 270, 271, 138, 240, 424, 434, 438, 425, 157, 154, 140, 97, 268),
    "to ourselves": (129, 130, 131),
    "limits": 261,
    "prctl": 167,
    "clone": 220,
    "clone3": 435,
    "architecture": 0xC00000B7,
}
_CALLS = {"x86_64": _X86_64, "aarch64": _AARCH64}
"""Numbers of system calls, from the kernel's tables; the second list is in the order of the first."""


def confine(*, worker: int, memory: int, processor: int, user: int | None) -> bool:
    """Confine this process from now on, for good; whether the kernel could refuse it programs and sockets.

    Args:
        worker: The process whose end is to be ours, as it was called before the fork: it may have ended since.
        memory: MiB that it may take besides what it has.
        processor: Seconds of processor time that it may use.
        user: The user and group id that it has from now on; None to stay who we are.

    Raises:
        ProcessLookupError: The worker has ended.
    """
    _limit(memory, processor, own_user=user not in (None, protocol.NOBODY))
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    if sys.platform != "linux":
        return False
    _prctl(_PR_SET_PDEATHSIG, 9)  # After the change of user, which would undo it.
    if os.getppid() != worker:
        raise ProcessLookupError(f"process {worker} has ended")
    return _filter()


def _limit(memory: int, processor: int, *, own_user: bool) -> None:
    taken = 0
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes longer.
            taken = int(file.read().split()[0]) * resource.getpagesize()
    bounds = {
        resource.RLIMIT_AS: taken + memory * 1024**2,
        resource.RLIMIT_FSIZE: LARGEST_FILE,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: processor,
    }
    if own_user:  # Of the user id: with ours, or one that imports share, it would count what others do.
        bounds[resource.RLIMIT_NPROC] = MOST_THREADS
    for limit, bound in bounds.items():
        hard = resource.getrlimit(limit)[1]
        least = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(limit, (least, least))


def _filter() -> bool:
    calls = _CALLS.get(platform.machine())
    if calls is None:
        return False
    program = b"".join(_instructions(calls, os.getpid()))
    kept = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HL", len(program) // 8, ctypes.addressof(kept))
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1) and _prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(described))


def _instructions(calls: dict[str, object], own: int) -> list[bytes]:
    """The filter: each call that is refused, and what depends on its first argument."""
    found = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, _int(calls["architecture"]), yes=1),
        # Calls of a 32-bit program have other numbers, and so have those of x32: none is allowed.
        _step(_RETURN, _FAIL | _EACCES),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _OTHER_NUMBERS, no=1),
        _step(_RETURN, _FAIL | _EACCES),
    ]
    for number in _ints(calls["refused"]):
        found += [_step(_EQUAL, number, no=1), _step(_RETURN, _FAIL | _EACCES)]
    # The flags of clone3 cannot be seen; without it, the C library uses clone.
    found += [_step(_EQUAL, _int(calls["clone3"]), no=1), _step(_RETURN, _FAIL | _ENOSYS)]
    found += _depending(_int(calls["clone"]), _step(_ANY_BIT, _CLONE_THREAD, no=1))
    for number in _ints(calls["to ourselves"]):
        found += _depending(number, _step(_EQUAL, own, no=1))
    found += _depending(_int(calls["limits"]), _step(_EQUAL, 0, no=1))
    # It ends with the worker, and stays so.
    found += _depending(_int(calls["prctl"]), _step(_EQUAL, _PR_SET_PDEATHSIG, yes=1))
    return [*found, _step(_RETURN, _ALLOW)]


def _depending(number: int, allowed: bytes) -> list[bytes]:
    """Allow a call if its first argument passes a test."""
    refused = _step(_RETURN, _FAIL | _EACCES)
    return [
        _step(_EQUAL, number, no=4),
        _step(_LOAD, _FIRST_ARGUMENT),
        allowed,
        _step(_RETURN, _ALLOW),
        refused,
    ]


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _ints(value: object) -> tuple[int, ...]:
    assert isinstance(value, tuple)
    return value


def _prctl(option: int, value: int, more: object = 0) -> bool:
    return bool(_LIBC.prctl(option, ctypes.c_ulong(value), more, 0, 0) == 0)
