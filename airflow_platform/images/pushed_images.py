"""Images of the local engine in an environment's registry: asked for first, pushed where they are missing."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from airflow_platform import errors
from airflow_platform.config import built_images, paths
from airflow_platform.engine import step
from airflow_platform.tenants.contexts import EnvironmentContext, EnvironmentStep
from airflow_platform.tools.containers import engine, pushes
from airflow_platform.tools.registry import answers, distribution
from airflow_platform.tools.registry.registry import Registry
from airflow_platform.tools.registry.session import Credentials

ATTEMPTS = 3
"""Of one push; the engine itself tries each layer five times before it gives up."""

FIRST_WAIT = 2.0
"""Seconds before the second attempt; doubled each time."""

LOOK_AGAIN = 5.0
"""Seconds between two looks whether the token is still good, while the engine tries a layer again."""

ACTIONS = "ecr:InitiateLayerUpload, ecr:UploadLayerPart, ecr:CompleteLayerUpload and ecr:PutImage"
"""What a push needs where the registry does not say which of them is missing."""


@dataclass(frozen=True)
class Surveyed:
    """What a registry has of the images that it should have."""

    digests: Mapping[str, str]
    """Of the manifests, by image; "" where it is missing."""
    mutable: tuple[str, ...]
    """Images whose tag could be made to mean something else."""


class RegistryForPush(EnvironmentStep):
    """Whether everything can be pushed; nothing is pushed where one image cannot be.

    Outputs: `registry` (host and prefix), `digests` (by image; "" for one that is missing), `mutable`
    (images whose tags the registry lets be overwritten).
    """

    name = "registry"

    def __init__(
        self,
        registry: Registry,
        *,
        wanted: Sequence[str],
        images: Mapping[str, built_images.BuiltImage],
        connect: pushes.Connect,
        host: str | None = None,
    ) -> None:
        """Make the step.

        Args:
            registry: Where images are pushed to.
            wanted: The images that it should have, by name.
            images: Those that were built, by name.
            connect: The way to the engine; gone only where something is missing.
            host: That engine, as the environment's file has it.
        """
        self._registry = registry
        self._wanted = wanted
        self._images = {name: images[name] for name in wanted if name in images}
        self._connect = connect
        self._build = built_images.command(host)
        self._surveyed: Surveyed | None = None

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        if unbuilt := [name for name in self._wanted if name not in self._images]:
            yield errors.Fault(
                f"images {', '.join(unbuilt)}",
                f"They are not in the record of what was built, {paths.project().built_images}.",
                f"Run `{self._build}`.",
            )
            return
        tags = {name: image.tag for name, image in self._images.items()}
        self._registry.login.credentials()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            repositories = pool.submit(self._registry.repositories, self._wanted)
            manifests = self._registry.manifests(tags)
            known = repositories.result()
        yield from self._registry.missing(self._wanted, known)
        for name, found in manifests.items():
            if found is not None and not found.is_of(self._images[name].id):
                yield self._registry.conflict(name, tags[name], found, f"image {self._images[name].id}")
        absent = [name for name, found in manifests.items() if found is None]
        if absent:
            yield from self._engine_faults(absent)
        self._surveyed = Surveyed(
            {name: found.digest if found else "" for name, found in manifests.items()},
            tuple(name for name, tag in tags.items() if name in known and not known[name].is_immutable(tag)),
        )

    def observe(self, context: EnvironmentContext) -> Surveyed:
        # The check has asked a moment ago; an image that was missing then is asked for again by its own step.
        assert self._surveyed is not None
        return self._surveyed

    def plan(self, context: EnvironmentContext, observed: Surveyed) -> step.Change | step.NoChange:
        there = sum(map(bool, observed.digests.values()))
        note = f"; tags of {', '.join(observed.mutable)} could be overwritten" if observed.mutable else ""
        return step.NoChange(
            f"{self._registry.address} has {there} of {len(observed.digests)} images{note}",
            {
                "registry": str(self._registry.address),
                "digests": dict(observed.digests),
                "mutable": list(observed.mutable),
            },
        )

    def _engine_faults(self, names: Sequence[str]) -> Iterator[errors.Fault]:
        try:
            with self._connect() as client:
                ids = {self._images[name].id: self._images[name].reference for name in names}
                for reference, cause in pushes.missing(client, ids).items():
                    yield errors.Fault(reference, f"{cause}.", f"Run `{self._build}`, which builds it again.")
        except engine.EngineMissing as error:
            yield from error.faults()


@dataclass(frozen=True)
class Observed:
    """Whether the registry has an image."""

    digest: str
    """Of its manifest; "" when it is missing."""


class PushedImage(EnvironmentStep):
    """One image. Outputs: `tag`, `digest`, `layers`, `layers_sent`, `bytes_sent` (of layers, compressed)."""

    def __init__(
        self,
        image: built_images.BuiltImage,
        registry: Registry,
        *,
        connect: pushes.Connect,
    ) -> None:
        """Make the step, which is called `push-<image>`.

        Args:
            image: What is pushed.
            registry: Where to.
            connect: The way to the engine that has it.
        """
        self.name = name_of(image.name)
        self._image = image
        self._registry = registry
        self._connect = connect

    def observe(self, context: EnvironmentContext) -> Observed:
        if digest := context.outputs(RegistryForPush.name)["digests"][self._image.name]:
            return Observed(digest)
        found = self._found()
        return Observed(found.digest if found else "")

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        if observed.digest:
            nothing = {"layers": 0, "layers_sent": 0, "bytes_sent": 0}
            return step.NoChange(
                f"{self._image.tag} is there: {observed.digest}",
                {"tag": self._image.tag, "digest": observed.digest, **nothing},
            )
        return step.Change(
            f"push {self._thing}",
            {"id": self._image.id, "tag": self._image.tag},
        )

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        try:
            progress = self._push(context)
        except pushes.TagTaken:
            # Somebody else pushed the same image in this moment, or another one, which is an error.
            progress = None
            if self._found() is None:
                raise
        found = self._found()
        if found is None or (progress and found.digest != progress.digest):
            raise errors.StepError(
                f"{self._thing}: {progress.digest if progress else 'an image'} was pushed, but the registry "
                f"has {found.digest if found else 'nothing'}.",
                hint="Somebody else may be pushing the same tag; run this again.",
            )
        sent = [layer.sent for layer in progress.layers.values()] if progress else []
        return {
            "tag": self._image.tag,
            "digest": found.digest,
            "layers": len(found.layers),
            "layers_sent": sum(sent),
            "bytes_sent": _bytes_of(found, sent),
        }

    def _push(self, context: EnvironmentContext) -> pushes.Progress:
        """Push; log in again once where the token has expired, and try again where that may help."""
        renewed, attempt = False, 1
        while True:
            credentials = self._registry.login.credentials()
            try:
                return self._push_with(credentials, context)
            except pushes.NotAuthenticated as error:
                if renewed:
                    raise answers.not_authenticated(self._thing, error.said) from error
                context.progress("logging in again: the token has expired")
                self._registry.login.renew(credentials)
                renewed = True
            except pushes.NotAllowed as error:
                raise answers.not_allowed(self._thing, ACTIONS, error.said) from error
            except pushes.CutShort:
                if attempt == ATTEMPTS:
                    raise
                context.progress("the registry failed or went away; trying again")
                context.programs.interruption.sleep(FIRST_WAIT * 2 ** (attempt - 1))
                attempt += 1

    def _push_with(self, credentials: Credentials, context: EnvironmentContext) -> pushes.Progress:
        looked = float("-inf")

        def tell(progress: pushes.Progress) -> None:
            nonlocal looked
            context.programs.interruption.raise_if_requested()
            if progress.layers:
                context.progress(str(progress))
            if progress.retrying and context.clock() - looked > LOOK_AGAIN:
                # The engine tries five times, for 50 s, also with a token that will never be taken again.
                looked = context.clock()
                self._found()
                if self._registry.login.credentials() is not credentials:
                    raise pushes.NotAuthenticated(self._thing, "the token has expired")

        with self._connect() as client:
            return pushes.push(
                client,
                self._image.id,
                repository=f"{self._registry.address}/{self._image.name}",
                tag=self._image.tag,
                credentials=credentials,
                on_progress=tell,
            )

    @property
    def _thing(self) -> str:
        return f"{self._registry.address}/{self._image.name}:{self._image.tag}"

    def _found(self) -> distribution.Manifest | None:
        """What the registry has under the tag.

        Raises:
            StepError: Another image.
        """
        found = self._registry.manifest(self._image.name, self._image.tag)
        if found is not None and not found.is_of(self._image.id):
            wanted = f"image {self._image.id}"
            fault = self._registry.conflict(self._image.name, self._image.tag, found, wanted)
            raise errors.StepError(f"{fault.thing}: {fault.cause}", hint=fault.remedy)
        return found


def name_of(image: str) -> str:
    """The name of an image's step."""
    return f"push-{image}"


def _bytes_of(manifest: distribution.Manifest, sent: Sequence[bool]) -> int:
    """Bytes of the layers that were sent; the engine names the uppermost first, a manifest the lowest."""
    sizes = [layer.size for layer in reversed(manifest.layers)]
    return sum(size for size, was_sent in zip(sizes, sent, strict=False) if was_sent)
