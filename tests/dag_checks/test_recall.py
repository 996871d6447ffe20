"""What is known of DAG versions is known as long as nothing that decides about them has changed."""

import dataclasses

import pytest

from airflow_platform import components, dag_checks, manifests, rules
from airflow_platform.config import load, package_recipes, paths
from airflow_platform.dag_checks import recall


@pytest.mark.parametrize("decides", [dag_checks, rules, manifests, load])
def test_code_that_decides_is_among_what_decides(decides):
    (folder,) = {path.parent for path in recall.deciding() if path.samefile(decides.__file__)}
    assert set(folder.glob("*.py")) <= set(recall.deciding())


def test_names_that_specs_may_have_are_among_what_decides():
    assert any(path.samefile(components.__file__) for path in recall.deciding())


@pytest.mark.parametrize("change", ["lock", "addition", "new addition"])
def test_other_packages_are_other_surroundings(tmp_path, monkeypatch, change):
    before, recipe = recall.surroundings.__wrapped__(), package_recipes.airflow()
    (tmp_path / "file").write_text("# Another one.")
    changed = {
        "lock": {"lock": tmp_path / "file"},
        "addition": {"additions": dict.fromkeys(recipe.additions, tmp_path / "file")},
        "new addition": {"additions": {**recipe.additions, "site-packages/x.py": tmp_path / "file"}},
    }
    changed_recipe = dataclasses.replace(recipe, **changed[change])
    monkeypatch.setattr(package_recipes, "airflow", lambda: changed_recipe)
    assert recall.surroundings.__wrapped__() != before


def test_how_packages_are_verified_is_code_that_decides():
    assert paths.project().root / "airflow_platform/config/package_recipes.py" in recall.deciding()
