"""Containers are gone when they are said to be removed."""

from types import SimpleNamespace

import docker.errors
import pytest

from airflow_platform.tools.containers import engine, labelled_objects


class Api:
    """An engine that answers with a status to each of two questions; 200 for yes."""

    def __init__(self, removal, wait):
        self._answers, self.asked = {"remove": removal, "wait": wait}, []

    def remove_container(self, name, **how):
        self._answer("remove", name, how)

    def wait(self, name, **how):
        self._answer("wait", name, how)

    def _answer(self, what, *asked):
        self.asked.append((what, *asked))
        if (status := self._answers[what]) != 200:
            raise docker.errors.APIError("no", SimpleNamespace(status_code=status, url="", reason=""), "no")


@pytest.mark.parametrize("removal", [200, 404, 409])
@pytest.mark.parametrize("wait", [200, 404])
def test_the_end_of_a_removal_is_waited_for_also_of_one_that_the_engine_began(removal, wait):
    api = Api(removal, wait)
    labelled_objects.remove_container(api, "x")
    assert api.asked == [
        ("remove", "x", {"force": True, "v": True}),
        ("wait", "x", {"timeout": labelled_objects.GONE, "condition": "removed"}),
    ]


@pytest.mark.parametrize(("removal", "wait"), [(500, 200), (409, 500)])
def test_an_engine_that_cannot_remove_is_told(removal, wait):
    with pytest.raises(engine.EngineError, match="container x: no"):
        labelled_objects.remove_container(Api(removal, wait), "x")
