"""Which engine has somebody's objects: asked for them, another one answers that there are none."""

from __future__ import annotations

import json
from pathlib import Path

from airflow_platform import errors
from airflow_platform.tools import files
from airflow_platform.tools.containers import engine_session


class AnotherEngine(errors.PreflightError):
    """The engine is not the one that has the objects."""


class Remembered:
    """A file that says which engine it is, by the id that an engine keeps for its life; and where it was."""

    def __init__(self, path: Path) -> None:
        """Prepare; nothing is touched yet.

        Args:
            path: The file; while it is not there, every engine will do.
        """
        self._path = path
        self._fits = False

    @property
    def known(self) -> bool:
        """Whether an engine is remembered."""
        return bool(self._read())

    def require(self, engine: engine_session.Engine) -> None:
        """Refuse another engine than the remembered one; that it fits is asked once.

        Raises:
            AnotherEngine: It is another.
        """
        if self._fits or not (said := self._read()):
            return
        if said["id"] != engine.identity():
            fault = errors.Fault(
                "Docker engine",
                f"This is another one than that which has the containers and databases; it was at {said['address']}.",
                "Use that one: set DOCKER_HOST to its address, or `docker context use` what leads there. "
                f"If it is gone for good with all that it had, delete {self._path}.",
            )
            raise AnotherEngine("This is another Docker engine.", [fault])
        self._fits = True

    def remember(self, engine: engine_session.Engine, address: str) -> None:
        """Note an engine and where it is; one that is remembered stays."""
        if not self.known:
            text = json.dumps({"id": engine.identity(), "address": address})
            files.write(self._path, text, mode=0o600)

    def forget(self) -> None:
        """From now on every engine will do."""
        self._path.unlink(missing_ok=True)
        self._fits = False

    def _read(self) -> dict[str, str]:
        """What it says; nothing where it is not there, or a machine that lost power kept only its name."""
        with errors.state_errors(self._path):
            if not self._path.is_file():
                return {}
            text = self._path.read_text()
        try:
            said: dict[str, str] = json.loads(text)
        except ValueError:
            return {}
        return said
