"""The images that containers are made from: built before, by `inv build`, and still there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.config import built_images
from airflow_platform.engine import step
from airflow_platform.tenants.contexts import EnvironmentContext, EnvironmentStep
from airflow_platform.tools.containers import engine


class ContainerImages(EnvironmentStep):
    """Outputs: `images` (ids by name), `revision` and `known` (of the metadata database)."""

    name = "images"

    def __init__(
        self,
        *,
        host: str | None,
        record: Path,
        names: Sequence[str],
        building: Callable[[EnvironmentContext], Iterable[errors.Fault]] = lambda context: (),
    ) -> None:
        """Make the step.

        Args:
            host: The engine.
            record: What `inv build` wrote.
            names: The images that are needed.
            building: What would stop `inv build` here; asked only when images are missing.
        """
        self._host = host
        self._record = record
        self._names = tuple(names)
        self._building = building

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        if fault := engine.elsewhere(self._host) or engine.fault(self._host):
            yield fault
            return
        found = tuple(faults(self._host, self._record, self._names))
        yield from found
        if found:
            yield from self._building(context)

    def observe(self, context: EnvironmentContext) -> built_images.Built | None:
        return built_images.read(self._record)

    def plan(
        self, context: EnvironmentContext, observed: built_images.Built | None
    ) -> step.Change | step.NoChange:
        if observed is None:
            raise errors.StepError(f"{self._record} is gone.", hint=_remedy(self._host))
        return step.NoChange(f"Airflow {observed.airflow} is built", self._outputs(observed))

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        raise NotImplementedError

    def _outputs(self, observed: built_images.Built) -> dict[str, Any]:
        return {
            "images": {name: observed.images[name].id for name in self._names},
            "revision": observed.revision,
            "known": list(observed.known_revisions),
        }


def faults(host: str | None, record: Path, names: Sequence[str]) -> Iterable[errors.Fault]:
    """What keeps containers from being made from these images: not built, gone, of another machine.

    Args:
        host: The engine; it answers.
        record: What `inv build` wrote.
        names: The images that are needed.
    """
    recorded = built_images.read(record)
    if recorded is None:
        yield errors.Fault("images", f"None were built yet: there is no {record}.", _remedy(host))
        return
    lacking = [name for name in names if name not in recorded.images]
    wanted = {each.id: each for name, each in recorded.images.items() if name in names}
    there = engine.images(host, tuple(wanted))
    lacking += [each.name for id_, each in wanted.items() if id_ not in there]
    if lacking:
        yield errors.Fault(f"images {', '.join(lacking)}", "The engine does not have them.", _remedy(host))
    architecture = engine.architecture(host)
    for each in wanted.values():
        if each.architecture != architecture:
            yield errors.Fault(
                f"image {each.reference}",
                f"It is for {each.architecture}, and the engine runs {architecture}.",
                _remedy(host),
            )


def _remedy(host: str | None) -> str:
    return f"Run `{built_images.command(host)}`."
