"""pip's settings for indexes, certificates and proxies, as the environment variables that uv reads.

uv does not read pip's, so a machine behind a company mirror would need everything twice. The doors
run this file before anything is installed: standard library only, and it imports nothing of ours.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_SAME = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
}
"""pip's name of a setting, and the variable of uv that means the same; lists have spaces in both."""

READ = re.compile(
    r"UV_(?:DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_STRATEGY|INDEX_\w+_(?:USERNAME|PASSWORD)"
    r"|FIND_LINKS|NO_INDEX|HTTP_TIMEOUT|INSECURE_HOST)|SSL_CERT_FILE|SSL_CLIENT_CERT"
    r"|(?:ALL|HTTPS?|NO)_PROXY|(?:all|https?|no)_proxy"
)
"""Names of the variables that tell uv how packages are reached."""

_SECTIONS = ("global", "install")
"""Sections of pip.conf that concern installing; later ones win."""


def uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables to add to uv's environment; those that the user has set for uv already are not among them."""
    settings = {**_from_files(environ), **_from_environment(environ)}
    found = {_SAME[name]: " ".join(value.split()) for name, value in settings.items() if name in _SAME}
    links = [link for link in settings.get("find-links", "").split() if _exists(link)]
    if links:
        found["UV_FIND_LINKS"] = ",".join(links)
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        found["UV_NO_INDEX"] = "1"
    if "UV_INDEX" in found:
        # pip looks into all of its indexes; the hashes of our locks say which file is meant.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in found.items() if value and name not in environ}


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("PIP_") and value
    }


def _from_files(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip.conf says, read in pip's order: the machine's, the user's, then PIP_CONFIG_FILE."""
    settings: dict[str, str] = {}
    for path in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself will say so.
        for section in _SECTIONS:
            if parser.has_section(section):
                settings |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    return settings


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return
    for directory in reversed(environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)):
        yield Path(directory, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    home = Path(environ.get("HOME", "/nonexistent"))
    yield home / ".pip" / "pip.conf"
    if sys.platform == "darwin":
        yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME", home / ".config"), "pip", "pip.conf")
    if chosen:
        yield Path(chosen)


def _exists(link: str) -> bool:
    """Pip warns of a local directory that is not there; uv stops."""
    return "://" in link or Path(link).expanduser().exists()


if __name__ == "__main__":
    for variable, text in uv_environment(os.environ).items():
        sys.stdout.write(f"export {variable}={shlex.quote(text)}\n")
