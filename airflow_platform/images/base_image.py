"""What all images are made from: in the engine, or pulled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_platform import errors
from airflow_platform.config import image_recipes
from airflow_platform.engine import step
from airflow_platform.tools.containers import engine, image_cache
from airflow_platform.tools.containers.spec import EngineImage

EnvironmentContext = step.EnvironmentContext[Any, Any]

SCRIPT = "images/base-from-debian"
"""What makes the base where no registry answers."""


@dataclass(frozen=True)
class Observed:
    """The base, and the architecture that it is to have."""

    image: EngineImage | None
    wanted: str


class BaseImage(step.EnvironmentStep[Any, Any]):
    """Outputs: `id`, `inputs` (what those that are made from it go by: its layers), `architecture`."""

    name = image_recipes.BASE

    def __init__(self, images: image_cache.ImageCache, *, reference: str, platform: str, pull: bool) -> None:
        """Make the step.

        Args:
            images: Of the engine.
            reference: The base, as `images.toml` has it.
            platform: What it is to run on; "" for what the engine does.
            pull: Whether it is fetched though it is there.
        """
        self._images = images
        self._reference = reference
        self._platform = platform
        self._pull = pull

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        try:
            observed = self.observe(context)
            runs = self._images.platform()
        except engine.EngineMissing as error:
            yield from error.faults()
            return
        if observed.wanted != runs:
            yield errors.Fault(
                "images.toml: platform",
                f"It says {observed.wanted}, and the Docker engine runs {runs}.",
                "Build with an engine of that kind (DOCKER_HOST names it), or change the setting.",
            )
        elif observed.image is None:
            yield from self._unobtainable(context)
        elif observed.image.architecture != observed.wanted and not self._pull:
            yield errors.Fault(
                f"base image {self._reference}",
                f"It is for {observed.image.architecture}, and images are made for {observed.wanted}.",
                f"Fetch the right one: `docker pull --platform=linux/{observed.wanted} {self._reference}`.",
            )

    def observe(self, context: EnvironmentContext) -> Observed:
        return Observed(self._images.at(self._reference), self._platform or self._images.platform())

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.image and not self._pull:
            return step.NoChange(f"{self._reference} is there", _outputs(observed.image))
        return step.Change(f"pull {self._reference}", {"platform": observed.wanted})

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        from airflow_platform.tools.containers import images  # noqa: PLC0415 - only where something is built.

        with self._images.changing(context.programs.interruption) as ours:
            try:
                platform = change.details["platform"]
                made = ours.pull(self._reference, platform=platform, progress=context.progress)
            except images.RegistryMissing as error:
                raise errors.StepError(error.message, hint=self._remedy()) from error
            return _outputs(ours.described(made))

    def _unobtainable(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        from airflow_platform.tools.containers import images  # noqa: PLC0415 - only where something is built.

        with self._images.changing(context.programs.interruption) as ours:
            try:
                ours.require_in_registry(self._reference)
            except (images.RegistryMissing, engine.EngineError) as error:
                yield errors.Fault(f"base image {self._reference}", error.message, self._remedy())

    def _remedy(self) -> str:
        return (
            f"Reach a registry, or `docker load` the base, or make it from Debian packages: `{SCRIPT}` "
            "(needs mmdebstrap). Another base is named in images.toml."
        )


def _outputs(image: EngineImage) -> dict[str, Any]:
    return {"id": image.id, "inputs": image.layers, "architecture": image.architecture}
