"""Results that are kept by the digest of all that they were made from: JSON files with a checksum."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from airflow_platform import errors

_CHECKSUM = 16


class Results:
    """A folder of results. What is cut, changed or not readable is not there, and is made again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, kind: str, key: str) -> Any:
        """A result; None when there is none."""
        try:
            text = self._path(kind, key).read_bytes()
        except OSError:
            return None
        checksum, _, body = text.partition(b"\n")
        if checksum.decode(errors="replace") != _checksum(body):
            return None
        return json.loads(body)

    def put(self, kind: str, key: str, value: Any) -> None:
        """Keep a result.

        Two that are made at the same time are the same, so that it matters to nobody whose is kept.

        Raises:
            StateError: A full disk, a lost permission.
        """
        body = json.dumps(value, separators=(",", ":")).encode()
        path = self._path(kind, key)
        with errors.state_errors(path):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            # A result that a crash of the machine cuts has no checksum that fits: nothing must be synced.
            draft = path.with_name(f".{path.name}.{_own()}")
            draft.write_bytes(_checksum(body).encode() + b"\n" + body)
            draft.replace(path)

    def _path(self, kind: str, key: str) -> Path:
        return self._directory / kind / key[:2] / key


def key(*parts: object) -> str:
    """The digest of what a result is made from."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _checksum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:_CHECKSUM]


def _own() -> str:
    """A name that no other writer has."""
    return f"{os.getpid()}.{threading.get_ident()}"
