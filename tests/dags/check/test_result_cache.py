"""What is known of DAG versions is known as long as nothing that decides about them has changed."""

import dataclasses

import pytest

from airflow_platform.config import load, package_recipes, paths
from airflow_platform.dags import check
from airflow_platform.dags.check import commit_check, result_cache, rules, worker

PATTERNS = (*result_cache.DECIDING, *result_cache.IMPORTING)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_of_code_that_decides_matches_something(pattern):
    assert list(paths.toolkit().package.glob(pattern)), "a folder has moved: old results would stay valid"


@pytest.mark.parametrize("decides", [check, commit_check, rules, worker, load, package_recipes])
def test_code_that_decides_is_among_what_decides(decides):
    deciding = {path for pattern in PATTERNS for path in paths.toolkit().package.glob(pattern)}
    assert any(path.samefile(decides.__file__) for path in deciding)


@pytest.mark.parametrize("change", ["lock", "addition", "new addition"])
def test_other_packages_are_other_surroundings(tmp_path, monkeypatch, change):
    before, recipe = result_cache.surroundings.__wrapped__(), package_recipes.airflow()
    (tmp_path / "file").write_text("# Another one.")
    changed = {
        "lock": {"lock": tmp_path / "file"},
        "addition": {"additions": dict.fromkeys(recipe.additions, tmp_path / "file")},
        "new addition": {"additions": {**recipe.additions, "site-packages/x.py": tmp_path / "file"}},
    }
    changed_recipe = dataclasses.replace(recipe, **changed[change])
    monkeypatch.setattr(package_recipes, "airflow", lambda: changed_recipe)
    assert result_cache.surroundings.__wrapped__() != before
