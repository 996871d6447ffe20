"""The supervisor's parent: it waits, and when the supervisor is killed it ends what that one left.

The kernel signals only the children of a killed process, not theirs. So the guardian adopts them all. When
the guardian is killed, the kernel has the supervisor stop in the usual way.
"""

from __future__ import annotations

import os
import signal

from airflow_platform.runtimes.process.supervisor import linux, log, orphans

GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL after the supervisor was killed: its tenant is to be gone soon."""


def guard() -> None:
    """Fork. Returns in the supervisor; the guardian stays here until that has ended, and ends too."""
    if not linux.AVAILABLE:
        return
    linux.adopt_orphans()
    guardian = os.getpid()
    supervisor = os.fork()
    if supervisor == 0:
        linux.die_with(guardian, signal.SIGTERM)
        linux.adopt_orphans()
        return
    os._exit(_outlive(supervisor))


def _outlive(supervisor: int) -> int:
    """Wait for the supervisor without reaping it: until we have ended, nobody else gets its id."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(supervisor, received))
    ended = os.waitid(os.P_PID, supervisor, os.WEXITED | os.WNOWAIT)
    code = ended.si_status if ended and ended.si_code == os.CLD_EXITED else 1
    if linux.descendants(os.getpid()):
        log.say("the supervisor ended without stopping its components: they are ended now")
    orphans.end_descendants(GRACE)
    return code
