"""The paths of one DAG version, as whoever follows its links sees them."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tree:
    """Files and folders, relative to the folder of DAGs."""

    files: frozenset[str] = frozenset()
    """Also links, but those to folders."""
    folders: frozenset[str] = frozenset()
    """Also links to folders; "." is the whole."""
    links: Mapping[str, str] = field(default_factory=dict)
    """What links to folders, and those that lead away, lead to: a path without links, which begins with ".." outside."""

    def real(self, path: str) -> str:
        """A path without links to folders in it; one that begins with ".." where they lead away."""
        if not self.links:
            return path
        done = "."
        for part in path.split("/"):
            here = part if done == "." else f"{done}/{part}"
            done = self.links.get(here, here)
        return done

    def has(self, module: str) -> bool:
        """Whether there is a module at a path without suffix; what is away may have any."""
        real = self.real(module)
        return is_away(real) or real in self.folders or real in self._modules

    @functools.cached_property
    def _modules(self) -> frozenset[str]:
        """Files that can be imported, without suffix: native ones have their Python's version in it."""
        found = set()
        for path in self.files:
            folder, slash, name = path.rpartition("/")
            stem, _, suffix = name.partition(".")
            if suffix in ("py", "pyc") or suffix.rpartition(".")[2] in ("so", "pyd"):
                found.add(f"{folder}{slash}{stem}")
        return frozenset(found)


def is_away(real: str) -> bool:
    """Whether a path without links is outside of the folder of DAGs."""
    return real.partition("/")[0] == os.pardir
