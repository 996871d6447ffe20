import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_platform.runtimes.process.supervisor import spec as specs

COMPONENT = specs.Component(
    name="a",
    argv=("/bin/a", "--ü"),
    directory="/",
    log="/a.log",
    environment={"A": "1", "B": "\udc80"},
    secret_environment={"KEY": "/key"},
    idle_title="^idle",
    stop_timeout=3,
    generation="1",
)
SPEC = specs.Spec(owner="o", user=7, components=(COMPONENT,))


def test_a_spec_survives_being_written():
    assert specs.Spec.from_text(SPEC.to_text()) == SPEC
    assert specs.Spec.from_text(SPEC.to_text()).digest == SPEC.digest


def test_a_status_survives_being_written():
    component = specs.ComponentStatus("a", "running", 7, 1.5, 2, "exited 1", "0123")
    status = specs.Status(1, "running", 1.0, "4567", (component,))

    assert specs.Status.from_text(status.to_text()) == status


def test_the_digest_of_a_component_changes_with_all_that_it_runs_with():
    other: dict[str, Any] = {
        "name": "b",
        "argv": ("/bin/b",),
        "directory": "/b",
        "log": "/b.log",
        "environment": {},
        "secret_environment": {},
        "idle_title": "",
        "stop_timeout": 4,
        "generation": "2",
    }
    assert other.keys() == {field.name for field in dataclasses.fields(specs.Component)}
    changed = [replace(COMPONENT, **{key: value}) for key, value in other.items()]

    digests = [SPEC.digest_of(one) for one in (COMPONENT, *changed)]
    digests += [one.digest_of(COMPONENT) for one in (replace(SPEC, user=8), replace(SPEC, owner="p"))]

    assert len(set(digests)) == len(digests) == 12
    same = replace(COMPONENT, environment={"B": "\udc80", "A": "1"})
    assert SPEC.digest_of(same) == SPEC.digest_of(COMPONENT)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "not a document of version 1"),
        ({"owner": 1}, "owner must be a str"),
        ({"user": True}, "user must be a int"),
        ({"components": {}}, "components must be a list"),
        ({"components": [1]}, "name must be a str"),
    ],
)
def test_a_wrong_spec_names_the_key(change, says):
    with pytest.raises(specs.SpecError, match=says):
        specs.Spec.from_text(json.dumps({**json.loads(SPEC.to_text()), **change}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "needs a name"),
        ({"argv": []}, "needs a name and a program"),
        ({"argv": [1]}, "argv must hold texts"),
        ({"environment": {"A": 1}}, "environment must hold texts"),
        ({"stop_timeout": "1"}, "stop_timeout must be a number"),
        ({"idle_title": "("}, "idle_title of a"),
    ],
)
def test_a_wrong_component_names_the_key(change, says):
    document = json.loads(SPEC.to_text())
    document["components"][0].update(change)

    with pytest.raises(specs.SpecError, match=says):
        specs.Spec.from_text(json.dumps(document))


def test_two_components_of_one_name_are_refused():
    twice = replace(SPEC, components=(COMPONENT, COMPONENT))

    with pytest.raises(specs.SpecError, match="two components are named a"):
        specs.Spec.from_text(twice.to_text())


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    specs.write_atomically(path, "old")
    (tmp_path / "file.new").write_text("left by a killed writer")

    specs.write_atomically(path, "new")

    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="No such file"):
        specs.write_atomically(tmp_path / "missing" / "file", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
