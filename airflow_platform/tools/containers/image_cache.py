"""The images of one engine, each asked for once and kept until something is built; and our labels on them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_platform.programs import programs
from airflow_platform.tools.containers import engine

if TYPE_CHECKING:
    from airflow_platform.tools.containers.images import Images
    from airflow_platform.tools.containers.spec import EngineImage

IMAGE = "airflow-platform.image"
"""The name of one of ours."""
INPUTS = "airflow-platform.inputs"
"""The digest of all that it was made of; the end of its tag."""
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


class ImageCache:
    """The images of an engine, as several steps of a run see them."""

    def __init__(self, host: str | None) -> None:
        """Prepare; nothing is asked yet.

        Args:
            host: As `engine.connected` has it.
        """
        self.host = host
        self._lock = threading.Lock()
        self._images: dict[str, EngineImage | None] = {}
        self._platform = ""

    def at(self, reference: str) -> EngineImage | None:
        """The image of that name, or id; None when there is none.

        Raises:
            EngineMissing: No engine answers.
            EngineError: It said no.
        """
        from airflow_platform.tools.containers import images  # noqa: PLC0415 - imports docker.

        with self._lock:
            if reference not in self._images:
                with engine.connected(self.host) as client:
                    self._images[reference] = images.described(client.api, reference)
            return self._images[reference]

    def platform(self) -> str:
        """What the engine runs without emulation: `amd64`, `arm64`."""
        with self._lock:
            self._platform = self._platform or engine.architecture(self.host)
            return self._platform

    def left(self, label: str) -> int:
        """How many containers, networks, and images without a name, have a label."""
        with engine.connected(self.host) as client, engine.translated("what killed builds left"):
            api: Any = client.api
            return (
                len(api.containers(all=True, filters={"label": label}))
                + len(api.networks(filters={"label": label}))
                + len(api.images(filters={"label": label, "dangling": True}))
            )

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
