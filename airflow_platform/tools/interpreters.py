"""Which Python interpreter the tenants' packages are installed for."""

from __future__ import annotations

import functools
import json
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools import users

_ASK = (
    "import json, os, sys;"
    "print(json.dumps([list(sys.version_info[:3]), os.path.realpath(sys.executable), sys.base_prefix]))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs here."""

    path: Path
    """Its real path, outside any virtual environment."""
    version: tuple[int, int, int]
    prefix: Path
    """Where its standard library is."""

    @property
    def tag(self) -> str:
        """What a set of installed packages depends on: `cpython-3.11-linux-x86_64`."""
        major, minor, _ = self.version
        return f"cpython-{major}.{minor}-{sys.platform}-{platform.machine()}"


def find(
    runner: programs.Programs, *, lowest: tuple[int, int], below: tuple[int, int], for_all_users: bool
) -> Interpreter:
    """The interpreter that runs this toolkit if it fits, else the newest on PATH that does.

    Args:
        lowest: The lowest version that will do, `(3, 11)`.
        below: The lowest version that is too new, `(3, 14)`.
        for_all_users: Whether users other than ourselves must be able to run it.

    Raises:
        PreflightError: None fits; says what was found and what to install.
    """
    seen: list[str] = []
    names = [f"python3.{minor}" for minor in range(below[1] - 1, lowest[1] - 1, -1)]
    candidates = [getattr(sys, "_base_executable", sys.executable)]
    candidates += [found for name in names for found in (shutil.which(name), f"/usr/bin/{name}") if found]
    for candidate in dict.fromkeys(candidates):
        # Looking costs nothing; asking a shim of pyenv's costs a tenth of a second.
        if (
            for_all_users
            and Path(candidate).exists()
            and (closed := users.blocking_directory(Path(candidate).resolve()))
        ):
            seen.append(f"{candidate} lies in {closed}, which other users cannot enter")
            continue
        found = _ask(runner, candidate)
        if found is None:
            continue
        if not lowest <= found.version[:2] < below:
            seen.append(f"{candidate} is {'.'.join(map(str, found.version))}")
        elif for_all_users and (
            closed := users.blocking_directory(found.path) or users.blocking_directory(found.prefix)
        ):
            seen.append(f"{candidate} lies in {closed}, which other users cannot enter")
        else:
            return found
    wanted = f"python3.{below[1] - 1}" if not for_all_users else f"python3.{lowest[1]}"
    fault = errors.Fault(
        thing="Python for Airflow",
        cause=f"None of {lowest[0]}.{lowest[1]} up to {below[0]}.{below[1]} (exclusive) fits"
        f"{': ' + '; '.join(seen) if seen else ''}.",
        remedy=f"Install one for all users, for instance the package {wanted}.",
    )
    raise errors.PreflightError("No Python fits.", [fault])


def _ask(runner: programs.Programs, candidate: str) -> Interpreter | None:
    if not Path(candidate).exists():
        return None
    if candidate == getattr(sys, "_base_executable", None):
        here = Path(candidate).resolve()
        return Interpreter(here, sys.version_info[:3], Path(sys.base_prefix))
    return _ask_program(runner, candidate)


@functools.lru_cache(maxsize=32)
def _ask_program(runner: programs.Programs, candidate: str) -> Interpreter | None:
    try:
        answer = runner.run([candidate, "-I", "-S", "-c", _ASK], timeout=20, check=False)
        version, path, prefix = json.loads(answer.stdout)
    except (errors.ProgramError, ValueError):  # pyenv's shims exist and fail.
        return None
    return Interpreter(Path(path), tuple(version), Path(prefix))
