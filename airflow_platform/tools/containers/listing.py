"""The images that an engine has, asked without the docker library: importing that takes longer than all else
that a build with nothing to do needs.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_platform.tools.containers import engine

TIMEOUT = 60.0
"""Seconds for an answer, as everywhere with the engine."""


@dataclass(frozen=True)
class Image:
    """An image that has a name."""

    id: str
    """`sha256:…`."""
    references: tuple[str, ...]
    """Repository and tag of each of its names."""
    labels: Mapping[str, str]
    size: int
    """Bytes of all layers, unpacked."""
    created: int
    """Unix seconds."""


def images(host: str | None) -> tuple[Image, ...]:
    """All images that have a name, the newest first.

    Raises:
        EngineMissing: No engine answers.
        EngineError: It said no.
    """
    listed = ask(host, "/images/json")
    return tuple(
        Image(
            each["Id"],
            tuple(name for name in each["RepoTags"] or () if not name.startswith("<none>")),
            each["Labels"] or {},
            int(each["Size"]),
            int(each["Created"]),
        )
        for each in listed
    )


def platform(host: str | None) -> str:
    """What the engine runs without emulation: `amd64`, `arm64`."""
    return str(ask(host, "/version")["Arch"])


def content(described: Mapping[str, Any]) -> str:
    """16 hexadecimal digits over layers and settings of an image, as the engine describes it, without its labels:
    they tell one that was altered, whatever its labels say.
    """
    not_held = ("Labels", "Image", "Hostname")
    settings = {key: value for key, value in described["Config"].items() if key not in not_held}
    held = [described["RootFS"].get("Layers"), described["Architecture"], settings]
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


def ask(host: str | None, path: str) -> Any:
    """What an engine answers to a GET of its API, parsed.

    Raises:
        EngineMissing: No engine answers.
        EngineError: It said no.
    """
    where = engine.address(host)
    if where.startswith("unix://"):
        try:
            return _over_socket(where.removeprefix("unix://"), path)
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            pass  # The library says better what is wrong.
    with engine.connected(host) as client, engine.translated(f"engine {where}"):
        api: Any = client.api
        answer = api.get(f"{api.base_url}/v{api.api_version}{path}", timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()


def _over_socket(path: str, request: str) -> Any:
    connection = _Connection(path)
    try:
        connection.request("GET", request)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise LookupError(request)
        return json.loads(answer.read())
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def with_reference(images: Sequence[Image], reference: str) -> Image | None:
    """The image of that name; None when there is none. A name without a tag means `latest`."""
    wanted = {reference, f"{reference}:latest"} if ":" not in reference.rpartition("/")[2] else {reference}
    return next((each for each in images if wanted & set(each.references)), None)
