"""The images: each is there under the tag that says what it is made of, or is made.

An image gets its name last. Before that it is a draft: it has run what must run in it, and its labels say
what it holds, so that one that somebody alters later is found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.config import built, image_recipes, image_settings, requirements
from airflow_platform.engine import step
from airflow_platform.tools import files
from airflow_platform.tools.containers import installs, listing, outside, shelf, trials
from airflow_platform.tools.containers import images as engine_images

EnvironmentContext = step.EnvironmentContext[Any, Any]

REVISION = "org.opencontainers.image.revision"
"""The label with the commit of the checkout."""

DOWNLOADS = "airflow-platform-downloads"
"""The engine's volume of downloaded packages: a lock that changed a little is installed from it in seconds."""


@dataclass(frozen=True)
class Shared:
    """What all images of a build have in common."""

    shelf: shelf.Shelf
    recipes: Mapping[str, image_recipes.Recipe]
    settings: image_settings.ImageSettings
    checkout: str
    """What tells this checkout's drafts from others'."""
    labels: Callable[[EnvironmentContext], Mapping[str, str]]
    """Labels of each image that is made now: the commit, the time."""
    uv: Callable[[EnvironmentContext, str], Path]
    """The uv for an architecture."""
    record: Path = built.RECORD


@dataclass(frozen=True)
class Observed:
    """One image, and what it is to be made of."""

    reference: str
    inputs: str
    parent: Mapping[str, Any]
    image: listing.Image | None
    """What has that name and is what was made; None when there is none."""
    altered: bool
    """Whether something else has that name."""
    wanted: bool
    """Whether it is needed: a mere parent is not when all that is made from it is there."""


class ImageStep(step.EnvironmentStep[Any, Any]):
    """One image. Outputs: `id`, `inputs`, `architecture`, `reference`, `size`, and the labels that tell more."""

    def __init__(self, recipe: image_recipes.Recipe, shared: Shared) -> None:
        """Make the step of a recipe; it has the recipe's name."""
        vars(self).update(name=recipe.name, requires=(recipe.parent,))
        self._recipe = recipe
        self._shared = shared

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        lock = self._recipe.files.get("requirements.lock")
        if lock is None:
            return
        try:
            compared = self._shared.shelf.with_label(shelf.REQUIREMENTS, requirements.digest(lock))
        except errors.PlatformError:
            compared = None  # The base image's check tells what is wrong with the engine.
        if compared is None:
            yield from requirements.stale(lock)

    def observe(self, context: EnvironmentContext) -> Observed:
        parent = context.outputs(self._recipe.parent)
        inputs = self._recipe.inputs(parent["inputs"], parent["architecture"])
        reference = self._recipe.reference(inputs)
        there = self._shared.shelf.at(reference)
        good = there if there and self._is_ours(there, inputs, parent) else None
        wanted = _wanted(self._recipe, parent["inputs"], parent["architecture"], self._shared)
        return Observed(reference, inputs, parent, good, altered=bool(there and not good), wanted=wanted)

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.image:
            return step.NoChange(f"{observed.reference} is there", self._outputs(observed, observed.image))
        if not observed.wanted:
            outputs = {**observed.parent, "inputs": observed.inputs, "id": ""}
            return step.NoChange("what is made from it is there", outputs)
        why = ": what has that name is not what was built" if observed.altered else ""
        details = {"reference": observed.reference, "inputs": observed.inputs, "parent": dict(observed.parent)}
        return step.Change(f"build {observed.reference}{why}", details)

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        details = change.details
        with self._shared.shelf.changing(context.programs.interruption) as (client, ours):
            draft = self._make(context, client, ours, details["parent"])
            labels = {
                **self._labels(context, details),
                **self._verified(context, client, draft),
            }
            found = ours.described(draft)
            assert found is not None
            made = ours.label(draft, {**labels, shelf.CONTENT: found.content})
            ours.tag(made, details["reference"])
        image = self._shared.shelf.at(details["reference"])
        assert image is not None
        parent = details["parent"]
        observed = Observed(details["reference"], details["inputs"], parent, image, altered=False, wanted=True)
        return self._outputs(observed, image)

    def _make(self, context: EnvironmentContext, client: Any, ours: engine_images.Images, parent: Any) -> str:
        """Make the draft; its id."""
        draft = {shelf.DRAFT: self._shared.checkout}
        if not self._recipe.install:
            return ours.build(
                self._recipe.files, arguments={"BASE": parent["id"]}, labels=draft,
                platform=parent["architecture"], progress=context.progress,
            )  # fmt: skip
        given = self._outside(context, parent["architecture"])
        context.programs.mask.add(*given.secrets)
        wanted = installs.Installation(
            image=parent["id"],
            command=self._recipe.install,
            files={**self._recipe.files, **given.files},
            environment=given.environment,
            cache=DOWNLOADS if self._recipe.python else "",
            labels=draft,
            comment=self._recipe.title,
        )
        interruption = context.programs.interruption
        return installs.install(client, wanted, interruption=interruption, progress=context.progress)

    def _outside(self, context: EnvironmentContext, architecture: str) -> outside.Outside:
        if not self._recipe.python:
            return outside.for_debian(context.programs, self._shared.settings.base)
        index = self._shared.settings.index
        given = outside.for_python(index.url, index.user, index.password()) if index else outside.for_python()
        uv = self._shared.uv(context, architecture)
        return outside.Outside({**given.files, "uv/bin/uv": uv}, given.environment, given.secrets)

    def _verified(self, context: EnvironmentContext, client: Any, draft: str) -> dict[str, str]:
        """Run what must run in the draft; what it says of itself, as labels."""
        if not self._recipe.verify:
            return {}
        context.progress("importing every provider and executor in it")
        said = trials.run(
            client, draft, ("python", f"{installs.PLACE}/verify.py"),
            {"verify.py": self._recipe.files[self._recipe.verify]},
            labels={shelf.DRAFT: self._shared.checkout},
            interruption=context.programs.interruption, progress=context.progress,
        )  # fmt: skip
        # Airflow logs to the standard output while it is imported; the answer comes last.
        found = json.loads(said.strip().splitlines()[-1])
        return {
            shelf.REVISION: found["revision"],
            shelf.KNOWN_REVISIONS: " ".join(found["known_revisions"]),
        }

    def _labels(self, context: EnvironmentContext, details: Mapping[str, Any]) -> dict[str, str]:
        return {
            **self._shared.labels(context),
            **self._lock_labels(),
            "org.opencontainers.image.title": self._recipe.title,
            "org.opencontainers.image.version": self._recipe.version or details["inputs"],
            "org.opencontainers.image.ref.name": details["reference"],
            "org.opencontainers.image.base.name": self._shared.settings.base,
            shelf.IMAGE: self._recipe.name,
            shelf.INPUTS: details["inputs"],
            shelf.PARENT: details["parent"]["id"],
            shelf.DRAFT: "",
        }

    def _lock_labels(self) -> dict[str, str]:
        lock = self._recipe.files.get("requirements.lock")
        if lock is None:
            return {}  # Those of the parent stay.
        return {
            shelf.LOCK: hashlib.sha256(lock.read_bytes()).hexdigest(),
            shelf.REQUIREMENTS: requirements.digest(lock),
        }

    def _is_ours(self, image: listing.Image, inputs: str, parent: Mapping[str, Any]) -> bool:
        """Whether an image is what was made under its name, from the parent that is there now."""
        labels = image.labels
        if (labels.get(shelf.IMAGE), labels.get(shelf.INPUTS)) != (self._recipe.name, inputs):
            return False
        if parent["id"] and labels.get(shelf.PARENT) != parent["id"]:
            return False
        recorded = built.read(self._shared.record)
        known = recorded and recorded.images.get(self._recipe.name)
        if known and known.id == image.id:
            return True
        return self._shared.shelf.content(image.id) == labels.get(shelf.CONTENT)

    def _outputs(self, observed: Observed, image: listing.Image) -> dict[str, Any]:
        told = {name: image.labels.get(name, "") for name in (shelf.REVISION, shelf.KNOWN_REVISIONS)}
        return {
            "id": image.id,
            "inputs": observed.inputs,
            "architecture": observed.parent["architecture"],
            "reference": observed.reference,
            "size": image.size,
            "labels": told,
        }


