"""A registry as an environment names it: where it is, who logs in, and the images in it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from airflow_platform import errors, secrets
from airflow_platform.tools.registry import answers, copying, distribution, ecr
from airflow_platform.tools.registry.session import Session, Traffic

AT_ONCE = 8
"""Questions at the same time."""


@dataclass(frozen=True)
class Address:
    """Where an environment's images are."""

    account: str
    region: str
    host: str
    """With the port, where it is not HTTPS's own."""
    prefix: str
    """What all names of repositories begin with."""
    profile: str | None = None
    """Of the AWS configuration; None for the usual chain."""

    def __str__(self) -> str:
        return f"{self.host}/{self.prefix}"

    def repository(self, name: str) -> str:
        """`airflow-platform/scheduler`: an image's repository, without the host."""
        return f"{self.prefix}/{name}"


class Registry:
    """One registry. Threads may share it."""

    def __init__(
        self,
        address: Address,
        *,
        accepted: Collection[str] = (),
        sleep: Callable[[float], None],
        on_secret: Callable[[secrets.Secret], None],
    ) -> None:
        """Prepare, without connecting.

        Args:
            address: Where it is.
            accepted: Further AWS accounts whose credentials may be used here.
            sleep: Waits some seconds; ends early, with an error, when the run is interrupted.
            on_secret: Called with each token, to have it masked.
        """
        self.address = address
        self.login = ecr.Ecr(
            address.account,
            address.region,
            profile=address.profile,
            accepted=accepted,
            on_secret=on_secret,
        )
        self._session = Session(address.host, self.login, sleep=sleep)

    def repositories(self, names: Sequence[str]) -> dict[str, ecr.Repository]:
        """What ECR knows of the repositories of images, by image; those that do not exist are left out."""
        by_repository = {self.address.repository(name): name for name in names}
        known = self.login.repositories(list(by_repository))
        return {by_repository[repository]: each for repository, each in known.items()}

    def missing(self, names: Sequence[str], known: Collection[str]) -> Iterator[errors.Fault]:
        """The images that have no repository, as one fault; `known` are those that have one."""
        absent = [self.address.repository(name) for name in names if name not in known]
        if absent:
            yield errors.Fault(
                f"{'repositories' if len(absent) > 1 else 'repository'} {', '.join(absent)}",
                f"ECR in account {self.address.account}, {self.address.region}, has none of that name.",
                "Terraform makes them: `inv plan` and `inv apply` for that environment.",
            )

    def manifests(self, references: Mapping[str, str]) -> dict[str, distribution.Manifest | None]:
        """The manifests of images with a tag or digest, by name; None where there is none."""
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE, "registry") as pool:
            found = pool.map(self.manifest, references, references.values())
            return dict(zip(references, found, strict=True))

    def manifest(self, name: str, reference: str) -> distribution.Manifest | None:
        """The manifest of an image with a tag or digest; None when there is none."""
        return distribution.manifest(self._session, self.address.repository(name), reference)

    def take_over(
        self,
        source: Registry,
        name: str,
        tag: str,
        manifest: distribution.Manifest,
        *,
        mounts: Sequence[str],
        progress: Callable[[str], None],
    ) -> int:
        """Have an image of another registry, byte by byte, under a tag.

        Args:
            source: The other one.
            name: The image.
            tag: Its tag here.
            manifest: As the other one has it.
            mounts: Images here that may share its layers.
            progress: Called with a line for people.

        Returns:
            How many blobs were missing here, and were mounted or moved.

        Raises:
            Immutable: The tag exists and cannot be moved.
            RegistryError: Either registry said no.
        """
        repository = self.address.repository(name)
        try:
            distribution.put_manifest(self._session, repository, tag, manifest)
        except answers.Immutable:
            # A repeated request may have been answered before, by a connection that was cut.
            there = self.manifest(name, tag)
            if there is None or there.digest != manifest.digest:
                raise
        except answers.RegistryError as error:
            # Registries differ in how they say that blobs are missing, so it is looked up.
            if error.status not in range(400, 429):
                raise
            missing = copying.copy_missing(
                (source._session, source.address.repository(name)),
                (self._session, repository),
                manifest,
                mounts=[*self._neighbours(source, name), *map(self.address.repository, mounts)],
                progress=progress,
            )
            if not missing:
                raise
            distribution.put_manifest(self._session, repository, tag, manifest)
            return missing
        return 0

    def conflict(self, name: str, tag: str, there: distribution.Manifest, wanted: str) -> errors.Fault:
        """The fault of a tag that means something else; `wanted` says what it should mean."""
        return errors.Fault(
            f"{self.address}/{name}:{tag}",
            f"The registry has image {there.config.digest} (manifest {there.digest}) under this tag, and not "
            f"{wanted}: made from the same inputs, but not the same bytes.",
            "The registry's is the one that others run, and a tag is never moved. Go on with it: "
            f"`docker pull {self.address}/{name}@{there.digest}`; or change an input and build again.",
        )

    def traffic(self, name: str) -> Traffic:
        """What was asked about an image, and moved, so far."""
        return self._session.traffic(self.address.repository(name))

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _neighbours(self, source: Registry, name: str) -> list[str]:
        """The image's repository in a source with the same host."""
        return [source.address.repository(name)] if source.address.host == self.address.host else []
