"""Spares a machine whose Docker engine is thrown away the building of images that an earlier one has built.

    images.py bring     before the sessions: give the engine what was kept
    images.py keep      after them: keep what `inv build` has recorded

Whatever goes wrong here costs minutes and is no fault of what is tested, so it is said and passed over.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import built, paths
from airflow_platform.tools.containers import kept


def main(word: str) -> None:
    """Do it, and say what was done."""
    directory = paths.cache() / "images" / "engine"
    began = time.monotonic()
    try:
        said = _bring(directory) if word == "bring" else _keep(directory)
    except errors.PlatformError as error:
        said = f"images are not kept: {error}"
    if said:
        print(f".ci/images.py: {said} ({time.monotonic() - began:.0f} s)", file=sys.stderr)


def _bring(directory: Path) -> str:
    brought = kept.bring_back(None, directory)
    return f"brought back {len(brought)} images" if brought else ""


def _keep(directory: Path) -> str:
    record = built.read()
    references = [image.reference for image in record.images.values()] if record else []
    return f"kept the images in {directory}" if kept.keep(None, references, directory) else ""


if __name__ == "__main__":
    main(sys.argv[1])
