"""The distribution API: manifests by tag or digest, and blobs.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import functools
import hashlib
import json
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import urllib3

from airflow_platform.tools.registry import answers
from airflow_platform.tools.registry.session import Question, Session, Traffic

MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
"""Of one image, as the Docker engine and BuildKit write them."""

LISTS = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
"""Of images for several architectures."""

_READ = 1024 * 1024
"""Bytes of a blob that are in memory at a time."""

_REDIRECTS = (302, 303, 307, 308)
"""ECR has a blob fetched from S3."""

_DIGEST = "Docker-Content-Digest"


@dataclass(frozen=True)
class Blob:
    """A layer or a configuration."""

    digest: str
    """`sha256:…`"""
    size: int
    """Bytes, compressed."""


@dataclass(frozen=True)
class Manifest:
    """A manifest, byte by byte: its digest is that of the bytes."""

    content: bytes
    media_type: str

    @functools.cached_property
    def digest(self) -> str:
        """`sha256:…`"""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @property
    def config(self) -> Blob:
        """The image's configuration; its digest names the content of all layers, unpacked."""
        return _blob(self._document["config"])

    @property
    def layers(self) -> tuple[Blob, ...]:
        """The layers, the lowest first."""
        return tuple(_blob(each) for each in self._document["layers"])

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All that must be there before the manifest can be, each once."""
        return tuple(dict.fromkeys((*self.layers, self.config)))

    def is_of(self, image: str) -> bool:
        """Whether it is that of an image of a Docker engine, by its id.

        An engine's ids are the digests of configurations; those of one that keeps its images in
        containerd are the digests of manifests.
        """
        return image in (self.config.digest, self.digest)

    @functools.cached_property
    def _document(self) -> Any:
        return json.loads(self.content)


def manifest(session: Session, repository: str, reference: str) -> Manifest | None:
    """The manifest with a tag or digest; None when there is none.

    Raises:
        RegistryError: Its content is not what its digest says, or it is a list of images.
    """
    question = Question(
        "GET",
        f"{repository}/manifests/{reference}",
        repository,
        "ecr:BatchGetImage",
        headers={"Accept": ", ".join((*MANIFESTS, *LISTS))},
    )
    answer = session.ask(question, good=(200, answers.NOT_FOUND))
    if answer.status == answers.NOT_FOUND:
        return None
    found = Manifest(answer.data, answer.headers.get("Content-Type", ""))
    thing = f"{session.host}/{repository}:{reference}"
    for said in (answer.headers.get(_DIGEST), reference if ":" in reference else None):
        if said not in (None, found.digest):
            raise answers.RegistryError(f"{thing}: the manifest's digest is {found.digest}, not {said}.")
    if found.media_type not in MANIFESTS:
        raise answers.RegistryError(
            f"{thing} is no image but {found.media_type or 'of no known type'}.",
            hint="Push and promote handle images of one architecture.",
        )
    return found


def put_manifest(session: Session, repository: str, tag: str, content: Manifest) -> None:
    """Write a manifest under a tag, byte by byte.

    Raises:
        Immutable: The tag exists and cannot be moved.
        RegistryError: Any other fault, such as that the repository does not have all of its blobs; then
            nothing was written.
    """
    question = Question(
        "PUT",
        f"{repository}/manifests/{tag}",
        repository,
        "ecr:PutImage",
        headers={"Content-Type": content.media_type},
        body=content.content,
    )
    said = session.ask(question, good=(200, 201)).headers.get(_DIGEST, content.digest)
    if said != content.digest:
        raise answers.RegistryError(
            f"{session.host}/{repository}:{tag}: the registry wrote {said} instead of {content.digest}."
        )


def has_blob(session: Session, repository: str, digest: str) -> bool:
    """Whether a repository has a blob."""
    question = Question("HEAD", f"{repository}/blobs/{digest}", repository, "ecr:BatchCheckLayerAvailability")
    return session.ask(question, good=(200, 307, answers.NOT_FOUND)).status != answers.NOT_FOUND


def begin_upload(session: Session, repository: str, digest: str, *, mount_from: str = "") -> str:
    """Begin to write a blob, or take it over from another repository of the same registry.

    Returns:
        The address to which `upload` writes; "" when the blob is there already, without a byte.
    """
    query = {"mount": digest, "from": mount_from} if mount_from else {}
    address = f"{repository}/blobs/uploads/" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    answer = session.ask(Question("POST", address, repository, "ecr:InitiateLayerUpload"), good=(201, 202))
    return "" if answer.status == 201 else answer.headers["Location"]


def upload(
    session: Session, repository: str, blob: Blob, address: str, content: Callable[[], Iterable[bytes]]
) -> None:
    """Write a blob; the registry verifies its digest, and keeps nothing when it is another.

    Args:
        session: The registry.
        repository: Where the blob belongs.
        blob: Its digest and size.
        address: Of `begin_upload`; good for one try, since a registry does not go on in the middle of
            a write that was cut.
        content: Begins to read the blob.
    """

    def counted() -> Iterator[bytes]:
        for piece in content():
            yield piece
            session.count(repository, Traffic(bytes_written=len(piece)))

    separator = "&" if "?" in address else "?"
    question = Question(
        "PUT",
        f"{address}{separator}{urllib.parse.urlencode({'digest': blob.digest})}",
        repository,
        "ecr:CompleteLayerUpload",
        headers={"Content-Length": str(blob.size), "Content-Type": "application/octet-stream"},
        body=counted,
        repeatable=False,
    )
    session.ask(question, good=(201, 204))


def read_blob(session: Session, repository: str, blob: Blob) -> Iterator[bytes]:
    """A blob, piece by piece; after a cut it is read on from there.

    Raises:
        NotReachable: It was cut again and again without a byte in between.
        RegistryError: The content's length or digest is another.
    """
    digest, position, cuts = hashlib.sha256(), 0, 0
    while position < blob.size:
        before = position
        try:
            for piece in _pieces(session, repository, blob, position):
                digest.update(piece)
                position += len(piece)
                yield piece
        except answers.NotReachable:
            cuts = 0 if position > before else cuts + 1
            if cuts == 3:
                raise
    if position != blob.size or f"sha256:{digest.hexdigest()}" != blob.digest:
        raise answers.RegistryError(
            f"{session.host}/{repository}: what it holds as {blob.digest} is something else.",
            hint="Push the image to it again.",
        )


def _pieces(session: Session, repository: str, blob: Blob, position: int) -> Iterator[bytes]:
    answer = _opened(session, repository, f"{repository}/blobs/{blob.digest}", position)
    try:
        for piece in answer.stream(_READ):
            session.raise_if_interrupted()
            session.count(repository, Traffic(bytes_read=len(piece)))
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise session.not_reachable(error) from error
    finally:
        answer.close()


def _opened(
    session: Session, repository: str, address: str, position: int, *, redirects: int = 3
) -> urllib3.BaseHTTPResponse:
    question = Question(
        "GET",
        address,
        repository,
        "ecr:GetDownloadUrlForLayer",
        headers={"Range": f"bytes={position}-"} if position else {},
        streamed=True,
    )
    answer = session.ask(question, good=(206 if position else 200, *(_REDIRECTS if redirects else ())))
    if answer.status not in _REDIRECTS:
        return answer
    answer.drain_conn()
    answer.release_conn()
    return _opened(session, repository, answer.headers["Location"], position, redirects=redirects - 1)


def _blob(document: Any) -> Blob:
    return Blob(str(document["digest"]), int(document["size"]))
