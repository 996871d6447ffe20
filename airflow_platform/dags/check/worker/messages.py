"""What the client asks the worker on its standard input, and what it answers on its standard output.

One JSON object a line; the worker ends with its input.

| the client asks | the worker answers |
| --- | --- |
| `{"ask": "files", "seconds": n, "memory": n}` | `{"files": [...]}`, those that Airflow would import; `{"refused": TEXT}` where it imports none; `{"ended": TEXT}` |
| `{"ask": "import", …}`, see `ImportRequest` | for each file `{"begun": PATH}` and later `{"file": PATH, "facts": {…}}`; then `{"done": n}` |
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LARGEST_ANSWER = 16 * 1024**2
"""Bytes of what importing one file may answer: a thousand tasks are 200 kB."""

LATE = "late"
"""The end of an import that reached its deadline; other ends than these two are a sentence's second half."""

MEMORY = "memory"
"""The end of an import that took more memory than it may."""

END = b"\n"
"""How a message ends; one without was cut."""


class MalformedError(Exception):
    """Not a message."""


@dataclass(frozen=True)
class File:
    """A file to import."""

    path: str
    """Below the root."""
    modules: tuple[str, ...] = ()
    """Modules outside of the root that it or a file that it needs imports anywhere, and `module:name` for what is
    taken from them: each is looked for."""
    loads: tuple[str, ...] = ()
    """Files below the root that it needs, also in functions: those that its import does not open are compiled."""


@dataclass(frozen=True)
class ImportRequest:
    """Files to import, and what they find."""

    files: tuple[File, ...]
    warm: tuple[str, ...] = ()
    """Modules of Airflow to import once, before the files: those that several of them need."""
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What Airflow's variables are while importing."""
    connections: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """The connections that exist, by id, without secrets."""
    seconds: float = 30.0
    """How long one import may take."""
    memory: int = 1024
    """MiB that one import may use, besides Airflow."""
    jobs: int = 1
    """Imports at the same time."""

    def to_json(self) -> dict[str, Any]:
        """As it is asked."""
        return {"ask": "import", **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, asked: Mapping[str, Any]) -> ImportRequest:
        """What was asked."""
        values = {field.name: asked[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**values, "files": tuple(File(**each) for each in asked["files"])})


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as bytes."""
    return json.dumps(message, separators=(",", ":"), default=str).encode() + END


def decode(line: bytes) -> dict[str, Any]:
    """A message.

    Raises:
        MalformedError: It is cut, or no object.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise MalformedError("no object")
    return found
