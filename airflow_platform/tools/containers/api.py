"""An engine's API, asked directly.

Importing the docker library takes longer than all else that a build with nothing to do needs, and so does a
list of all images in an engine that has many.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_platform.tools.containers import engine

TIMEOUT = 60.0
"""Seconds for an answer, as everywhere with the engine."""


@dataclass(frozen=True)
class Image:
    """An image as an engine describes it."""

    id: str
    """`sha256:…`."""
    architecture: str
    """`amd64`, `arm64`."""
    labels: Mapping[str, str]
    size: int
    """Bytes of all layers, unpacked."""
    content: str
    """16 hexadecimal digits over layers and settings, without the labels: they tell one that was altered,
    whatever its labels say."""


_HELD = (
    "Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "OnBuild", "Shell", "StopSignal", "User", "Volumes",
    "WorkingDir",
)  # fmt: skip
"""The settings of an image: those of the OCI image format, and Docker's own additions to it. Engines also tell
those of a container in general, some of them and not always the same."""


def image_of(described: Mapping[str, Any]) -> Image:
    """What the engine's description of an image says, in whichever version of its API."""
    config = described.get("Config") or {}
    # One that is not set is told as empty, or not at all: that depends on the engine.
    settings = {key: config[key] for key in _HELD if config.get(key)}
    held = [described["RootFS"].get("Layers"), described["Architecture"], settings]
    content = hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]
    labels = config.get("Labels") or {}
    return Image(described["Id"], described["Architecture"], labels, int(described["Size"]), content)


def image(host: str | None, name: str) -> Image | None:
    """The image of that id or reference; None when there is none.

    Raises:
        EngineMissing: No engine answers.
        EngineError: It said no.
    """
    found = ask(host, f"/images/{urllib.parse.quote(name)}/json")
    return None if found is None else image_of(found)


def platform(host: str | None) -> str:
    """What the engine runs without emulation: `amd64`, `arm64`."""
    return str(ask(host, "/version")["Arch"])


def left(host: str | None, label: str) -> int:
    """How many containers, networks, and images without a name, have a label."""
    asked = (
        ("/containers/json", {"all": "1", "filters": json.dumps({"label": [label]})}),
        ("/networks", {"filters": json.dumps({"label": [label]})}),
        ("/images/json", {"filters": json.dumps({"label": [label], "dangling": ["true"]})}),
    )
    return sum(len(ask(host, f"{path}?{urllib.parse.urlencode(query)}")) for path, query in asked)


def ask(host: str | None, path: str) -> Any:
    """What an engine answers to a GET of its API, parsed; None when it has no such thing.

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
    with engine.connected(host) as client:
        try:
            with engine.translated(f"engine {where}"):
                api: Any = client.api
                answer = api.get(f"{api.base_url}/v{api.api_version}{path}", timeout=TIMEOUT)
                api._raise_for_status(answer)  # noqa: SLF001 - what makes its errors of answers.
                return answer.json()
        except engine.EngineError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise


def _over_socket(path: str, request: str) -> Any:
    connection = _Connection(path)
    try:
        connection.request("GET", request)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status == http.client.NOT_FOUND:
            return None
        if answer.status != http.client.OK:
            raise LookupError(request)
        return json.loads(said)
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
