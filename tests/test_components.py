"""Everything that names components for itself names the same ones."""

import json
import runpy
import typing
from pathlib import Path

import pytest

from airflow_platform.config import components, image_recipes
from airflow_platform.tools.airflow import airflow_client

IMAGES = Path(__file__).parents[1] / "images"


def test_every_constant_is_a_name_and_every_name_a_constant():
    constants = {value for key, value in vars(components).items() if key.isupper() and isinstance(value, str)}
    assert constants - {components.BASE_IMAGE} == set(typing.get_args(components.Name))


def test_every_name_has_an_image():
    made = {recipe.name for recipe in image_recipes.recipes()}
    assert {components.BASE_IMAGE, *typing.get_args(components.Name)} <= made


@pytest.mark.parametrize("name", components.IMAGES)
def test_a_component_s_image_starts_what_we_say(name):
    command = (IMAGES / name / "Dockerfile").read_text().rstrip().rpartition("CMD ")[2]
    words = [word for word in components.ARGUMENTS[name] if not word.startswith("-")]
    assert json.loads(command) == ["airflow", *words]


def test_the_health_check_of_images_asks_for_the_same_jobs():
    assert runpy.run_path(str(IMAGES / "airflow" / "healthcheck.py"))["JOBS"] == airflow_client.JOB_TYPES
