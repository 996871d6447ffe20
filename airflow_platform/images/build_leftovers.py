"""What killed builds of this checkout left in the engine: containers, and images that never got a name."""

from __future__ import annotations

from typing import Any

from airflow_platform.engine import step
from airflow_platform.tools.containers import image_cache

EnvironmentContext = step.EnvironmentContext[Any, Any]


class BuildLeftovers(step.EnvironmentStep[Any, Any]):
    """They are gone. Outputs: none."""

    name = "leftovers"

    def __init__(self, images: image_cache.ImageCache, *, checkout: str) -> None:
        """Make the step.

        Args:
            images: Of the engine.
            checkout: Identifies this checkout's drafts; others' builds may be running.
        """
        self._images = images
        self._label = f"{image_cache.DRAFT}={checkout}"

    def observe(self, context: EnvironmentContext) -> int:
        return self._images.left(self._label)

    def plan(self, context: EnvironmentContext, observed: int) -> step.Change | step.NoChange:
        if not observed:
            return step.NoChange("no build was cut short")
        things = "1 thing" if observed == 1 else f"{observed} things"
        return step.Change(f"remove {things} that a build left which was cut short")

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        with self._images.changing(context.programs.interruption) as images:
            images.remove_left(self._label)
        return {}
