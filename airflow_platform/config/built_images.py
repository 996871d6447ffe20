"""The record of the images that were built: what `inv build` writes and later steps read.

It lies at `build/images.json` in the project, not committed: a CI job can hand it to the next one as
an artifact only from inside its project's directory, and it says what was built here, not what should
be. It is a note, never the truth: a tag is a digest of all that the image is made from, so that
`inv build` finds its images again without it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import paths

SCHEMA = 1
"""Of the record; one of another is not read."""


@dataclass(frozen=True)
class BuiltImage:
    """One image in the local engine."""

    name: str
    """`scheduler`: what it is for."""
    reference: str
    """`airflow-platform/scheduler:3.3.2-5f0e…`: repository and tag; the tag is a digest of all inputs."""
    id: str
    """`sha256:…`: the digest of its configuration, and through it of every layer."""
    architecture: str
    """`amd64`, `arm64`."""
    size: int
    """Bytes of all layers, unpacked."""

    @property
    def tag(self) -> str:
        return self.reference.rpartition(":")[2]


@dataclass(frozen=True)
class Built:
    """All images of one checkout."""

    images: Mapping[str, BuiltImage]
    """By name."""
    commit: str
    """Of the checkout when the newest of them was built; "" where it is no Git repository."""
    airflow: str
    """Airflow's version."""
    revision: str
    """Alembic's revision to which this Airflow migrates the metadata database."""
    known_revisions: tuple[str, ...]
    """All revisions that this Airflow knows."""

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, sort_keys=True) + "\n"


def command(host: str | None) -> str:
    """What a person types to have the images in an engine: `inv build` itself takes no address.

    Args:
        host: The engine, as an environment's file has it; None for the one that `inv build` uses anyway.
    """
    return f"DOCKER_HOST={shlex.quote(host)} scripts/inv build" if host else "scripts/inv build"


def read(path: Path | None = None) -> Built | None:
    """The record, by default the project's; None when there is none.

    Raises:
        StateError: It cannot be read, or is not what `inv build` writes.
    """
    path = path or paths.project().built_images
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            return None
        images = {name: BuiltImage(**each) for name, each in data.pop("images").items()}
        return Built(images=images, known_revisions=tuple(data.pop("known_revisions")), **data)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.StateError.of(path, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.StateError(
            f"{path} is not what `inv build` writes: {error!r}.", hint="Delete it and run `inv build`."
        ) from error
