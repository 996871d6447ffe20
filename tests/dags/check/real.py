"""The mark of tests that import DAG files with the real Airflow."""

import os

import pytest

VARIABLE = "AIRFLOW_PLATFORM_TEST_AIRFLOW"

real = [
    pytest.mark.sandbox,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not os.environ.get(VARIABLE, ""),
        reason=f"{VARIABLE} names no virtual environment made from images/airflow/requirements.lock",
    ),
]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root imports files as other users")
"""The mark of tests about user ids."""
