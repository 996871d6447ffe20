"""Whether what an import found would be found again: machines that are short of something are tried again."""

from __future__ import annotations

import errno
import os

from airflow_platform.rules import importing
from airflow_platform.rules.facts import Imported
from airflow_platform.rules.limits import Limits

_SHORT = (
    *map(
        os.strerror,
        (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO),
    ),
    "can't start new thread",
)
"""What messages say where a machine has no more of something, or is broken."""


def lasts(imported: Imported, limits: Limits) -> bool:
    """Whether the same file on another day tells the same: not what was measured and was too much."""
    short = any(
        importing.NO_MEMORY.match(each.message) or any(words in each.message for words in _SHORT)
        for each in imported.errors
    )
    slow = imported.cpu > limits.import_seconds or importing.is_waiting(imported)
    return not (imported.ended or short or slow)
