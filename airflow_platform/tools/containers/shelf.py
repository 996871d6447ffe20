"""The images of one engine, each asked for once and kept until something is built; and our labels on them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_platform import programs
from airflow_platform.tools.containers import api, engine

if TYPE_CHECKING:
    from airflow_platform.tools.containers.images import Images

IMAGE = "airflow-platform.image"
"""The name of one of ours."""
INPUTS = "airflow-platform.inputs"
"""The digest of all that it was made of; the end of its tag."""
CONTENT = "airflow-platform.content"
"""The digest of what it holds: differs from what is there when somebody altered it."""
PARENT = "airflow-platform.parent"
"""The digest of what its parent held: a parent that was lost and made again the same is no reason to build."""
LOCK = "airflow-platform.lock"
"""SHA-256 of the lock of its Python packages."""
REVISION = "airflow-platform.revision"
"""Alembic's revision to which this Airflow migrates."""
KNOWN_REVISIONS = "airflow-platform.known-revisions"
"""All that it knows, with spaces between."""
COMMIT = "org.opencontainers.image.revision"
"""The commit of the checkout that it was made from; "" for one that is no Git repository."""
CREATED = "org.opencontainers.image.created"
"""When, as RFC 3339 has it, in UTC."""
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
        self._images: dict[str, api.Image | None] = {}
        self._platform = ""

    def at(self, reference: str) -> api.Image | None:
        """The image of that name, or id; None when there is none. Raises what `api.image` raises."""
        with self._lock:
            if reference not in self._images:
                self._images[reference] = api.image(self.host, reference)
            return self._images[reference]

    def platform(self) -> str:
        """What the engine runs on."""
        with self._lock:
            self._platform = self._platform or api.platform(self.host)
            return self._platform

    def left(self, label: str) -> int:
        """How many containers, networks, and images without a name, have a label."""
        return api.left(self.host, label)

    @contextlib.contextmanager
    def changing(self, interruption: programs.Interruption) -> Iterator[Images]:
        """A way to change the images; afterwards they are asked for again."""
        from airflow_platform.tools.containers import images  # noqa: PLC0415 - only where something is built.

        try:
            with engine.connected(self.host, timeout=images.TIMEOUT) as client:
                yield images.Images(client, interruption)
        finally:
            with self._lock:
                self._images.clear()
