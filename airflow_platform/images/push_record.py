"""The record of the images that an environment's registry has, once all of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_platform.config import registry_record
from airflow_platform.engine import step
from airflow_platform.tenants.contexts import EnvironmentContext, EnvironmentStep
from airflow_platform.tools import files


@dataclass(frozen=True)
class Observed:
    """What the record says, and what it should say."""

    recorded: registry_record.Pushed | None
    wanted: registry_record.Pushed


class ImageRecord(EnvironmentStep):
    """Writes down the digests that other steps' outputs name, as `tag` and `digest`. Outputs: `path`."""

    name = "record"

    def __init__(self, *, registry: str, steps: Mapping[str, str]) -> None:
        """Make the step.

        Args:
            registry: Host and prefix.
            steps: The step of each image, by the image's name.
        """
        self._registry = registry
        self._steps = steps

    def observe(self, context: EnvironmentContext) -> Observed:
        images = {}
        for name, other in self._steps.items():
            outputs = context.outputs(other)
            images[name] = registry_record.RecordedImage(outputs["tag"], outputs["digest"])
        wanted = registry_record.Pushed(self._registry, images)
        return Observed(registry_record.read(context.environment.name), wanted)

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        path = str(registry_record.path(context.environment.name))
        if observed.recorded == observed.wanted:
            return step.NoChange(f"{path} names them", {"path": path})
        return step.Change(
            f"write down {len(self._steps)} digests", {"path": path, "content": observed.wanted.to_json()}
        )

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        path = registry_record.path(context.environment.name)
        files.make_directory(path.parent, mode=0o755)
        files.write(path, change.details["content"], mode=0o644)
        return {"path": str(path)}
