"""User ids of tenants: derived, distinct, only where root has the range, and directories that they can enter."""

import os
from pathlib import Path

import pytest

from airflow_platform.tools import users


def as_root(monkeypatch, uid_map):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self: uid_map if str(self) == "/proc/self/uid_map" else real(self)
    )


WHOLE = "         0          0 4294967295\n"


def test_ids_are_stable_distinct_and_in_a_range_that_nobody_uses(monkeypatch):
    as_root(monkeypatch, WHOLE)
    found = {users.of_tenant(Path(f"/state/{number}")) for number in range(200)}
    assert len(found) == 200
    assert all(users.FIRST <= each < users.FIRST + users.COUNT for each in found)
    assert users.of_tenant(Path("/state/1")) in found
    assert users.FIRST + users.COUNT <= 2**31


@pytest.mark.parametrize(
    ("uid_map", "usable"),
    [
        (WHOLE, True),
        ("0 100000 65536\n", False),
        ("0 0 2000000000\n", False),
        ("0 0 1000\n1879048192 5 268435456\n", True),
        ("", False),
    ],
)
def test_root_in_a_container_without_the_range_has_none(monkeypatch, uid_map, usable):
    as_root(monkeypatch, uid_map)
    assert (users.of_tenant(Path("/state/a")) is not None) == usable


def test_others_than_root_have_none(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert users.of_tenant(Path("/state/a")) is None


def test_the_first_directory_that_others_cannot_pass(tmp_path):
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    (inner / "file").touch(0o600)
    tmp_path.chmod(0o755)
    closed_above = users.blocking_directory(tmp_path)
    (tmp_path / "a").chmod(0o700)
    assert users.blocking_directory(inner) == (closed_above or tmp_path / "a")
    (tmp_path / "a").chmod(0o711)
    assert users.blocking_directory(inner / "file") == closed_above
