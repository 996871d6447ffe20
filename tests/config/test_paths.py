"""Where state, cache and environment files are: by variable, for users, and for root."""

from pathlib import Path

import pytest

from airflow_platform.config import paths

VARIABLES = ("AIRFLOW_PLATFORM_STATE", "AIRFLOW_PLATFORM_CACHE", "AIRFLOW_PLATFORM_ENVIRONMENTS")


@pytest.fixture
def defaults(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_variables_rule(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.setenv(name, "here")
    here = tmp_path / "here"
    assert (paths.state("dev"), paths.cache(), paths.environments()) == (here / "dev", here, here)


def test_a_users_own_directories(monkeypatch, defaults, tmp_path):
    monkeypatch.setattr(paths.os, "geteuid", lambda: 1000)
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    assert paths.state("dev").parts[-3] == "airflow-platform"
    assert paths.state("dev").name == "dev"
    assert paths.cache().name == "airflow-platform"


def test_root_has_directories_that_tenants_can_enter(monkeypatch, defaults):
    monkeypatch.setattr(paths.os, "geteuid", lambda: 0)
    assert paths.state("dev").parents[1] == Path("/var/lib/airflow-platform")
    assert paths.cache() == Path("/var/cache/airflow-platform")


def test_checkouts_have_states_of_their_own_and_share_the_cache(monkeypatch, defaults):
    before = (paths.state("dev"), paths.cache())
    monkeypatch.setattr(paths, "CHECKOUT", Path("/another/checkout"))
    assert (paths.state("dev") == before[0], paths.cache() == before[1]) == (False, True)


def test_the_checkout_has_the_environments(defaults, checkout):
    assert checkout == paths.CHECKOUT
    assert paths.environments() == checkout / "environments"
