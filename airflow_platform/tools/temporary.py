"""Temporary directories that are also gone after a kill: the next one made there takes away what was left."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from airflow_platform import errors
from airflow_platform.parsing import place as locks
from airflow_platform.parsing import scratch
from airflow_platform.tools import files


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
    for name in scratch.names(parent):
        with contextlib.suppress(OSError):
            held = locks.take(parent / name)
            if held is not None:
                _delete(parent / name)
                os.close(held)


def _taken(parent: Path) -> tuple[Path, int]:
    """A new directory, and its lock, which says to others that it is in use."""
    while True:
        try:
            made = Path(tempfile.mkdtemp(dir=parent)).resolve()
            held = locks.take(made)
        except FileNotFoundError:
            continue  # Somebody swept it away before it was locked.
        except OSError as error:
            raise errors.StateError.of(parent, error) from error
        if held is not None:
            return made, held


def _delete(made: Path) -> None:
    """Delete a directory whose lock we have. Its name goes first: the next lock would be made while it goes."""
    with contextlib.suppress(OSError):  # Somebody else may have moved it.
        scratch.discard(scratch.condemned(made))
