"""What client and worker say to each other: one JSON object a line, on a socket in the worker's directory.

| the client asks | the worker answers |
| --- | --- |
| `{"ask": "files", "root": DIRECTORY, "seconds": n}` | `{"files": [...], "confined": BOOL}`: those that Airflow would import, and whether the kernel refuses them programs and sockets; `{"refused": TEXT}` where it imports none |
| `{"ask": "import", …}`, see `Order` | for each file `{"begun": PATH}`, and `{"file": PATH, "facts": {…}}` when it is done; then `{"done": n}` |
| `{"ask": "end"}` | nothing: the worker ends as soon as nobody else asks anything |

As long as something is not done, a `{"busy": n}` comes from time to time: silence is the mark of a stuck worker.
An `{"error": TEXT}` is the worker's own failure, never that of a DAG file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SOCKET = "socket"
LOCK = "lock"
LOG = "log"
"""Files in a worker's directory: where it listens, what it holds while it lives, what it prints."""

LARGEST_ANSWER = 16 * 1024**2
"""Bytes of what one file's import may tell: a thousand tasks are 200 kB. More is no answer."""

NOBODY = 65534
"""The user id that owns nothing: imports share it where root has too few to give each one of its own."""

LATE = "late"
"""How a file ended whose time was over; any other end is told in words that follow "because"."""

WHOLE = "\n"
"""How a message ends; one without was cut."""


class Malformed(Exception):
    """Not what was agreed upon."""


@dataclass(frozen=True)
class File:
    """A file to import."""

    path: str
    """Below the root."""
    modules: tuple[str, ...] = ()
    """What it imports anywhere, and whatever it needs does: each is looked for."""
    loads: tuple[str, ...] = ()
    """Files below the root that it needs, also in functions: those that its import does not open are compiled."""


@dataclass(frozen=True)
class Order:
    """Files to import, and what they find."""

    root: str
    """The folder with the DAGs."""
    files: tuple[File, ...]
    warm: tuple[str, ...] = ()
    """Modules of Airflow to import once, before the files: those that several of them need."""
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What Airflow's variables are while importing."""
    connections: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """The connections that there are, by id, without secrets."""
    seconds: float = 30.0
    """How long one import may take."""
    memory: int = 1024
    """MiB that one import may take, besides Airflow."""
    jobs: int = 0
    """Imports at the same time; 0 for as many as there are cores."""

    def to_json(self) -> dict[str, Any]:
        """As it is asked."""
        return {"ask": "import", **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Order:
        """What was asked.

        Raises:
            Malformed: It is no order.
        """
        try:
            values = {each.name: found[each.name] for each in dataclasses.fields(cls)}
            values["files"] = tuple(
                File(str(each["path"]), tuple(map(str, each["modules"])), tuple(map(str, each["loads"])))
                for each in found["files"]
            )
            values["warm"] = tuple(found["warm"])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise Malformed(f"no order: {error!r}") from None


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as bytes."""
    return (json.dumps(message, separators=(",", ":"), default=str) + WHOLE).encode()


def decode(line: bytes) -> dict[str, Any]:
    """A message.

    Raises:
        Malformed: It is cut, or no object.
    """
    try:
        found = json.loads(line)
    except ValueError as error:
        raise Malformed(f"no JSON: {error}") from None
    except RecursionError:
        raise Malformed("nested too deeply") from None
    if not isinstance(found, dict):
        raise Malformed("no object")
    return found
