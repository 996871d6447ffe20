"""The outside world as an installation in a container needs it: this machine's mirrors, indexes, certificates.

All of it is given to one program or lies in a volume that goes with its container; no layer gets any of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform import programs, secrets
from airflow_platform.tools import debian, package_index
from airflow_platform.tools.containers.installs import CACHE, PLACE

_OF_UV = re.compile(
    r"UV_(?:DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_STRATEGY|INDEX_\w+_(?:USERNAME|PASSWORD)"
    r"|FIND_LINKS|NO_INDEX|HTTP_TIMEOUT|INSECURE_HOST)|SSL_CERT_FILE|SSL_CLIENT_CERT"
    r"|(?:ALL|HTTPS?|NO)_PROXY|(?:all|https?|no)_proxy"
)
"""Variables of the caller that say how packages are reached."""

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CLIENT_CERT")

_ADDRESS = re.compile(r"(?P<scheme>\w+://)(?:(?P<user>[^/@:]*)(?::(?P<password>[^/@]*))?@)?")


@dataclass(frozen=True)
class Outside:
    """What an installation is given."""

    files: Mapping[str, Path | bytes] = field(default_factory=dict)
    """By their path below the installation's place."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """May hold secrets."""
    secrets: tuple[secrets.Secret, ...] = ()
    """Those, to be masked."""

    def and_also(self, other: Outside) -> Outside:
        """Both."""
        environment = {**self.environment, **other.environment}
        return Outside({**self.files, **other.files}, environment, (*self.secrets, *other.secrets))


def for_debian(runner: programs.Programs, base: str) -> Outside:
    """What apt needs in a container of an image.

    Args:
        runner: Asks this machine's apt.
        base: The image that all are made from; one that is not Debian's own keeps its sources.
    """
    files: dict[str, Path | bytes] = {}
    lines = []
    for name, value in debian.settings(runner).items():
        lines.append(f'Acquire::{name} "{_file(name, value, files)}";')
    certificates = os.environ.get("SSL_CERT_FILE", "")
    if certificates and Path(certificates).is_file():
        files["certificates.pem"] = Path(certificates)
        lines.append(f'Acquire::https::CAInfo "{PLACE}/certificates.pem";')
    release = debian.codename(base)
    if release and not (mirrors := debian.mirrors(release)).are_public:
        files["sources.list"] = ("\n".join(mirrors.lines()) + "\n").encode()
        lines += [f'Dir::Etc::SourceList "{PLACE}/sources.list";', 'Dir::Etc::SourceParts "/dev/null";']
    files["apt.conf"] = ("\n".join(lines) + "\n").encode()
    return Outside(files, {"APT_CONFIG": f"{PLACE}/apt.conf", **_proxies()})


def for_python(index: str = "", user: str = "", password: secrets.Secret | None = None) -> Outside:
    """What uv needs in a container.

    Args:
        index: The address of a package index that is asked before this machine's own; "" for none.
        user: Its user name.
        password: Its password.
    """
    environment = {key: value for key, value in os.environ.items() if _OF_UV.fullmatch(key)}
    environment |= package_index.uv_environment(os.environ)
    files: dict[str, Path | bytes] = {}
    for name in _CERTIFICATES:
        if name in environment:
            environment[name] = _file(f"{name}::CAInfo", environment[name], files)
    links = environment.get("UV_FIND_LINKS", "").split(",")
    found = [_links(link, files) for link in links if link]
    environment["UV_FIND_LINKS"] = ",".join(filter(None, found))
    if index:
        address = _with_credentials(index, user, password)
        environment["UV_INDEX"] = " ".join(filter(None, (address, environment.get("UV_INDEX", ""))))
    environment = {key: value for key, value in environment.items() if value}
    environment |= {
        "UV_CACHE_DIR": CACHE,
        "UV_LINK_MODE": "copy",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_COMPILE_BYTECODE_TIMEOUT": "600",
    }
    return Outside(files, environment, tuple(_secrets(environment, password)))


def _proxies() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}


def _file(name: str, value: str, files: dict[str, Path | bytes]) -> str:
    """Where the container finds a file of this machine; the value itself when it is none."""
    if name.rpartition("::")[2] not in ("CAInfo", "CaInfo", "SslCert", "SslKey") or not Path(value).is_file():
        return value
    place = f"of-this-machine/{len(files)}-{Path(value).name}"
    files[place] = Path(value)
    return f"{PLACE}/{place}"


def _links(link: str, files: dict[str, Path | bytes]) -> str:
    """Where the container finds packages that this machine has in a directory; "" for an empty one."""
    if "://" in link:
        return link
    packages = [each for each in Path(link).expanduser().glob("*") if each.suffix in (".whl", ".gz", ".zip")]
    place = f"links/{len(files)}"
    files.update({f"{place}/{each.name}": each for each in packages})
    return f"{PLACE}/{place}" if packages else ""


def _with_credentials(address: str, user: str, password: secrets.Secret | None) -> str:
    import urllib.parse  # noqa: PLC0415

    scheme, _, rest = address.partition("://")
    words = [user, password.reveal() if password else ""]
    quoted = ":".join(urllib.parse.quote(word, safe="") for word in words if word)
    return f"{scheme}://{quoted}@{rest}" if quoted else address


def _secrets(environment: Mapping[str, str], password: secrets.Secret | None) -> list[secrets.Secret]:
    found = [password] if password else []
    for name, value in environment.items():
        if name.endswith("_PASSWORD"):
            found.append(secrets.Secret(value))
        found += [secrets.Secret(each["password"]) for each in _ADDRESS.finditer(value) if each["password"]]
    return found
