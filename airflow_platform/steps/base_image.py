"""What all images are made from: there, pulled, or made of Debian packages where no registry answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.config import image_recipes
from airflow_platform.engine import file_lock, step
from airflow_platform.tools import debian
from airflow_platform.tools.containers import api, engine, shelf

if TYPE_CHECKING:
    from airflow_platform.tools.containers import images

MADE = "debian"
"""What a base of packages is labelled with as its name."""

EnvironmentContext = step.EnvironmentContext[Any, Any]


@dataclass(frozen=True)
class Observed:
    """What is there."""

    name: str
    """The base's, or of the one that we made."""
    image: api.Image | None
    """None when there is neither."""
    inputs: str
    """What those that are made from it go by: its id, or the digest of the packages' files."""
    wanted: str
    """What it is to run on."""


class BaseImage(step.EnvironmentStep[Any, Any]):
    """Outputs: `id`, `content` (what it holds), `inputs` (what those that are made from it go by), `architecture`."""

    name = image_recipes.BASE
    requires = ("leftovers",)

    def __init__(
        self, images: shelf.Shelf, *, reference: str, platform: str, cache: Path, checkout: str, anew: bool
    ) -> None:
        """Make the step.

        Args:
            images: Of the engine.
            reference: The base, as `images.toml` has it.
            platform: What it is to run on; "" for what the engine does.
            cache: Where a base of packages is kept.
            checkout: What tells this checkout's drafts from others'.
            anew: Whether it is fetched though it is there.
        """
        self._images = images
        self._reference = reference
        self._platform = platform
        self._cache = cache
        self._checkout = checkout
        self._anew = anew

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        try:
            observed = self.observe(context)
            runs = self._images.platform()
        except engine.EngineMissing as error:
            yield from error.faults()
            return
        if observed.wanted != runs:
            yield errors.Fault(
                "images/images.toml: platform",
                f"It says {observed.wanted}, and the Docker engine runs {runs}.",
                "Build with an engine of that kind (DOCKER_HOST names it), or change the setting.",
            )
        elif observed.image and observed.image.architecture != observed.wanted and not self._anew:
            yield errors.Fault(
                f"base image {self._reference}",
                f"It is for {observed.image.architecture}, and images are made for {observed.wanted}.",
                f"Fetch the right one: `docker pull --platform=linux/{observed.wanted} {self._reference}`.",
            )
        elif observed.image is None:
            yield from self._check_obtainable(context)

    def observe(self, context: EnvironmentContext) -> Observed:
        wanted = self._platform or self._images.platform()
        if image := self._images.at(self._reference):
            return Observed(self._reference, image, image.id, wanted)
        made = self._images.at(self._made(wanted))
        if made is None or made.labels.get(shelf.IMAGE) != MADE:
            return Observed(self._reference, None, "", wanted)
        return Observed(self._made(wanted), made, made.labels[shelf.INPUTS], wanted)

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.image and not self._anew:
            outputs = self._outputs(observed.image, observed.inputs)
            return step.NoChange(f"{observed.name} is there", outputs)
        instead = "" if debian.missing_bootstrap(self._release) else ", or make it of Debian packages"
        return step.Change(f"pull {self._reference}{instead}", {"platform": observed.wanted})

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        from airflow_platform.tools.containers import images  # noqa: PLC0415 - only where something is built.

        platform = change.details["platform"]
        interruption = context.programs.interruption
        with self._images.changing(interruption) as ours:
            try:
                made = ours.pull(self._reference, platform=platform, progress=context.progress)
                return self._outputs(ours.described(made), made)
            except images.RegistryMissing as error:
                if cause := debian.missing_bootstrap(self._release):
                    raise errors.StepError(f"{error.message} And {cause}.", hint=self._remedy()) from error
            context.progress(f"no registry answers; making {self._release} of Debian packages")
            return self._bootstrap(context, ours, platform)

    def _bootstrap(self, context: EnvironmentContext, ours: images.Images, platform: str) -> step.Outputs:
        recipe = self._recipe(platform)
        archive = self._cache / f"{self._release}-{recipe}.tar"
        lock = file_lock.FileLock(
            archive.with_suffix(".lock"), str(archive), programs=context.programs, on_note=context.progress
        )
        with lock.held(timeout=debian.TIMEOUT):  # Other checkouts have the same cache.
            if self._anew or not archive.exists():
                debian.bootstrap(
                    context.programs, self._release, platform, archive, progress=context.progress
                )
        with archive.open("rb") as file:
            inputs = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        context.progress("giving it to the engine")
        draft = f"LABEL {shelf.DRAFT}={self._checkout}"
        dockerfile = f'FROM scratch\n{draft}\nADD rootfs.tar /\nCMD ["bash"]\n'.encode()
        labels = {
            shelf.DRAFT: "",
            shelf.IMAGE: MADE,
            shelf.INPUTS: inputs,
            "org.opencontainers.image.title": f"Debian {self._release}, made of packages",
        }
        files: dict[str, Path | bytes] = {"Dockerfile": dockerfile, "rootfs.tar": archive}
        made = ours.build(
            files,
            arguments={},
            labels=labels,
            platform=platform,
            progress=context.progress,
            reference=self._made(platform),
        )
        return self._outputs(ours.described(made), inputs)

    @property
    def _release(self) -> str:
        return debian.codename(self._reference)

    def _recipe(self, platform: str) -> str:
        made_of = [image_recipes.FORMAT, self._release, platform, debian.LEFT_OUT, debian.EPOCH]
        return step.digest(made_of)

    def _made(self, platform: str) -> str:
        """The name of a base of Debian packages: by how it is made, for what it holds changes with Debian."""
        return f"{image_recipes.REPOSITORY}/debian:{self._release or 'none'}-{self._recipe(platform)}"

    def _check_obtainable(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        from airflow_platform.tools.containers import images  # noqa: PLC0415 - only where something is built.

        cause = debian.missing_bootstrap(self._release)
        if not cause:
            return
        with self._images.changing(context.programs.interruption) as ours:
            try:
                ours.require_in_registry(self._reference)
            except (images.RegistryMissing, engine.EngineError) as error:
                yield errors.Fault(
                    f"base image {self._reference}", f"{error.message} And {cause}.", self._remedy()
                )

    def _remedy(self) -> str:
        if self._release:
            return (
                "Install mmdebstrap (Debian, Ubuntu: `sudo apt-get install mmdebstrap`), and `inv build` makes "
                "the same base of Debian packages; or reach a registry, or `docker load` the base."
            )
        return f"Pull or load {self._reference} into the engine, or name another base in images/images.toml."

    def _outputs(self, image: api.Image, inputs: str) -> dict[str, Any]:
        return {
            "id": image.id,
            "content": image.content,
            "inputs": inputs,
            "architecture": image.architecture,
        }
