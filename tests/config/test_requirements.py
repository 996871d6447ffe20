"""Whether a lock fits what it was made from."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.config import lock_inputs, paths

LOCK = """\
apache-airflow==3.3.2 \\
    --hash=sha256:aa
    # via -r images/airflow/requirements.in
attrs==25.1.0 \\
    --hash=sha256:bb
    # via
    #   -r images/airflow/requirements.in
    #   apache-airflow
jinja2==3.1.6 \\
    --hash=sha256:cc
    # via apache-airflow
numpy==2.2.6 ; python_full_version < '3.11' \\
    --hash=sha256:dd
    # via -r images/airflow/requirements.in
numpy==2.3.0 ; python_full_version >= '3.11' \\
    --hash=sha256:ee
    # via -r images/airflow/requirements.in
"""
INPUTS = "# What it is made of.\napache-airflow==3.3.2\nAttrs>=24  # for dataclasses\nnumpy\n"


@pytest.fixture
def lock(tmp_path):
    folder = tmp_path / "airflow"
    folder.mkdir()
    (folder / "requirements.in").write_text(INPUTS)
    path = folder / "requirements.lock"
    path.write_text(LOCK)
    return path


def stale(lock):
    return list(lock_inputs.stale(lock))


def test_a_lock_that_fits(lock):
    assert stale(lock) == []


def test_comments_and_order_do_not_matter(lock):
    path = lock.with_name("requirements.in")
    before = lock_inputs.digest(lock)
    path.write_text("numpy\n# Words.\nattrs>=24,<26\napache_airflow[celery]==3.3.2\n")
    assert stale(lock) == []
    assert lock_inputs.digest(lock) != before
    path.write_text(f"# More words.\n\n{INPUTS}")
    assert lock_inputs.digest(lock) == before


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("babel>=2", "The lock requirements.lock does not have it."),
        ("attrs>=26", "The lock requirements.lock pins 25.1.0."),
        ("numpy<2.2", "The lock requirements.lock pins 2.2.6, 2.3.0."),
        ("apache-airflow==3.3.1", "The lock requirements.lock pins 3.3.2."),
    ],
)
def test_a_requirement_that_the_lock_does_not_satisfy_is_named(lock, line, cause):
    lock.with_name("extra.in").write_text(f"{line}\n")
    (fault,) = stale(lock)
    assert fault.thing == f"images/airflow/extra.in: {line}"
    assert fault.cause == cause
    assert "scripts/nox -s lock" in fault.remedy


def test_one_that_came_through_another_package_is_enough(lock):
    lock.with_name("extra.in").write_text("jinja2>=3\n")
    assert stale(lock) == []


def test_one_that_is_no_longer_asked_for_is_named(lock):
    lock.with_name("requirements.in").write_text("apache-airflow==3.3.2\nnumpy\n")
    (fault,) = stale(lock)
    assert fault.thing == "images/airflow/requirements.lock: attrs"


def test_all_are_told_at_once(lock):
    lock.with_name("extra.in").write_text("babel\nattrs>=26\n")
    assert len(stale(lock)) == 2


def test_a_line_that_is_no_requirement_is_told_with_its_number(lock):
    lock.with_name("extra.in").write_text("babel\n-e ../mine\n")
    with pytest.raises(errors.ConfigurationError) as caught:
        stale(lock)
    (fault,) = caught.value.faults()
    assert fault.thing == "images/airflow/extra.in: line 2"


@pytest.mark.parametrize("lock", sorted(paths.project().root.glob("images/*/requirements.lock")), ids=str)
def test_the_locks_of_this_checkout_fit(lock):
    assert stale(lock) == []
