"""Debian: where this machine gets its packages from, and a base image made of them where no registry answers."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors, programs

PUBLIC = "http://deb.debian.org/debian"
PUBLIC_SECURITY = "http://deb.debian.org/debian-security"
"""Signed by Debian, whatever carries them; what images name as their sources."""

SOURCES = Path("/etc/apt")
"""Where this machine's sources are."""

TIMEOUT = 1200.0
"""Seconds for a bootstrap: 60 MB of packages over a slow line."""

EPOCH = "1700000000"
"""Time of files that have no better one, so that two bootstraps of the same packages are the same bytes."""

LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
"""What Debian's own slim images leave out, too."""

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


def missing_bootstrap(release: str) -> str:
    """Why a base cannot be made of packages here; "" when it can."""
    if not release:
        return "it is none of Debian's own, so it cannot be made of Debian packages"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap, which makes a base of Debian packages, is not installed"
    return ""


def bootstrap(
    runner: programs.Programs,
    release: str,
    architecture: str,
    target: Path,
    *,
    progress: Callable[[str], None],
) -> None:
    """Make the files of a slim Debian, as tar.

    Args:
        runner: Starts mmdebstrap.
        release: `bookworm`.
        architecture: `amd64`, `arm64`.
        target: The archive; replaced in one step.
        progress: Called with lines of news.

    Raises:
        ProgramError: It said no.
        StateError: The archive cannot be written.
    """
    draft = target.with_name(f".{target.name}.new.tar")
    sources = mirrors(release)
    options = [f'--aptopt=Acquire::{name} "{value}"' for name, value in settings(runner).items()]
    options += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    options += [f"--customize-hook={hook}" for hook in _hooks(release)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        runner.run(
            ["mmdebstrap", "--variant=minbase", f"--architectures={architecture}", "--include=ca-certificates",
             *options, release, draft, *sources.lines()],
            env=environment, timeout=TIMEOUT, on_line=progress,
            hint="Check that this machine reaches its Debian mirror: `apt-get update`.",
        )  # fmt: skip
        draft.replace(target)
    except OSError as error:
        raise errors.StateError.of(target, error) from error
    finally:
        draft.unlink(missing_ok=True)


def _hooks(release: str) -> tuple[str, ...]:
    """What is done in the finished tree ("$1"): Debian's own mirrors instead of this machine's, and no trace
    of how this machine reaches them.
    """
    stanzas = "\\n".join(
        f"Types: deb\\nURIs: {address}\\nSuites: {suites}\\nComponents: main\\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\\n"
        for address, suites in (
            (PUBLIC, f"{release} {release}-updates"),
            (PUBLIC_SECURITY, f"{release}-security"),
        )
    )
    return (
        'rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap',
        f"printf '{stanzas}' > \"$1\"/etc/apt/sources.list.d/debian.sources",
    )


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
