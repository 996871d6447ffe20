"""Images of one environment's registry in another's, byte by byte: no layer moves that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_platform import errors
from airflow_platform.config import registry_record
from airflow_platform.engine import step
from airflow_platform.tenants.contexts import EnvironmentContext, EnvironmentStep
from airflow_platform.tools.registry import distribution
from airflow_platform.tools.registry.registry import Registry
from airflow_platform.tools.registry.session import Traffic


@dataclass(frozen=True)
class SourceImage:
    """One image."""

    manifest: distribution.Manifest
    there: bool
    """Whether the target has it under the tag."""


class RegistriesForPromotion(EnvironmentStep):
    """Whether everything can be promoted; nothing is where one image cannot be.

    Outputs: `source` and `target` (host and prefix), `images`: by name `tag`, `digest`, `media_type`,
    `there`. The manifests that are missing from the target are artifacts of the run, as `file_of` names them.
    """

    name = "registries"

    def __init__(
        self,
        source: Registry,
        target: Registry,
        *,
        names: tuple[str, str],
        wanted: Mapping[str, registry_record.RecordedImage],
    ) -> None:
        """Make the step.

        Args:
            source: Has the images.
            target: Is to have them.
            names: Of the two environments.
            wanted: The images by name; one without a digest is what the source has under its tag.
        """
        self._source = source
        self._target = target
        self._names = names
        self._wanted = wanted
        self._found: dict[str, SourceImage] = {}

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        for each in {self._target, self._source}:
            each.login.credentials()
        known = self._target.repositories(list(self._wanted))
        yield from self._target.missing(list(self._wanted), known)
        there = self._target.manifests({name: image.tag for name, image in self._wanted.items()})
        asked = {
            name: image.digest or image.tag
            for name, image in self._wanted.items()
            if (found := there[name]) is None or found.digest != image.digest
        }
        originals = self._source.manifests(asked)
        for name, image in self._wanted.items():
            original, copy = originals.get(name, there[name]), there[name]
            if original is None:
                yield self._absent(name, image)
            elif copy is not None and copy.config != original.config:
                wanted = (
                    f"what {self._names[0]} has, image {original.config.digest} (manifest {original.digest})"
                )
                yield self._target.conflict(name, image.tag, copy, wanted)
            else:
                # The same configuration names the same layers, also where another push compressed them.
                self._found[name] = SourceImage(copy or original, copy is not None)

    def observe(self, context: EnvironmentContext) -> Mapping[str, SourceImage]:
        for name, found in self._found.items():
            if not found.there:
                context.artifacts.put(file_of(name), found.manifest.content)
        return self._found

    def plan(
        self, context: EnvironmentContext, observed: Mapping[str, SourceImage]
    ) -> step.Change | step.NoChange:
        source, target = str(self._source.address), str(self._target.address)
        lacking = sum(not found.there for found in observed.values())
        reason = f"{lacking} of {len(observed)} images of {source} are missing from {target}"
        if source == target:
            reason = f"{' and '.join(self._names)} share {source}: {len(observed) - lacking} images are there"
        images = {
            name: {
                "tag": self._wanted[name].tag,
                "digest": found.manifest.digest,
                "media_type": found.manifest.media_type,
                "there": found.there,
            }
            for name, found in observed.items()
        }
        return step.NoChange(reason, {"source": source, "target": target, "images": images})

    def _absent(self, name: str, image: registry_record.RecordedImage) -> errors.Fault:
        reference = f"@{image.digest}" if image.digest else f":{image.tag}"
        return errors.Fault(
            f"{self._source.address}/{name}{reference}",
            f"{self._names[0]} has no such image.",
            f"Push it first: `inv push --env={self._names[0]}`.",
        )


class PromotedImage(EnvironmentStep):
    """One image. Outputs: `tag`, `digest`, `requests` (to both registries), `layers_moved`, `bytes_moved`."""

    def __init__(self, image: str, source: Registry, target: Registry, *, after: Sequence[str] = ()) -> None:
        """Make the step, which is called `promote-<image>`.

        Args:
            image: Its name.
            source: Has it.
            target: Is to have it.
            after: Images to promote before, because this one shares their layers.
        """
        self.name = name_of(image)
        self._image = image
        self._source = source
        self._target = target
        self._after = after

    def observe(self, context: EnvironmentContext) -> Mapping[str, step.Json]:
        outputs = context.outputs(RegistriesForPromotion.name)
        return {**outputs["images"][self._image], "requests": self._traffic().requests}

    def plan(
        self, context: EnvironmentContext, observed: Mapping[str, step.Json]
    ) -> step.Change | step.NoChange:
        tag, digest = observed["tag"], observed["digest"]
        if observed["there"]:
            nothing = {"requests": observed["requests"], "layers_moved": 0, "bytes_moved": 0}
            return step.NoChange(f"{tag} is there: {digest}", {"tag": tag, "digest": digest, **nothing})
        return step.Change(
            f"copy {self._source.address}/{self._image}@{digest} to {self._target.address} as {tag}",
            dict(observed),
            {file_of(self._image): digest.removeprefix("sha256:")},
        )

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        content = context.artifacts.get(file_of(self._image)).read_bytes()
        manifest = distribution.Manifest(content, change.details["media_type"])
        tag = change.details["tag"]
        moved = self._target.take_over(
            self._source, self._image, tag, manifest, mounts=self._after, progress=context.progress
        )
        traffic = self._traffic()
        return {
            "tag": tag,
            "digest": manifest.digest,
            "requests": traffic.requests,
            "layers_moved": moved,
            "bytes_moved": traffic.bytes_written,
        }

    def _traffic(self) -> Traffic:
        """What this image took so far, of both registries."""
        registries = {self._source, self._target}
        return sum((each.traffic(self._image) for each in registries), Traffic())


def name_of(image: str) -> str:
    """The name of an image's step."""
    return f"promote-{image}"


def file_of(image: str) -> str:
    """The artifact that holds an image's manifest."""
    return f"{image}.manifest.json"
