"""Images of a few random bytes in the local engine, with the layers that a test asks for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from typing import Any

import docker.errors

from airflow_platform.config import built_images
from tests import makers

LABEL = "airflow-platform.test-process"
"""With the name of the tests' process, by which what killed ones left is found again."""


def sweep(client: Any) -> None:
    """Remove the images of tests that are no longer there."""
    for image in client.api.images(filters={"label": LABEL}):
        if not makers.lives(image["Labels"][LABEL]):
            with contextlib.suppress(docker.errors.APIError):  # Another process of the tests sweeps, too.
                client.api.remove_image(image["Id"], force=True)


def names_of(client: Any, host: str) -> list[str]:
    """The engine's names for images of a registry."""
    return [tag for image in client.api.images() for tag in image["RepoTags"] or () if tag.startswith(host)]


def layer(size: int) -> bytes:
    """A layer with one file of random bytes, which no registry has seen."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(f"file-{os.urandom(4).hex()}")
        entry.size = size
        archive.addfile(entry, io.BytesIO(os.urandom(size)))
    return buffer.getvalue()


def load(client: Any, name: str, layers: Sequence[bytes], *, tag: str) -> built_images.BuiltImage:
    """An image made of these layers, the lowest first, as the record of a build names it."""
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {LABEL: makers.this()}, "Cmd": ["/none"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(each) for each in layers]},
            "history": [{"created_by": name} for _ in layers],
        }
    ).encode()
    reference = f"airflow-platform-test/{name}:{tag}"
    files = {f"{number}/layer.tar": content for number, content in enumerate(layers)}
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": list(files)}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in {
            "config.json": configuration,
            "manifest.json": json.dumps(manifest).encode(),
            **files,
        }.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    list(client.api.load_image(buffer.getvalue()))
    return built_images.BuiltImage(
        name=name,
        reference=reference,
        id=_digest(configuration),
        architecture="amd64",
        size=sum(map(len, layers)),
    )


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
