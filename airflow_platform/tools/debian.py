"""Debian: where this machine gets its packages from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_platform.programs import programs

PUBLIC = "http://deb.debian.org/debian"
PUBLIC_SECURITY = "http://deb.debian.org/debian-security"
"""Signed by Debian, whatever carries them; what images name as their sources."""

SOURCES = Path("/etc/apt")
"""Where this machine's sources are."""

_SLIM = re.compile(r"(?:docker\.io/)?(?:library/)?debian:([a-z]+)(?:-slim)?")

_PASSED_ON = re.compile(
    r'Acquire::((?:https?|ftp)::\S+|Check-Valid-Until|Check-Date|Retries|ForceIPv\d|Max-FutureTime) "(.*)";'
)
"""Settings of apt about reaching mirrors, as `apt-config dump` prints them."""


@dataclass(frozen=True)
class Mirrors:
    """Where a release's packages are."""

    codename: str
    main: str = PUBLIC
    security: str = PUBLIC_SECURITY

    @property
    def are_public(self) -> bool:
        return (self.main, self.security) == (PUBLIC, PUBLIC_SECURITY)

    def lines(self) -> tuple[str, ...]:
        """As `sources.list` has them."""
        return (
            f"deb {self.main} {self.codename} main",
            f"deb {self.main} {self.codename}-updates main",
            f"deb {self.security} {self.codename}-security main",
        )


def codename(reference: str) -> str:
    """The release that one of Debian's own images holds: `bookworm`; "" for any other image."""
    found = _SLIM.fullmatch(reference)
    return found[1] if found else ""


def mirrors(release: str, directory: Path = SOURCES) -> Mirrors:
    """Where this machine gets the packages of a release from: its own mirror, or Debian's."""
    found: dict[str, str] = {}
    for address, suites in _entries(directory):
        for suite in suites:
            found.setdefault(suite, address)
    return Mirrors(release, found.get(release, PUBLIC), found.get(f"{release}-security", PUBLIC_SECURITY))


def settings(runner: programs.Programs) -> dict[str, str]:
    """How this machine's apt reaches mirrors: proxies, certificates, checks; by name without `Acquire::`."""
    if shutil.which("apt-config") is None:
        return {}
    dumped = runner.run(["apt-config", "dump"], timeout=30, check=False).stdout
    return dict(_PASSED_ON.findall(dumped))


def _entries(directory: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Address and suites of each source of packages."""
    for path in (directory / "sources.list", *sorted(directory.glob("sources.list.d/*"))):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        yield from _paragraphs(text) if path.suffix == ".sources" else _one_line(text)


def _paragraphs(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for paragraph in re.split(r"\n\s*\n", text):
        fields: Mapping[str, str] = dict(
            re.findall(r"^(Types|URIs|Suites|Enabled):\s*(.*)$", paragraph, re.MULTILINE)
        )
        wanted = "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no"
        for address in fields.get("URIs", "").split()[:1] if wanted else ():
            yield address.rstrip("/"), tuple(fields.get("Suites", "").split())


def _one_line(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for found in re.finditer(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE):
        yield found[1].rstrip("/"), (found[2],)
