"""Archives as an engine takes them: the same bytes for the same files, whoever owns them and since when."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

Files = Mapping[str, Path | bytes]
"""Files of this machine, or their content, by their path in the archive."""

IN_MEMORY = 16 * 1024**2
"""Bytes; a larger archive, such as that of a whole Debian, is kept in a temporary file."""


@contextlib.contextmanager
def packed(files: Files) -> Iterator[IO[bytes]]:
    """The files as tar, to be read from its beginning."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as archive:
        # Python's own default has headers that engines take for a part of the Dockerfile.
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for place, source in sorted(files.items()):
                _add(tar, place, source)
        archive.seek(0)
        yield archive


def _add(tar: tarfile.TarFile, place: str, source: Path | bytes) -> None:
    """Root's, as old as can be, and runnable when it is here."""
    entry = tarfile.TarInfo(place)
    if isinstance(source, bytes):
        entry.size, entry.mode = len(source), 0o644
        tar.addfile(entry, io.BytesIO(source))
        return
    found = source.stat()
    entry.size, entry.mode = found.st_size, 0o755 if found.st_mode & 0o100 else 0o644
    with source.open("rb") as file:
        tar.addfile(entry, file)
