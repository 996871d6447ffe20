"""The record of the images that an environment's registry has: what `push` and `promote` write.

It lies at `build/pushed/<environment>.json` in the project, beside the record of what was built and for the
same reason: a CI job can hand it to the next one as an artifact. Flux is told digests from it, and
`promote` takes from it what to copy, so that production gets the bytes that were pushed and nothing
that a tag came to mean since. It is a note, never the truth: the registry is asked each time, and
a push that finds everything there writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import paths

SCHEMA = 1
"""Of the record; one of another is not read."""


@dataclass(frozen=True)
class RecordedImage:
    """One image in a registry."""

    tag: str
    """A digest of all that it was made from, as `inv build` gave it."""
    digest: str
    """`sha256:…` of the manifest: what Kubernetes is told."""


@dataclass(frozen=True)
class Pushed:
    """All images that an environment's registry has from one push or promotion."""

    registry: str
    """Host and prefix: an image is `<registry>/<name>@<digest>`."""
    images: Mapping[str, RecordedImage]
    """By name."""

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, sort_keys=True) + "\n"


def path(environment: str) -> Path:
    """Where an environment's record is; it may not exist yet."""
    return paths.project().pushed_images / f"{environment}.json"


def read(environment: str) -> Pushed | None:
    """An environment's record; None when there is none.

    Raises:
        StateError: It cannot be read, or is not what `inv push` writes.
    """
    place = path(environment)
    try:
        data = json.loads(place.read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            return None
        images = {name: RecordedImage(**each) for name, each in data.pop("images").items()}
        return Pushed(images=images, **data)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.StateError.of(place, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.StateError(
            f"{place} is not what `inv push` writes: {error!r}.",
            hint=f"Delete it and run `inv push --env={environment}`.",
        ) from error
