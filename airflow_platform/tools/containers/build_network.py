"""The outside world as an installation in a container needs it: this machine's mirrors, indexes, certificates.

All of it is given to one program or lies in a volume that goes with its container; no layer gets any of it.
"""

from __future__ import annotations

import netrc
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform import secrets
from airflow_platform.programs import programs
from airflow_platform.tools import debian, package_index, uv
from airflow_platform.tools.containers.archives import Files
from airflow_platform.tools.containers.installs import CACHE, PLACE

_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
"""Those that hold addresses of indexes, with spaces between."""

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CLIENT_CERT")

_FILE_SETTINGS = ("CAInfo", "CaInfo", "SslCert", "SslKey")
"""The last parts of apt's settings that name files."""


@dataclass(frozen=True)
class Outside:
    """What an installation is given."""

    files: Files = field(default_factory=dict)
    """By their path below the installation's place."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """May hold secrets."""
    secrets: tuple[secrets.Secret, ...] = ()
    """Those, to be masked."""

    def and_also(self, other: Outside) -> Outside:
        """Both."""
        environment = {**self.environment, **other.environment}
        return Outside({**self.files, **other.files}, environment, (*self.secrets, *other.secrets))


def for_all(proxies: Mapping[str, str]) -> Outside:
    """What every program needs that reaches out of a container.

    Args:
        proxies: Those of Docker's own settings, as variables; this machine's own come before them.
    """
    return Outside(environment=proxies, secrets=tuple(secrets.in_addresses(proxies.values())))


def for_debian(runner: programs.Programs, base: str) -> Outside:
    """What apt needs in a container of an image.

    Args:
        runner: Asks this machine's apt.
        base: The image that all are made from; one that is not Debian's own keeps its sources.
    """
    files: dict[str, Path | bytes] = {}
    lines = []
    certificates = os.environ.get("SSL_CERT_FILE", "")
    if Path(certificates).is_file():
        lines.append(f'Acquire::https::CAInfo "{_carried(certificates, files)}";')
    for name, value in debian.settings(runner).items():
        named = name.rpartition("::")[2] in _FILE_SETTINGS and Path(value).is_file()
        lines.append(f'Acquire::{name} "{_carried(value, files) if named else value}";')
    release = debian.codename(base)
    if release and not (mirrors := debian.mirrors(release)).are_public:
        files["sources.list"] = _text(mirrors.lines())
        lines += [f'Dir::Etc::SourceList "{PLACE}/sources.list";', 'Dir::Etc::SourceParts "/dev/null";']
    files["apt.conf"] = _text(lines)
    proxies = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    found = secrets.in_addresses((*proxies.values(), *lines))
    return Outside(files, {"APT_CONFIG": f"{PLACE}/apt.conf", **proxies}, tuple(found))


def for_python(index: str = "", user: str = "", password: secrets.Secret | None = None) -> Outside:
    """What uv needs in a container.

    Args:
        index: The address of a package index that is asked before this machine's own; "" for none.
        user: Its user name.
        password: Its password.
    """
    files: dict[str, Path | bytes] = {}
    environment = {key: value for key, value in os.environ.items() if package_index.READ.fullmatch(key)}
    environment |= package_index.uv_environment(os.environ)
    for name in _CERTIFICATES:
        if Path(value := environment.get(name, "")).is_file():
            environment[name] = _carried(value, files)
    links = environment.get("UV_FIND_LINKS", "").split(",")
    environment["UV_FIND_LINKS"] = ",".join(filter(None, (_links(each, files) for each in links if each)))
    if index:
        address = _with_login(index, user, password.reveal() if password else "")
        environment["UV_INDEX"] = f"{address} {environment.get('UV_INDEX', '')}".strip()
    for name in _INDEXES:
        if name in environment:
            environment[name] = " ".join(_with_login_of_netrc(each) for each in environment[name].split())
    environment = {key: value for key, value in environment.items() if value} | {
        "UV_CACHE_DIR": CACHE,
        "UV_LINK_MODE": "copy",  # The cache is another file system.
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_COMPILE_BYTECODE_TIMEOUT": "600",
    }
    return Outside(files, environment, uv.logins(environment))


def _carried(path: str, files: dict[str, Path | bytes]) -> str:
    """Where the container finds a file of this machine."""
    place = f"of-this-machine/{len(files)}-{Path(path).name}"
    files[place] = Path(path)
    return f"{PLACE}/{place}"


def _links(link: str, files: dict[str, Path | bytes]) -> str:
    """Where the container finds packages that this machine has in a directory; "" for an empty one."""
    if "://" in link:
        return link
    packages = [each for each in Path(link).expanduser().glob("*") if each.suffix in (".whl", ".gz", ".zip")]
    place = f"links/{len(files)}"
    files.update({f"{place}/{each.name}": each for each in packages})
    return f"{PLACE}/{place}" if packages else ""


def _with_login_of_netrc(address: str) -> str:
    """An address with the login that ~/.netrc has for its host; uv in the container has no such file."""
    parts = urllib.parse.urlsplit(
        address.partition("=")[2] if "=" in address.partition("://")[0] else address
    )
    if parts.username or not parts.hostname:
        return address
    try:
        found = netrc.netrc(os.environ.get("NETRC")).hosts.get(parts.hostname)
    except (OSError, netrc.NetrcParseError):
        return address
    return _with_login(address, found[0], found[2] or "") if found else address


def _with_login(address: str, user: str, password: str) -> str:
    scheme, _, rest = address.partition("://")
    quoted = ":".join(urllib.parse.quote(word, safe="") for word in (user, password) if word)
    return f"{scheme}://{quoted}@{rest}" if quoted else address


def _text(lines: tuple[str, ...] | list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
