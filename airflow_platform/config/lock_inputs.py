"""Whether a lock still fits what it was made from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_platform import errors

if TYPE_CHECKING:
    from packaging.requirements import Requirement

INPUTS = ("requirements.in", "extra.in")
"""The files beside a lock that it is made from; the second need not be there."""

REMEDY = "Run `scripts/nox -s lock` and commit the lock."

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;]+)", re.MULTILINE)
_VIA = re.compile(r"-r (?P<path>\S+)")


def digest(lock: Path) -> str:
    """16 hexadecimal digits over a lock and what it is made from: equal ones need not be compared again."""
    found = hashlib.sha256(lock.read_bytes())
    for path in _inputs(lock):
        found.update("\n".join(line for _, line in _lines(path)).encode() + b"\0")
    return found.hexdigest()[:16]


def stale(lock: Path) -> Iterator[errors.Fault]:
    """Requirements that are missing from a lock, and locked ones that no requirement asks for."""
    text = lock.read_text(encoding="utf-8")
    pinned: dict[str, list[str]] = {}
    for found in _PINNED.finditer(text):
        pinned.setdefault(_normal(found["name"]), []).append(found["version"])
    wanted: set[str] = set()
    for path in _inputs(lock):
        for requirement in _requirements(path):
            wanted.add(_normal(requirement.name))
            if cause := _unsatisfied(requirement, pinned.get(_normal(requirement.name), [])):
                yield errors.Fault(f"{_shown(path)}: {requirement}", cause.format(lock=lock.name), REMEDY)
    for name in sorted(_asked_for(text) - wanted):
        yield errors.Fault(
            f"{_shown(lock)}: {name}", "It was asked for when the lock was made, and no longer is.", REMEDY
        )


def _unsatisfied(requirement: Requirement, versions: list[str]) -> str:
    if not versions:
        return "The lock {lock} does not have it."
    if not any(requirement.specifier.contains(each, prereleases=True) for each in versions):
        return f"The lock {{lock}} pins {', '.join(versions)}."
    return ""


def _requirements(path: Path) -> Iterator[Requirement]:
    """What a file asks for; each line is one requirement.

    Raises:
        ConfigurationError: A line is none.
    """
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415

    for number, text in _lines(path):
        try:
            yield Requirement(text)
        except InvalidRequirement as error:
            fault = errors.Fault(
                f"{_shown(path)}: line {number}",
                f"{text!r} is no requirement: {str(error).splitlines()[0]}.",
                "Write one requirement a line, such as `apache-airflow-providers-http==5.3.0`.",
            )
            raise errors.ConfigurationError(f"{path} does not say what it must.", [fault]) from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that say something."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if text := re.sub(r"(^|\s)#.*", "", line).strip():
            yield number, text


def _asked_for(text: str) -> set[str]:
    """The packages that a lock says it got from a file, not only through another package."""
    found: set[str] = set()
    name = ""
    for line in text.splitlines():
        if pinned := _PINNED.match(line):
            name = _normal(pinned["name"])
        elif _VIA.search(line):
            found.add(name)
    return found


def _inputs(lock: Path) -> list[Path]:
    return [path for name in INPUTS if (path := lock.with_name(name)).exists()]


def _normal(name: str) -> str:
    """As PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _shown(path: Path) -> str:
    return f"images/{path.parent.name}/{path.name}"
