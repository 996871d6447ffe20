"""The record of all images that something is started from, written when each of them is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.config import built_images, components
from airflow_platform.engine import step
from airflow_platform.tools import files
from airflow_platform.tools.containers import image_cache

EnvironmentContext = step.EnvironmentContext[Any, Any]


class BuildRecord(step.EnvironmentStep[Any, Any]):
    """It says what the outputs of the images' steps say. Outputs: `path`."""

    name = "record"

    def __init__(self, path: Path, names: Sequence[str], *, airflow: str) -> None:
        """Make the step.

        Args:
            path: Of the record.
            names: The images' steps.
            airflow: Airflow's version.
        """
        self._names = tuple(names)
        self._path = path
        self._airflow = airflow

    def observe(self, context: EnvironmentContext) -> built_images.Built | None:
        try:
            return built_images.read(self._path)
        except errors.StateError:
            return None  # The record is a cache: the next build writes it again.

    def plan(
        self, context: EnvironmentContext, observed: built_images.Built | None
    ) -> step.Change | step.NoChange:
        if observed == self._wanted(context):
            return step.NoChange(f"{self._path} names them", {"path": str(self._path)})
        return step.Change(f"write down {len(self._names)} images in {self._path}")

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        content = self._wanted(context).to_json()
        files.make_directory(self._path.parent, mode=0o755)
        files.write(self._path, content, mode=0o644)
        return {"path": str(self._path)}

    def _wanted(self, context: EnvironmentContext) -> built_images.Built:
        made = {name: context.outputs(name) for name in self._names}
        newest = max(
            (each["labels"] for each in made.values()), key=lambda labels: str(labels[image_cache.CREATED])
        )
        told: Mapping[str, str] = made[components.BASE_IMAGE]["labels"]
        return built_images.Built(
            images={
                name: built_images.BuiltImage(
                    name, each["reference"], each["id"], each["architecture"], each["size"]
                )
                for name, each in made.items()
            },
            commit=newest[image_cache.COMMIT],
            airflow=self._airflow,
            revision=told[image_cache.REVISION],
            known_revisions=tuple(told[image_cache.KNOWN_REVISIONS].split()),
        )
