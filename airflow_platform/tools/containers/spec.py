"""What a container should be, and what one is. Plain data, comparable by digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from airflow_platform import secrets

DIGEST = "airflow-platform.digest"
"""The label with the digest of the spec that a container was made from."""

DEFINITION = "airflow-platform.definition"
"""The label with the digest of that spec without its generation; containers of earlier versions have none."""

RUNNING = "running"


@dataclass(frozen=True)
class File:
    """A file that is put into a container before it starts: never part of its image or its settings."""

    content: secrets.Secret
    mode: int = 0o400


@dataclass(frozen=True)
class Container:
    """A container as it should be."""

    name: str
    """Unique in the engine."""
    image: str
    """The image's id, so that a tag that moves changes nothing unseen."""
    command: tuple[str, ...] = ()
    """Instead of the image's own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    """By path; they belong to `owner`."""
    owner: int = 0
    """The user id to whom the files belong."""
    binds: Mapping[str, str] = field(default_factory=dict)
    """Directories of this machine by their path in the container; read-only."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Volumes by their path in the container."""
    network: str = ""
    """The network that it is made in; "" for none."""
    hostname: str = ""
    """Its name in that network, and to itself."""
    ports: Mapping[int, int] = field(default_factory=dict)
    """Its ports and where they are published on 127.0.0.1; 0 for a port that the engine chooses."""
    memory: int = 0
    """Bytes, also with swap; 0 for no limit."""
    cpus: float = 0.0
    """Cores; 0 for no limit."""
    shared_memory: int = 64 * 1024**2
    """Bytes of /dev/shm; the engine's default."""
    stop_timeout: int = 10
    """Seconds from the stop signal to SIGKILL."""
    restarts: bool = True
    """Whether the engine starts it again when it ended by itself, also after a restart of the machine."""
    labels: Mapping[str, str] = field(default_factory=dict)
    generation: str = ""
    """Another text is another container: that a restart was asked for."""

    def digest(self) -> str:
        """Changes with everything, the content of files too, without telling what it is."""
        parts = {key: value for key, value in vars(self).items() if key != "files"}
        parts["files"] = {path: [file.mode, _hashed(file.content)] for path, file in self.files.items()}
        text = json.dumps(parts, sort_keys=True, default=dict)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def definition(self) -> str:
        """The digest without the generation: the same before and after a restart that was asked for."""
        return replace(self, generation="").digest()

    def marks(self) -> dict[str, str]:
        """The labels of a container that is made from this spec."""
        return {**self.labels, DIGEST: self.digest(), DEFINITION: self.definition()}


def _hashed(content: secrets.Secret) -> str:
    return hashlib.sha256(content.reveal().encode()).hexdigest()


@dataclass(frozen=True)
class FoundContainer:
    """A container as it is."""

    name: str
    id: str
    image: str
    """The id of its image."""
    state: str
    """running, created, restarting, exited, paused, removing, dead."""
    restarts: int
    last_exit: str
    """How it ended the last time, for people; "" when it never did."""
    started_at: float
    """Unix seconds; 0 when it was never started."""
    labels: Mapping[str, str]
    networks: tuple[str, ...]
    ports: Mapping[int, int]
    """Its ports and where they are published on 127.0.0.1; only while it runs."""

    @property
    def running(self) -> bool:
        return self.state == RUNNING

    @property
    def alive(self) -> bool:
        """Whether it is not stopped: also one that ends and is started again and again."""
        return self.state in (RUNNING, "restarting", "paused")

    @property
    def digest(self) -> str:
        """Of the spec that it was made from; "" for a container that is not ours."""
        return self.labels.get(DIGEST, "")

    @property
    def definition(self) -> str:
        """Of that spec without its generation; "" where nobody has noted it."""
        return self.labels.get(DEFINITION, "")


@dataclass(frozen=True)
class EngineObject:
    """A network or a volume as it is."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class EngineImage:
    """An image as an engine has it."""

    id: str
    """`sha256:…`."""
    architecture: str
    """`amd64`, `arm64`."""
    labels: Mapping[str, str]
    size: int
    """Bytes of all layers, unpacked."""
    layers: str
    """16 hexadecimal digits over its layers: the same for the same files, whatever its name and its date."""
