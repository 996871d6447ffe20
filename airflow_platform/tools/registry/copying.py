"""Moves blobs between repositories, and moves none that is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_platform.tools.registry import answers, distribution
from airflow_platform.tools.registry.session import Session

ATTEMPTS = 3
"""Of one blob whose upload was cut; each starts again, because a registry keeps nothing of a cut one."""


def copy_missing(
    source: tuple[Session, str],
    target: tuple[Session, str],
    manifest: distribution.Manifest,
    *,
    mounts: Sequence[str],
    progress: Callable[[str], None],
) -> int:
    """Bring those blobs of a manifest to a repository that it does not have.

    A blob that has arrived stays, so that a run which was killed is taken up where it was.

    Args:
        source: A registry and its repository that has them.
        target: A registry and its repository that is to have them.
        manifest: Names the blobs.
        mounts: Repositories of the target's registry that may have them: those are taken over there.
        progress: Called with a line for people.

    Returns:
        How many were missing.

    Raises:
        RegistryError: Either registry said no, or a blob is not what its digest says.
    """
    session, repository = target
    missing = [blob for blob in manifest.blobs if not distribution.has_blob(session, repository, blob.digest)]
    for number, blob in enumerate(missing, 1):
        progress(f"layer {number} of {len(missing)}: {blob.size / 1e6:.1f} MB")
        _bring(source, target, blob, mounts)
    return len(missing)


def _bring(
    source: tuple[Session, str], target: tuple[Session, str], blob: distribution.Blob, mounts: Sequence[str]
) -> None:
    session, repository = target
    address = ""
    for other in mounts:
        address = distribution.begin_upload(session, repository, blob.digest, mount_from=other)
        if not address:
            return
    for attempt in range(1, ATTEMPTS + 1):
        address = address or distribution.begin_upload(session, repository, blob.digest)
        try:
            distribution.upload(
                session, repository, blob, address, lambda: distribution.read_blob(*source, blob)
            )
        except answers.RegistryError as error:
            if attempt == ATTEMPTS or not _may_help(error):
                raise
            address = ""
        else:
            return


def _may_help(error: answers.RegistryError) -> bool:
    """Whether a new upload may work: after a cut, a fault over there, or the end of an upload's life."""
    ended = (answers.NOT_FOUND, 416)
    return isinstance(error, answers.NotReachable) or error.status in (*answers.BUSY, *ended)
