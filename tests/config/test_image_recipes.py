"""Which images there are: this checkout's own recipes, and what their digests depend on."""

from __future__ import annotations

import dataclasses

import pytest

from airflow_platform.config import components, image_recipes, paths, versions

RECIPES = image_recipes.recipes()
BY_NAME = {each.name: each for each in RECIPES}
SHELL = {"entrypoint", "clean-logs", "healthcheck", "healthcheck.py", "system.sh", "python.sh", "build.sh"}


def test_the_images_that_others_start():
    assert image_recipes.published() == (
        "airflow-base", "api-server", "scheduler", "dag-processor", "triggerer", "worker",
        "fakesnow", "metadata-database", "broker",
    )  # fmt: skip


def test_parents_come_first():
    known = {image_recipes.BASE}
    for each in RECIPES:
        assert each.parent in known
        known.add(each.name)
    assert len(known) == len(RECIPES) + 1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda each: each.name)
def test_what_a_recipe_names_is_there(recipe):
    for place, path in recipe.files.items():
        assert path.is_file(), path
        assert image_recipes.is_program(path) == (place.rpartition("/")[2] in SHELL), path
    assert ("Dockerfile" in recipe.files) == (not recipe.install)
    assert not recipe.verify or recipe.verify in recipe.files


@pytest.mark.parametrize("name", components.IMAGES)
def test_a_component_adds_no_files(name):
    assert BY_NAME[name].parent == "airflow-base"
    assert set(BY_NAME[name].files) == {"Dockerfile"}


def test_versions_are_in_the_tags():
    wanted = versions.read()
    assert BY_NAME["scheduler"].reference("ab12") == f"airflow-platform/scheduler:{wanted.airflow}-ab12"
    assert BY_NAME["fakesnow"].reference("ab12") == f"airflow-platform/fakesnow:{wanted.fakesnow}-ab12"
    assert BY_NAME["airflow-system"].reference("ab12") == "airflow-platform/airflow-system:ab12"


def test_versions_of_debian_s_packages_are_those_of_the_tags():
    assert f"postgresql-{BY_NAME['metadata-database'].version}" in BY_NAME["metadata-database-system"].install


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "Dockerfile"
    path.write_text("FROM x\n")
    return image_recipes.Recipe("thing", "base", "A thing", files={"Dockerfile": path})


def test_a_digest_changes_with_every_input_and_with_nothing_else(recipe, tmp_path):
    other = tmp_path / "other"
    other.write_text("FROM x\n")
    program = tmp_path / "program"
    program.write_text("FROM x\n")
    program.chmod(0o755)
    changed = [
        dataclasses.replace(recipe, name="other"),
        dataclasses.replace(recipe, install=("a",)),
        dataclasses.replace(recipe, before=("a",)),
        dataclasses.replace(recipe, files={"Containerfile": other}),
        dataclasses.replace(recipe, files={"Dockerfile": program}),
        dataclasses.replace(recipe, files={**recipe.files, "more": other}),
    ]
    found = [recipe.inputs("p", "amd64"), recipe.inputs("q", "amd64"), recipe.inputs("p", "arm64")]
    found += [each.inputs("p", "amd64") for each in changed]
    other.write_text("FROM y\n")
    found.append(changed[3].inputs("p", "amd64"))
    assert len(set(found)) == len(found)
    assert all(len(each) == 16 for each in found)
    same = dataclasses.replace(recipe, title="Words", files={"Dockerfile": program})
    program.chmod(0o600)
    assert same.inputs("p", "amd64") == found[0]


def test_lists_of_packages_have_comments(tmp_path):
    path = tmp_path / "packages.txt"
    path.write_text("# Words.\n\ngit  # to fetch\ntini\n")
    assert list(image_recipes._lines(path)) == ["git", "tini"]
    assert list(image_recipes._lines(tmp_path / "none")) == []


def test_compilers_are_wanted_only_where_something_is_built(monkeypatch, tmp_path):
    assert BY_NAME["airflow-packages"].before == ()
    folder = tmp_path / "images" / "airflow"
    folder.mkdir(parents=True)
    (folder / "build-packages.txt").write_text("gcc\n")
    monkeypatch.setattr(paths, "toolkit", lambda: paths.Toolkit(tmp_path))
    made = image_recipes._python("airflow-packages", "airflow", {})
    assert made.before == ("/mnt/build.sh", "/opt/airflow-venv", "gcc")
    assert "build.sh" in made.files
