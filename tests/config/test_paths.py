"""Where state, cache and environment files are: by variable, for users, and for root."""

from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.config import paths

VARIABLES = (
    "AIRFLOW_PLATFORM_STATE",
    "AIRFLOW_PLATFORM_CACHE",
    "AIRFLOW_PLATFORM_ENVIRONMENTS",
    "AIRFLOW_PLATFORM_PROJECT",
)


@pytest.fixture
def defaults(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_variables_rule(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.setenv(name, "here")
    here = tmp_path / "here"
    assert (paths.state("dev"), paths.cache()) == (here / "dev", here)
    assert paths.project() == paths.Project(here)
    assert paths.project().environments == here


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


def test_projects_have_states_of_their_own_and_share_the_cache(monkeypatch, defaults):
    before = (paths.state("dev"), paths.cache())
    monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", "/another/project")
    assert (paths.state("dev") == before[0], paths.cache() == before[1]) == (False, True)


def test_the_project_is_the_nearest_folder_that_has_environments(monkeypatch, defaults, tmp_path):
    (tmp_path / "company" / "environments").mkdir(parents=True)
    below = tmp_path / "company" / "dags" / "shared"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert paths.project().root == tmp_path / "company"
    assert paths.project().environments == tmp_path / "company" / "environments"


def test_a_project_is_the_same_by_whatever_link_it_is_named(monkeypatch, defaults, tmp_path):
    (tmp_path / "company" / "environments").mkdir(parents=True)
    (tmp_path / "link").symlink_to("company")
    states = set()
    for name in ("company", "link"):
        monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", str(tmp_path / name))
        states.add(paths.state("sandbox"))
    assert len(states) == 1


def test_elsewhere_the_toolkits_checkout_is_the_project(monkeypatch, defaults, tmp_path, checkout):
    monkeypatch.chdir(tmp_path)
    assert paths.project().root == paths.toolkit().root == checkout


def test_an_installed_toolkit_brings_its_files_and_no_project(monkeypatch, defaults, tmp_path):
    package = tmp_path / "site-packages" / "airflow_platform"
    (package / "toolkit_files").mkdir(parents=True)
    (package.parent / "images").mkdir()  # Of another distribution.
    monkeypatch.setattr(paths, "_PACKAGE", package)
    monkeypatch.chdir(tmp_path)
    assert paths.toolkit().images == package / "toolkit_files" / "images"
    with pytest.raises(errors.UsageError, match="no project here"):
        paths.project()
