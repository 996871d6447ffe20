"""uv: virtual environments from hashed locks."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

from airflow_platform import errors, secrets
from airflow_platform.programs import programs
from airflow_platform.tools import package_index

TIMEOUT = 1800.0
"""Seconds for one installation: 30 minutes lets 300 MB through a slow line."""


def find() -> str:
    """The uv of the toolkit's own environment, else the one on PATH.

    Raises:
        ProgramMissing: There is none.
    """
    own = Path(sysconfig.get_path("scripts")) / "uv"
    return str(own) if own.exists() else programs.require("uv", hint="Use scripts/inv, which brings uv.")


def install(
    runner: programs.Programs,
    directory: Path,
    *,
    python: Path,
    lock: Path,
    cache: Path,
    environment: Mapping[str, str],
    progress: Callable[[str], None],
) -> None:
    """Make a virtual environment afresh with exactly what a hashed lock says, compiled to bytecode.

    Args:
        directory: Where; whatever is there is removed first.
        python: The base interpreter.
        lock: A requirements file with hashes.
        cache: uv's cache directory.
        environment: Further variables: the package index's settings.
        progress: Called with lines of news.

    Raises:
        ProgramError: uv said no: its last lines say why.
    """
    shutil.rmtree(directory, ignore_errors=True)
    variables = {
        **{key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
        **environment,
        "UV_CACHE_DIR": str(cache),
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_COMPILE_BYTECODE_TIMEOUT": "600",
    }
    runner.mask.add(*logins(variables))
    uv = find()
    hint = (
        "Check the network and pip's index settings (PIP_INDEX_URL, pip.conf), which uv is given too; "
        "then run this again: what was downloaded is kept."
    )
    runner.run([uv, "venv", "--quiet", "--python", python, directory], env=variables, timeout=120)
    sync: list[str | Path] = [
        uv,
        "pip",
        "sync",
        "--require-hashes",
        "--compile-bytecode",
        "--python",
        directory / "bin/python",
        lock,
    ]
    runner.run(sync, env=variables, timeout=TIMEOUT, on_line=progress, hint=hint)


def logins(variables: Mapping[str, str]) -> tuple[secrets.Secret, ...]:
    """The passwords and tokens in what uv reads, to be masked: it does not itself in an address that it cannot read."""
    read = {name: value for name, value in variables.items() if package_index.READ.fullmatch(name)}
    named = [secrets.Secret(value) for name, value in read.items() if name.endswith("_PASSWORD")]
    return (*named, *secrets.in_addresses(read.values()))


def missing_uv() -> errors.Fault | None:
    """A fault when there is no uv."""
    try:
        find()
    except errors.ProgramMissing as error:
        return errors.Fault("uv", error.message, error.hint)
    return None


TARGETS = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
"""Architectures of images, as uv has them."""


def fetch(
    runner: programs.Programs,
    directory: Path,
    *,
    architecture: str,
    lock: Path,
    cache: Path,
    environment: Mapping[str, str],
) -> Path:
    """The uv that a lock names, for Linux on some architecture, where that is not this machine's.

    Args:
        directory: Where it is put; whatever is there whole is used.
        architecture: One of `TARGETS`.
        lock: A requirements file with hashes.
        cache: uv's cache directory.
        environment: Further variables: the package index's settings.

    Raises:
        ProgramError: uv said no: its last lines say why.
    """
    if (directory / "bin/uv").exists():
        return directory / "bin/uv"
    draft = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    variables = {
        **os.environ,
        **environment,
        "UV_CACHE_DIR": str(cache),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    runner.mask.add(*logins(variables))
    runner.run(
        [find(), "pip", "install", "--quiet", "--target", draft, "--only-binary=:all:", "--require-hashes",
         f"--python-platform={TARGETS[architecture]}", "--python-version=3.11", "-r", lock],
        env=variables,
        timeout=TIMEOUT,
        hint="Check the network and pip's index settings (PIP_INDEX_URL, pip.conf), which uv is given too.",
    )  # fmt: skip
    shutil.rmtree(directory, ignore_errors=True)
    draft.rename(directory)
    return directory / "bin/uv"
