"""What killed builds left is removed although the engine may still be at work on it."""

from __future__ import annotations

from types import SimpleNamespace

import docker.errors
import pytest

from airflow_platform.programs import programs
from airflow_platform.tools.containers import engine, images


class Api:
    """An engine with a container of a killed build, an image that only that container uses, and the build's network."""

    def __init__(self, *, ends=True):
        self.left = {"container", "network", "image"}
        self._ends = ends

    def containers(self, **asked):
        return [{"Id": "container"}] if "container" in self.left else []

    def networks(self, **asked):
        return [{"Id": "network"}] if "network" in self.left else []

    def images(self, **asked):
        return [{"Id": "image"}] if "image" in self.left else []

    def inspect_image(self, image):
        return {"RepoTags": []}

    def remove_container(self, container, **how):
        raise refusal(409)  # The engine began by itself.

    def wait(self, container, **how):
        if not self._ends:
            raise refusal(500)
        self.left.discard("container")

    def remove_network(self, network):
        self._unused(network, 403)

    def remove_image(self, image):
        self._unused(image, 409)

    def _unused(self, thing, otherwise):
        if "container" in self.left:
            raise refusal(otherwise)
        self.left.discard(thing)


def refusal(status):
    return docker.errors.APIError("no", SimpleNamespace(status_code=status, url="", reason=""), "no")


def remove_left(made):
    images.Images(SimpleNamespace(api=made, close=None), programs.Interruption()).remove_left("a=b")


def test_a_container_that_the_engine_is_just_removing_is_waited_for_before_its_image_goes():
    made = Api()
    remove_left(made)
    assert made.left == set()


def test_a_container_that_does_not_go_is_told():
    with pytest.raises(engine.EngineError, match="container container: no"):
        remove_left(Api(ends=False))
