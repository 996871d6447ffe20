"""A registry in memory, with the texts of the real one; refuses what it was not told about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

from airflow_platform import secrets
from airflow_platform.tools.registry import answers, distribution, ecr
from airflow_platform.tools.registry.registry import Address, Registry
from airflow_platform.tools.registry.session import Credentials, Traffic


def manifest(image: str, *layers: int) -> distribution.Manifest:
    """The manifest of an image with layers of these sizes, the lowest first."""
    described = [
        {"digest": f"sha256:{image[-1]}{number}", "size": size} for number, size in enumerate(layers)
    ]
    document = {"config": {"digest": image, "size": 100}, "layers": described}
    return distribution.Manifest(json.dumps(document).encode(), distribution.MANIFESTS[0])


def image_id(text: str) -> str:
    """An image's id."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class Login:
    """Numbered tokens."""

    def __init__(self) -> None:
        self.number = 1
        self.now = Credentials("AWS", secrets.Secret("token-1"))
        self.raised: Exception | None = None

    def credentials(self) -> Credentials:
        if self.raised:
            raise self.raised
        return self.now

    def renew(self, refused: Credentials) -> Credentials:
        if refused is self.now:
            self.number += 1
            self.now = Credentials("AWS", secrets.Secret(f"token-{self.number}"))
        return self.now


class RegistryDouble(Registry):
    """What it has is `images`, by name and tag or digest."""

    def __init__(self, account: str = "111111111111", *, repositories: Mapping[str, str]) -> None:
        host = f"{account}.dkr.ecr.eu-central-1.amazonaws.com"
        self.address = Address(account, "eu-central-1", host, "p")
        self.login = Login()  # type: ignore[assignment]
        self._repositories = dict(repositories)
        self.images: dict[tuple[str, str], distribution.Manifest] = {}
        self.asked: list[tuple[str, str]] = []
        self.raised: dict[str, Exception] = {}
        self.lacks_layers = False
        self.taken_over: list[tuple[str, str, Sequence[str]]] = []

    def have(self, name: str, tag: str, content: distribution.Manifest) -> None:
        """From now on it has an image."""
        self.images[name, tag] = self.images[name, content.digest] = content

    def repositories(self, names: Sequence[str]) -> dict[str, ecr.Repository]:
        return {
            name: ecr.Repository(f"p/{name}", mutability)
            for name, mutability in self._repositories.items()
            if name in names
        }

    def manifest(self, name: str, reference: str) -> distribution.Manifest | None:
        self.asked.append((name, reference))
        if name in self.raised:
            raise self.raised[name]
        return self.images.get((name, reference))

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
        if (name, tag) in self.images:
            raise answers.Immutable(f"{name}:{tag} exists", status=400)
        self.taken_over.append((name, tag, tuple(mounts)))
        self.have(name, tag, manifest)
        progress("layer 1 of 1: 0.1 MB")
        return 1 if self.lacks_layers else 0

    def traffic(self, name: str) -> Traffic:
        asked = sum(each == name for each, _ in self.asked) + sum(
            each == name for each, *_ in self.taken_over
        )
        return Traffic(asked, 0, 1_000 if self.lacks_layers else 0)
