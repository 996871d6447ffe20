"""The images, made in the local engine: which steps, which store."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.config import image_recipes, image_settings, paths, versions
from airflow_platform.engine import file_lock, local_store, step, store
from airflow_platform.images import base_image, build_leftovers, build_record, image_step
from airflow_platform.programs import programs
from airflow_platform.tools import package_index, uv
from airflow_platform.tools.containers import image_cache
from airflow_platform.tools.git import git


@dataclass(frozen=True)
class AllImages:
    """What stands for an environment in runs that are about images alone."""

    name: str = "images"


class Images:
    """The images of this checkout in one engine."""

    def __init__(self, host: str | None = None, record: Path | None = None) -> None:
        """Prepare; nothing is asked yet.

        Args:
            host: The engine, as DOCKER_HOST has it; None for DOCKER_HOST itself, or this machine's.
            record: Where the images are recorded; by default in the project.
        """
        self._images = image_cache.ImageCache(host)
        self._record = record or paths.project().built_images

    def build_steps(self, *, pull: bool = False) -> Sequence[step.Step]:
        """What makes all images.

        Args:
            pull: Whether the base is fetched though it is there.

        Raises:
            ConfigurationError: `images.toml` does not say what it must.
        """
        settings = image_settings.read()
        recipes = {each.name: each for each in image_recipes.recipes()}
        published = [name for name, each in recipes.items() if each.published]
        shared = image_step.Shared(
            images=self._images,
            recipes=recipes,
            settings=settings,
            checkout=_checkout(),
            labels=_labels(),
            uv=_uv,
            checks=paths.cache() / "checks",
        )
        return (
            build_leftovers.BuildLeftovers(self._images, checkout=_checkout()),
            self._base(settings, pull=pull).after("leftovers"),
            *(image_step.ImageStep(recipe, shared).after(recipe.parent) for recipe in recipes.values()),
            build_record.BuildRecord(self._record, published, airflow=versions.read().airflow).after(
                *published
            ),
        )

    def base_faults(self, context: step.EnvironmentContext[Any, Any]) -> Iterable[errors.Fault]:
        """What keeps the base of all images from being had here, each with its remedy."""
        return self._base(image_settings.read(), pull=False).check(context)

    def _base(self, settings: image_settings.ImageSettings, *, pull: bool) -> base_image.BaseImage:
        return base_image.BaseImage(
            self._images, reference=settings.base, platform=settings.platform, pull=pull
        )

    def store(
        self, runner: programs.Programs, *, lock_timeout: float, on_note: Callable[[str], None]
    ) -> store.Store:
        """Locks and journal; under a name that no environment can have."""
        return local_store.LocalStore(
            paths.state("_images"), "images", lock_timeout=lock_timeout, programs=runner, on_note=on_note
        )


def _checkout() -> str:
    """Identifies this checkout's drafts among those of other checkouts."""
    return hashlib.sha256(str(paths.project().root).encode()).hexdigest()[:12]


def _labels() -> Callable[[image_step.EnvironmentContext], Mapping[str, str]]:
    """Labels that all images of a run share: of which commit, and when."""

    @functools.cache
    def commit(runner: programs.Programs) -> str:
        try:
            return git.resolve(runner, paths.toolkit().root, "HEAD", "images").sha
        except errors.StepError:
            return ""  # An archive of the sources has none.

    def labels(context: image_step.EnvironmentContext) -> Mapping[str, str]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {image_cache.COMMIT: commit(context.programs), image_cache.CREATED: now}

    return labels


def _uv(context: image_step.EnvironmentContext, architecture: str) -> Path:
    """The uv of the toolkit's own lock, for images; whatever this machine is."""
    lock_file = paths.toolkit().bootstrap_lock
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()[:16]
    directory = paths.cache() / "images" / f"uv-{digest}-{architecture}"
    lock = file_lock.FileLock(
        directory.with_suffix(".lock"), str(directory), programs=context.programs, on_note=context.progress
    )
    with lock.held(timeout=uv.TIMEOUT):  # Two images need it at the same time, and other checkouts may.
        return uv.fetch(
            context.programs,
            directory,
            architecture=architecture,
            lock=lock_file,
            cache=paths.cache() / "downloads",
            environment=package_index.uv_environment(os.environ),
        )
