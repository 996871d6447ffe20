"""Unit tests touch nothing of the machine, whatever the checkout is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import conftest


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("tasks/test_tenants.py", False),
        ("contracts/test_up.py", True),
        ("dags/integration/test_orders.py", True),
    ],
)
def test_a_checkout_that_has_the_name_of_a_folder_of_tests_is_none(path: str, *, real: bool) -> None:
    tests = Path("/home/me/contracts/tests")
    assert conftest.is_real(tests / path, tests) is real
