"""The images: each is there under the tag that says what it is made of, or is made.

An image gets its name last. Before that it is a draft, and has run what must run in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.config import image_recipes, image_settings, lock_inputs
from airflow_platform.engine import step
from airflow_platform.tools import files
from airflow_platform.tools.containers import image_cache
from airflow_platform.tools.containers.spec import EngineImage

if TYPE_CHECKING:
    from airflow_platform.tools.containers import build_network
    from airflow_platform.tools.containers import images as engine_images

EnvironmentContext = step.EnvironmentContext[Any, Any]

DOWNLOADS = "airflow-platform-downloads"
"""The engine's volume of downloaded packages: a lock that changed a little is installed from it in seconds."""

_TOLD = (image_cache.REVISION, image_cache.KNOWN_REVISIONS, image_cache.COMMIT, image_cache.CREATED)
"""The labels that are among the outputs of an image's step."""


@dataclass(frozen=True)
class Shared:
    """What all images of a build have in common."""

    images: image_cache.ImageCache
    recipes: Mapping[str, image_recipes.Recipe]
    """By name, parents first."""
    settings: image_settings.ImageSettings
    checkout: str
    """Identifies this checkout's drafts among those of other checkouts."""
    labels: Callable[[EnvironmentContext], Mapping[str, str]]
    """Labels of each image that is made now: the commit, the time."""
    uv: Callable[[EnvironmentContext, str], Path]
    """The uv for an architecture."""
    downloads: str = DOWNLOADS
    network: str = ""
    """Through which packages are fetched; "" for one of its own."""
    checks: Path | None = None
    """Where it is noted which locks fit what they were made from; comparing takes a third of an unchanged build."""


@dataclass(frozen=True)
class Observed:
    """One image, and what it is to be made of."""

    reference: str
    inputs: str
    parent: Mapping[str, Any]
    """The outputs of its parent's step."""
    image: EngineImage | None
    """The image with that name, which says all that it is made of; None when there is none."""
    wanted: bool
    """Whether it is needed: a mere parent is not when all that is made from it is there."""


