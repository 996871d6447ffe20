"""Real Airflow as processes: one sandbox with both tenants up, for all tests of this folder.

What every runtime must do is in tests/contracts; here is what only processes have: user ids, a supervisor,
/proc; and the doors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))

from on_processes import Processes


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Processes]:
    """Both tenants of the shipped sandbox, up; taken down and deleted at the end, whatever the tests did."""
    Processes.sweep()
    made = Processes.make(name="sandbox")
    try:
        made.up()
        yield made
    finally:
        made.delete()
