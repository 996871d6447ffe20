"""A supervisor's input (`supervisor.json`) and its status (`status.json`), and both as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

VERSION = 1
SPEC_FILE = "supervisor.json"
STATUS_FILE = "status.json"
LOG_FILE = "supervisor.log"

OWNER_VARIABLE = "AIRFLOW_PLATFORM_OWNER"
"""In the environment of every process of a tenant: what strays are found by."""

ALREADY_RUNNING = 75
"""Exit code of a supervisor whose directory has one already: EX_TEMPFAIL of sysexits.h."""

UNUSABLE = 78
"""Exit code of a supervisor that cannot read its spec or write its files: EX_CONFIG of sysexits.h."""

ValueT = TypeVar("ValueT")


class SpecError(ValueError):
    """A document that does not say what it must; the message names the key."""


@dataclass(frozen=True)
class Component:
    """One program to keep running. Everything in it is part of its digest: what changes, restarts it."""

    name: str
    argv: tuple[str, ...]
    """Never holds a secret: every user of the machine can read it."""
    directory: str
    """Where it runs."""
    log: str
    """Where both its outputs go. As root: in a directory of root's, or of the component's user."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment, apart from `secret_environment`; nothing is inherited."""
    secret_environment: Mapping[str, str] = field(default_factory=dict)
    """Variable to file: the value is the file's text without its last line end, read at each start."""
    idle_title: str = ""
    """A regular expression, searched for in the title of a process that outlived the component's
    first process: one that matches has nothing to do and is ended. Empty: all may finish."""
    stop_timeout: float = 25.0
    """Seconds from SIGTERM to SIGKILL. An Airflow scheduler waits for its tasks without a limit."""
    generation: str = ""
    """Any text; another one restarts the component."""

    def __post_init__(self) -> None:
        """Make 25 and 25.0 the same definition, before and after it was a document."""
        object.__setattr__(self, "stop_timeout", float(self.stop_timeout))

    @classmethod
    def from_json(cls, document: Any) -> Component:
        """The component that a document describes.

        Raises:
            SpecError: A key is missing or has the wrong type.
        """
        component = cls(
            name=_take(document, "name", str),
            argv=tuple(_texts(_take(document, "argv", list), "argv")),
            directory=_take(document, "directory", str),
            log=_take(document, "log", str),
            environment=_variables(document, "environment"),
            secret_environment=_variables(document, "secret_environment"),
            idle_title=_take(document, "idle_title", str),
            stop_timeout=_seconds(document, "stop_timeout"),
            generation=_take(document, "generation", str),
        )
        if not component.name or not component.argv:
            raise SpecError("a component needs a name and a program")
        try:
            re.compile(component.idle_title)
        except re.error as error:
            raise SpecError(f"idle_title of {component.name}: {error}") from error
        return component


@dataclass(frozen=True)
class Spec:
    """Everything that one supervisor keeps running."""

    owner: str
    """The value of `AIRFLOW_PLATFORM_OWNER`; unique on this machine."""
    components: tuple[Component, ...]
    user: int | None = None
    """The user and group id of all components; None: those of the supervisor. Needs root."""
    version: int = VERSION

    @property
    def digest(self) -> str:
        """Changes with everything."""
        return _digest(asdict(self))

    def digest_of(self, component: Component) -> str:
        """Changes with whatever makes a restart of this component necessary."""
        return _digest([self.owner, self.user, asdict(component)])

    def to_text(self) -> str:
        """The JSON document."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Spec:
        """The spec in a JSON document.

        Raises:
            SpecError: It is not JSON, of another version, a key is wrong, or two names are equal.
        """
        document = _load(text)
        spec = cls(
            owner=_take(document, "owner", str),
            components=tuple(map(Component.from_json, _take(document, "components", list))),
            user=None if document.get("user") is None else _take(document, "user", int),
        )
        names = [component.name for component in spec.components]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SpecError(f"two components are named {twice[0]}")
        return spec


@dataclass(frozen=True)
class ComponentStatus:
    """How one component is."""

    name: str
    state: str
    """running; waiting (to be started again); stopped (not to be started again)."""
    pid: int
    """0 when it does not run."""
    started_at: float
    """Unix seconds of its last start; 0.0 when it never started."""
    restarts: int
    """How often it was started again since its definition last changed."""
    last_exit: str
    """Why it ended last: `exited 1`, `signal 9`, `not started: <reason>`; empty when it never did."""
    digest: str
    """`Spec.digest_of` the definition that it runs with."""


@dataclass(frozen=True)
class Status:
    """How a supervisor and its components are. Means nothing unless that supervisor holds the lock."""

    pid: int
    state: str
    """running, stopping, stopped."""
    started_at: float
    """Unix seconds."""
    spec_digest: str
    """`Spec.digest` of the spec that is fully in place: what it removed has ended, what it added was
    started at least once. Empty until then."""
    components: tuple[ComponentStatus, ...]
    version: int = VERSION

    def to_text(self) -> str:
        """The JSON document."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Status:
        """The status in a JSON document.

        Raises:
            SpecError: It is not JSON, of another version, or a key is wrong.
        """
        document = _load(text)
        return cls(
            pid=_take(document, "pid", int),
            state=_take(document, "state", str),
            started_at=_seconds(document, "started_at"),
            spec_digest=_take(document, "spec_digest", str),
            components=tuple(map(_component_status, _take(document, "components", list))),
        )


def write_atomically(path: Path, text: str) -> None:
    """Write a file, mode 0600, so that a reader sees the old text or the new one, and never half of it.

    Raises:
        OSError: It could not be written; the old text stays.
    """
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)  # Left by a writer that was killed.
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _component_status(document: Any) -> ComponentStatus:
    return ComponentStatus(
        name=_take(document, "name", str),
        state=_take(document, "state", str),
        pid=_take(document, "pid", int),
        started_at=_seconds(document, "started_at"),
        restarts=_take(document, "restarts", int),
        last_exit=_take(document, "last_exit", str),
        digest=_take(document, "digest", str),
    )


def _load(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise SpecError(f"not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise SpecError(f"not a document of version {VERSION}")
    return document


def _take(document: Any, key: str, kind: type[ValueT]) -> ValueT:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SpecError(f"{key} must be a {kind.__name__}")
    return value


def _seconds(document: Any, key: str) -> float:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise SpecError(f"{key} must be a number of seconds")
    return float(value)


def _texts(values: list[Any], key: str) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise SpecError(f"{key} must hold texts")
    return values


def _variables(document: Any, key: str) -> dict[str, str]:
    values: dict[str, str] = _take(document, key, dict)
    _texts([*values.keys(), *values.values()], key)
    return values


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
