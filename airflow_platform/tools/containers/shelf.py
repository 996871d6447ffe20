"""The named images of one engine, asked for once and kept until something is built; and our labels on them."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_platform import programs
from airflow_platform.tools.containers import engine, listing

if TYPE_CHECKING:
    from airflow_platform.tools.containers.images import Images

IMAGE = "airflow-platform.image"
"""The name of one of ours."""
INPUTS = "airflow-platform.inputs"
"""The digest of all that it was made of; the end of its tag."""
CONTENT = "airflow-platform.content"
"""The digest of what it holds: differs from what is there when somebody altered it."""
PARENT = "airflow-platform.parent"
"""The id of the image that it was made from."""
LOCK = "airflow-platform.lock"
"""SHA-256 of the lock of its Python packages."""
REQUIREMENTS = "airflow-platform.requirements"
"""A digest of that lock and of what it must fit: an image with it was made after they were compared."""
REVISION = "airflow-platform.revision"
"""Alembic's revision to which this Airflow migrates."""
KNOWN_REVISIONS = "airflow-platform.known-revisions"
"""All that it knows, with spaces between."""
DRAFT = "airflow-platform.draft"
"""Marks what has no name yet with the checkout that makes it: what a killed build leaves."""


class Shelf:
    """The images of an engine, as several steps of a run see them."""

    def __init__(self, host: str | None) -> None:
        """Prepare; nothing is asked yet.

        Args:
            host: As `engine.connected` has it.
        """
        self.host = host
        self._lock = threading.Lock()
        self._listed: tuple[listing.Image, ...] | None = None
        self._platform = ""

    def images(self) -> tuple[listing.Image, ...]:
        """All that have a name; raises what `listing.images` raises."""
        with self._lock:
            if self._listed is None:
                self._listed = listing.images(self.host)
            return self._listed

    def at(self, reference: str) -> listing.Image | None:
        """The image of that name; None when there is none."""
        return listing.with_reference(self.images(), reference)

    def with_label(self, name: str, value: str, *, image: str = "") -> listing.Image | None:
        """The newest image that has a label with a value; None when there is none.

        Args:
            name: The label.
            value: Its value.
            image: Only one of ours of this name: an image has the labels of what it was made from, too.
        """
        named = (each for each in self.images() if not image or each.labels.get(IMAGE) == image)
        return next((each for each in named if each.labels.get(name) == value), None)

    def architecture(self, image: str) -> str:
        """What an image runs on."""
        return str(listing.ask(self.host, f"/images/{image}/json")["Architecture"])

    def left(self, label: str) -> int:
        """How many containers, and images without a name, have a label."""
        return sum(
            len(listing.ask(self.host, f"{path}filters={urllib.parse.quote(json.dumps(filters))}"))
            for path, filters in (
                ("/containers/json?all=1&", {"label": [label]}),
                ("/images/json?", {"label": [label], "dangling": ["true"]}),
            )
        )

    def content(self, image: str) -> str:
        """What an image holds, as `listing.content` has it."""
        return listing.content(listing.ask(self.host, f"/images/{image}/json"))

    def platform(self) -> str:
        """What the engine runs on."""
        with self._lock:
            self._platform = self._platform or listing.platform(self.host)
            return self._platform

    @contextlib.contextmanager
    def changing(self, interruption: programs.Interruption) -> Iterator[Images]:
        """A way to change the images; afterwards they are asked for again."""
        from airflow_platform.tools.containers import images  # noqa: PLC0415 - only where something is built.

        try:
            with engine.connected(self.host, timeout=images.TIMEOUT) as client:
                yield images.Images(client, interruption)
        finally:
            with self._lock:
                self._listed = None
