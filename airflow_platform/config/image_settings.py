"""What a project may choose about its images: `images.toml`.

Read by hand instead of by pydantic: `inv build` with nothing to build is to be over before that is imported.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import errors, secrets
from airflow_platform.config import paths

PLATFORMS = ("amd64", "arm64")
"""What Debian, uv's wheels and the locks' wheels are there for."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True)
class Index:
    """A private package index, asked before the machine's own."""

    url: str
    """Of the index, as pip has it: it ends in `/simple`. Without credentials."""
    user: str = ""
    """User name; "" where the index asks for none."""
    password_variable: str = ""
    """The environment variable of the caller that holds the password; "" where there is none."""

    def password(self) -> secrets.Secret | None:
        """The password; None when it is not given, or none is needed."""
        value = os.environ.get(self.password_variable) if self.password_variable else None
        return secrets.Secret(value) if value else None


@dataclass(frozen=True)
class ImageSettings:
    """What `images.toml` says."""

    base: str = "debian:bookworm-slim"
    """The image that all are made from: Debian 12 by default, because its Python is one that Airflow supports
    and it is maintained until 2028."""
    platform: str = ""
    """What the images must run on; "" for what the engine itself runs on, which a laptop and CI may differ in."""
    index: Index | None = None
    """A private package index; none by default."""


def read(path: Path | None = None) -> ImageSettings:
    """The settings of the project; a file that is not there says nothing.

    Raises:
        ConfigurationError: It does not say what it must; carries every fault.
    """
    path = path or paths.project().images_file
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ImageSettings()
    except (OSError, ValueError) as error:
        raise _faulty(path, [errors.Fault(path.name, f"It cannot be read: {error}.", "Mend it.")]) from error
    if faults := [errors.Fault(f"{path.name}: {key}", cause, remedy) for key, cause, remedy in _faults(data)]:
        raise _faulty(path, faults)
    index = data.pop("index", None)
    return ImageSettings(**data, index=_index(index) if index else None)


def _index(table: dict[str, Any]) -> Index:
    return Index(table["url"], table.get("user", ""), table.get("password", {}).get("env", ""))


def _faults(data: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each key that is wrong, why, and what to do."""
    for key in data.keys() - {"base", "platform", "index"}:
        yield key, "There is no such key.", "Known: base, platform, index."
    if not isinstance(base := data.get("base", "x"), str) or not base or any(map(str.isspace, base)):
        yield "base", "It is not the name of an image.", 'For example "debian:bookworm-slim".'
    if data.get("platform", "amd64") not in PLATFORMS:
        yield "platform", f"{data['platform']!r} is not supported.", f"One of: {', '.join(PLATFORMS)}."
    index = data.get("index", {"url": "https://x"})
    if not isinstance(index, dict) or index.keys() - {"url", "user", "password"}:
        yield "index", "It is not a table of url, user and password.", "See the comments in the file."
        return
    url = index.get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or "@" in url:
        yield "index.url", "It is not an address without credentials.", "Name user and password apart."
    if not isinstance(index.get("user", ""), str):
        yield "index.user", "It is not a text.", 'For example "ci".'
    password = index.get("password", {"env": "X"})
    variable = password.get("env") if isinstance(password, dict) and len(password) == 1 else None
    if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
        yield "index.password", "It does not name an environment variable.", 'Write { env = "NAME" }.'


def _faulty(path: Path, faults: list[errors.Fault]) -> errors.ConfigurationError:
    return errors.ConfigurationError(f"{path} does not say what it must.", faults)
