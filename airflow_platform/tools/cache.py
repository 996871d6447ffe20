"""The cache: what may be deleted of it, and when."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.tools import processes, temporary

PRUNED = ("airflow-packages", "snowflake-packages", "downloads", "checks", "images", "debian", "dag-checks")
"""What lies in the cache besides the doors' own uv, which the very command that prunes may need."""

TESTS = "tests"
"""What also lies there: the directories of test runs. Those of killed ones are deleted."""

_SHOWN = 3
"""Processes that a refusal names: enough to see whose they are."""


@dataclass(frozen=True)
class Pruned:
    """What was deleted."""

    names: tuple[str, ...]
    freed: int
    """Bytes that the disk has more of now."""


def free_space(path: Path) -> int:
    """Free bytes on the disk where a path is, or would be."""
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists())).free


def prune(cache: Path) -> Pruned:
    """Delete all that is fetched or built again when it is needed.

    Raises:
        BusyError: A process of this machine runs from it, of whichever checkout.
        StateError: It cannot be deleted; what is left of it is not taken for whole.
    """
    names = tuple(name for name in PRUNED if (cache / name).is_dir())
    if users := [each for name in names for each in processes.running_from(cache / name)]:
        shown = ", ".join(f"{each.pid} ({processes.command_of(each)[:60]})" for each in users[:_SHOWN])
        more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
        raise errors.BusyError(
            f"Processes run from the cache {cache}: {shown}{more}.",
            hint="Take their tenants down with `inv tenant-down`, or wait for them; then run this again.",
        )
    before = free_space(cache)
    temporary.sweep(cache / TESTS)
    for name in names:
        try:
            temporary.remove(cache / name)
        except OSError as error:
            raise errors.StateError.of(cache / name, error) from error
    return Pruned(names, max(free_space(cache) - before, 0))
