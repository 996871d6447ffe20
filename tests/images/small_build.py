"""The steps of a build with one small image, on the real engine; run as a program, for tests that kill it.

    python -m tests.images.small_build NAME FOLDER PARENT STATE [dies]

Prints how the image's step ended. Locks and journal are in the directory STATE, as those of `inv build` are on a
machine. One that dies kills itself when the engine has made the image, before anything else is asked of it. A
folder with a Dockerfile is built; one with an `install.sh` is installed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_platform.config import image_recipes, image_settings
from airflow_platform.engine import local_store, step
from airflow_platform.engine.report import Report
from airflow_platform.images import build_leftovers, image_step
from airflow_platform.images import build_steps as runtime
from airflow_platform.programs import programs
from airflow_platform.testing import runs
from airflow_platform.tools.containers import image_cache
from airflow_platform.tools.containers import images as engine_images


class Base(step.EnvironmentStep[Any, Any]):
    """Hands on what the small image is made from."""

    name = image_recipes.BASE
    requires = ("leftovers",)
    """As the real one: what is made at the same time would be taken for a leftover."""

    def __init__(self, parent: Mapping[str, str]) -> None:
        self._parent = parent

    def observe(self, context: Any) -> None:
        return None

    def plan(self, context: Any, observed: None) -> step.NoChange:
        return step.NoChange("it is there", self._parent)


def recipe(name: str, folder: Path, **options: Any) -> image_recipes.Recipe:
    """A recipe of all files of a folder."""
    files = {path.name: path for path in folder.iterdir()}
    install = ("/mnt/install.sh",) if "install.sh" in files else ()
    return image_recipes.Recipe(
        name, image_recipes.BASE, "A small image", files=files, **{"install": install, **options}
    )


def steps(
    wanted: image_recipes.Recipe,
    parent: Mapping[str, str],
    *,
    host: str | None = None,
    settings: image_settings.ImageSettings | None = None,
    downloads: str = image_step.DOWNLOADS,
    network: str = "",
) -> tuple[step.Step, ...]:
    """What brings it to be there."""
    engine = image_cache.ImageCache(host)
    shared = image_step.Shared(
        images=engine,
        recipes={wanted.name: wanted},
        settings=settings or image_settings.ImageSettings(),
        checkout=wanted.name,
        labels=lambda context: {},
        uv=runtime._uv,
        downloads=downloads,
        network=network,
    )
    return (
        build_leftovers.BuildLeftovers(engine, checkout=wanted.name),
        Base(parent),
        image_step.ImageStep(wanted, shared).after(wanted.parent),
    )


def run(wanted: image_recipes.Recipe, parent: Mapping[str, str], **options: Any) -> Report:
    """Run them."""
    planning = options.pop("planning", False)
    return runs.run_steps(*steps(wanted, parent, **options), tenants=(), planning=planning)


def die_when_all_is_done() -> None:
    """Be killed as soon as the image has all its labels."""
    label = engine_images.Images.label

    def last(self: engine_images.Images, image: str, labels: Mapping[str, str], *words: str) -> str:
        made = label(self, image, labels, *words)
        if image_cache.INPUTS in labels:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    engine_images.Images.label = last  # type: ignore[method-assign]


if __name__ == "__main__":
    name, folder, parent, state, *dies = sys.argv[1:]
    if dies:
        die_when_all_is_done()
    runner = programs.Programs()
    local = local_store.LocalStore(
        Path(state), "images", lock_timeout=60, programs=runner, on_note=lambda line: None
    )
    wanted = steps(recipe(name, Path(folder)), json.loads(parent))
    made = runs.run_steps(*wanted, tenants=(), store=local, with_programs=runner)
    print(made.steps[-1].status.value)
    sys.exit(made.exit_code)