def _wanted(recipe: image_recipes.Recipe, parent: str, architecture: str, shared: Shared) -> bool:
    """Whether an image is needed: it is started from, or something made from it lacks and is needed."""
    if recipe.published:
        return True
    inputs = recipe.inputs(parent, architecture)
    return any(
        shared.shelf.at(child.reference(child.inputs(inputs, architecture))) is None
        and _wanted(child, inputs, architecture, shared)
        for child in shared.recipes.values()
        if child.parent == recipe.name
    )


class ImageRecord(step.EnvironmentStep[Any, Any]):
    """The record of all images that something is started from, written when each is there."""

    name = "record"

    def __init__(self, shared: Shared, *, airflow: str) -> None:
        """Make the step.

        Args:
            shared: As of the images.
            airflow: Airflow's version.
        """
        self._names = tuple(name for name, each in shared.recipes.items() if each.published)
        vars(self).update(requires=self._names)
        self._shared = shared
        self._airflow = airflow

    def observe(self, context: EnvironmentContext) -> built.Built | None:
        try:
            return built.read(self._shared.record)
        except errors.StateError:
            return None  # It is a note, and is written anew.

    def plan(self, context: EnvironmentContext, observed: built.Built | None) -> step.Change | step.NoChange:
        wanted = self._wanted(context, observed.commit if observed else "")
        if wanted == observed:
            return step.NoChange(f"{self._shared.record} says so")
        return step.Change(f"write {self._shared.record}")

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        commit = self._shared.labels(context).get(REVISION, "")
        content = self._wanted(context, commit).to_json()
        files.make_directory(self._shared.record.parent, mode=0o755)
        files.write(self._shared.record, content, mode=0o644)
        return {}

    def _wanted(self, context: EnvironmentContext, commit: str) -> built.Built:
        made = {name: context.outputs(name) for name in self._names}
        labels = made["airflow-base"]["labels"]
        return built.Built(
            images={
                name: built.Image(name, each["reference"], each["id"], each["architecture"], each["size"])
                for name, each in made.items()
            },
            commit=commit,
            airflow=self._airflow,
            revision=labels[shelf.REVISION],
            known_revisions=tuple(labels[shelf.KNOWN_REVISIONS].split()),
        )


class Leftovers(step.EnvironmentStep[Any, Any]):
    """What killed builds of this checkout left in the engine is gone."""

    name = "leftovers"

    def __init__(self, images: shelf.Shelf, *, checkout: str) -> None:
        """Make the step.

        Args:
            images: Of the engine.
            checkout: What tells this checkout's drafts from others'.
        """
        self._images = images
        self._label = f"{shelf.DRAFT}={checkout}"

    def observe(self, context: EnvironmentContext) -> int:
        return self._images.left(self._label)

    def plan(self, context: EnvironmentContext, observed: int) -> step.Change | step.NoChange:
        if not observed:
            return step.NoChange("no build was cut short")
        return step.Change(f"remove {observed} that a killed build left")

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        with self._images.changing(context.programs.interruption) as (client, ours):
            installs.remove_left(client, self._label)
            ours.remove_unnamed(self._label)
        return {}
