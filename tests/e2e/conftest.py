"""Real Airflow: one sandbox with both tenants up, for all tests of this folder."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Both tenants, up; taken down and looked after at the end, whatever the tests did."""
    # Not below pytest's own directory: tenants run as users of their own and must get here.
    directory = Path(tempfile.mkdtemp(prefix="airflow-platform-e2e-"))
    directory.chmod(0o755)
    made = Sandbox(directory)
    try:
        made.up()
        yield made
    finally:
        made.inv("tenant-down", "--env=sandbox", "--delete-data")
        shutil.rmtree(directory, ignore_errors=True)