class ImageStep(step.EnvironmentStep[Any, Any]):
    """One image.

    Outputs: `id` ("" for a parent that is not needed), `inputs`, `architecture`, `reference`, `size` and
    `labels`: those that the record of the build is written from.
    """

    def __init__(self, recipe: image_recipes.Recipe, shared: Shared) -> None:
        """Make the step of a recipe; it has the recipe's name."""
        self.name = recipe.name
        self._recipe = recipe
        self._shared = shared

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        lock = self._recipe.files.get(image_recipes.LOCK)
        if lock is None:
            return
        yield from _compared(lock, self._shared.checks)
        index = self._shared.settings.index
        if index and index.password_variable and index.password() is None:
            yield errors.Fault(
                f"images.toml: index.password: {index.password_variable}",
                "That environment variable is not set.",
                "Set it to the password of the package index.",
            )

    def observe(self, context: EnvironmentContext) -> Observed:
        parent = context.outputs(self._recipe.parent)
        inputs = self._recipe.inputs(parent["inputs"], parent["architecture"])
        reference = self._recipe.reference(inputs)
        image = self._shared.images.at(reference)
        wanted = image is None and _wanted(self._recipe, inputs, parent["architecture"], self._shared)
        return Observed(reference, inputs, parent, image, wanted)

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        parent = observed.parent
        if observed.image:
            outputs = _outputs(observed.reference, observed.inputs, parent, observed.image)
            return step.NoChange(f"{observed.reference} is there", outputs)
        if not observed.wanted:
            outputs = {"id": "", "inputs": observed.inputs, "architecture": parent["architecture"]}
            return step.NoChange("what is made from it is there", outputs)
        details = {"reference": observed.reference, "inputs": observed.inputs, "parent": dict(parent)}
        return step.Change(f"build {observed.reference}", details)

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        reference, inputs, parent = (change.details[key] for key in ("reference", "inputs", "parent"))
        with self._shared.images.changing(context.programs.interruption) as images:
            draft = self._draft(context, images, parent)
            labels = {**self._labels(context, reference, inputs), **self._tried(context, images, draft)}
            images.label(draft, labels, reference)
        image = self._shared.images.at(reference)
        if image is None:
            raise errors.StepError(f"{reference} was built, and is gone.", hint="Run this again.")
        return _outputs(reference, inputs, parent, image)

    def _draft(
        self, context: EnvironmentContext, images: engine_images.Images, parent: Mapping[str, Any]
    ) -> str:
        """Make the image without a name; its id. Whatever ends this leaves nothing that is not marked as a draft."""
        from airflow_platform.tools.containers import installs  # noqa: PLC0415 - only where something is built.

        labels = {image_cache.DRAFT: self._shared.checkout}
        recipe = self._recipe
        if not recipe.install:
            return images.build(
                recipe.files,
                arguments={"BASE": images.label(parent["id"], labels)},
                labels={},
                platform=parent["architecture"],
                progress=context.progress,
            )
        given = self._outside(context, images.proxies(), parent["architecture"])
        context.programs.mask.add(*given.secrets)
        wanted = installs.Installation(
            image=parent["id"],
            command=recipe.install,
            files={**recipe.files, **given.files},
            environment=given.environment,
            cache=self._shared.downloads if recipe.python else "",
            labels=labels,
            comment=recipe.title,
            network=self._shared.network,
            before=recipe.before,
        )
        return images.install(wanted, context.progress)

    def _outside(
        self, context: EnvironmentContext, proxies: Mapping[str, str], architecture: str
    ) -> build_network.Outside:
        """What the installation needs of this machine: proxies, mirrors, index, certificates, uv."""
        from airflow_platform.tools.containers import build_network  # noqa: PLC0415 - only where something is built.

        given = build_network.for_all(proxies).and_also(
            build_network.for_debian(context.programs, self._shared.settings.base)
        )
        if not self._recipe.python:
            return given
        index = self._shared.settings.index
        for_python = (
            build_network.for_python(index.url, index.user, index.password())
            if index
            else build_network.for_python()
        )
        given = given.and_also(for_python)
        return given.and_also(build_network.Outside({"uv/bin/uv": self._shared.uv(context, architecture)}))

    def _tried(self, context: EnvironmentContext, images: engine_images.Images, draft: str) -> dict[str, str]:
        """Run what must run in the draft; what it says of itself, as labels."""
        if not self._recipe.verify:
            return {}
        from airflow_platform.tools.containers import image_check, installs  # noqa: PLC0415 - only where something is built.

        context.progress("importing every provider and executor in it")
        trial = image_check.Trial(
            draft,
            ("python", f"{installs.PLACE}/{self._recipe.verify}"),
            {self._recipe.verify: self._recipe.files[self._recipe.verify]},
            labels={image_cache.DRAFT: self._shared.checkout},
        )
        # Airflow logs to the standard output while it is imported; the answer comes last.
        found = json.loads(images.attempt(trial, context.progress).strip().splitlines()[-1])
        context.progress(f"{found['modules']} modules of {len(found['providers'])} providers import")
        return {
            image_cache.REVISION: found["revision"],
            image_cache.KNOWN_REVISIONS: " ".join(found["known_revisions"]),
        }

    def _labels(self, context: EnvironmentContext, reference: str, inputs: str) -> dict[str, str]:
        labels = {
            **self._shared.labels(context),
            "org.opencontainers.image.title": self._recipe.title,
            "org.opencontainers.image.version": self._recipe.version or inputs,
            "org.opencontainers.image.ref.name": reference,
            "org.opencontainers.image.base.name": self._shared.settings.base,
            image_cache.IMAGE: self._recipe.name,
            image_cache.INPUTS: inputs,
            image_cache.DRAFT: "",
        }
        if lock := self._recipe.files.get(image_recipes.LOCK):  # What is made from it keeps this.
            labels[image_cache.LOCK] = hashlib.sha256(lock.read_bytes()).hexdigest()
        return labels


def _outputs(reference: str, inputs: str, parent: Mapping[str, Any], image: EngineImage) -> dict[str, Any]:
    return {
        "id": image.id,
        "inputs": inputs,
        "architecture": parent["architecture"],
        "reference": reference,
        "size": image.size,
        "labels": {name: image.labels.get(name, "") for name in _TOLD},
    }


def _wanted(recipe: image_recipes.Recipe, inputs: str, architecture: str, shared: Shared) -> bool:
    """Whether an image that is not there is needed: it is started from, or something made from it is missing."""
    if recipe.published:
        return True
    for child in shared.recipes.values():
        if child.parent != recipe.name:
            continue
        made_of = child.inputs(inputs, architecture)
        missing = shared.images.at(child.reference(made_of)) is None
        if missing and _wanted(child, made_of, architecture, shared):
            return True
    return False


def _compared(lock: Path, checks: Path | None) -> Iterable[errors.Fault]:
    """Requirements that are missing from a lock."""
    note = checks / f"lock-{lock_inputs.digest(lock)}" if checks else None
    if note and note.exists():
        return
    faults = tuple(lock_inputs.stale(lock))
    yield from faults
    if note and not faults:
        with contextlib.suppress(errors.StateError):  # Then it is compared again.
            files.make_directory(note.parent, mode=0o755)
            files.write(note, "")
