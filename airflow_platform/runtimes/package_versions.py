"""Which version of a program is wanted, which the lock pins, and which is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from airflow_platform.runtimes import contract


def version(package: str, *, wanted: str, lock: Path, entries: Path, ready: Path | None) -> contract.Version:
    """What is known of a package's version, by reading files alone.

    Args:
        package: Its name as the lock has it: `apache-airflow`.
        wanted: What `versions.toml` says.
        lock: The hashed requirements.
        entries: The folder of the cache under which its environments are built.
        ready: An environment that somebody else built and that is used instead; None for ours.
    """
    pinned = pinned_version(package, lock)
    if ready is not None:
        return contract.Version(wanted, pinned, next(_installed(ready, package), ""))
    # An entry of another lock stays in the cache and is not what tenants would be started with.
    complete = [path.parent / "venv" for path in entries.glob("*/complete")]
    built = {each for environment in complete for each in _installed(environment, package)}
    return contract.Version(wanted, pinned, pinned if pinned in built else "")


def pinned_version(package: str, lock: Path) -> str:
    """The version of a package that a lock names; "" when it names none."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", lock.read_text(), re.MULTILINE)
    return found[1] if found else ""


def _installed(environment: Path, package: str) -> Iterator[str]:
    name = package.replace("-", "_")
    for path in environment.glob(f"lib/python3*/site-packages/{name}-*.dist-info"):
        yield path.name.removeprefix(f"{name}-").removesuffix(".dist-info")
