"""Which images are kept, brought back and thrown away, with an engine that is only asked and told.

tests/images/test_kept.py keeps and brings back real ones.
"""

import json
import os
import re
import time
import urllib.parse

import pytest

from airflow_platform import errors
from airflow_platform.tools.containers import engine, kept

BASE, MIDDLE, TOP = ("sha256:1", "sha256:2", "sha256:3")


def image(id_, *names, layers):
    return {
        "Id": id_,
        "RepoTags": list(names) or None,
        "Config": {"Labels": None},
        "RootFS": {"Layers": layers},
        "Architecture": "amd64",
        "Size": 1,
    }


class Engine:
    """Has images by name and id, sends them as their names, and takes what it has sent."""

    def __init__(self, *images):
        self.images = {}
        self.sent = 0
        self.taken = []
        self.refuses = None
        self.add(*images)

    def add(self, *images):
        for each in images:
            self.images |= dict.fromkeys([each["Id"], *(each["RepoTags"] or ())], each)

    def ask(self, host, path):
        if path == "/images/json":
            return list({each["Id"]: each for each in self.images.values()}.values())
        match = re.fullmatch("/images/(.+)/json", path)
        assert match, f"not told about {path}"
        return self.images.get(urllib.parse.unquote(match[1]))

    def receive(self, client, names, descriptor):
        self.sent += 1
        if self.refuses:
            raise self.refuses
        os.write(descriptor, json.dumps([self.images[name] for name in names]).encode())

    def send(self, host, archive):
        if self.refuses:
            raise self.refuses
        self.taken.append(archive.name)
        self.add(*json.loads(archive.read_text()))


@pytest.fixture
def world(monkeypatch):
    def use(made):
        monkeypatch.setattr(kept.api, "ask", made.ask)
        monkeypatch.setattr(kept, "_receive", made.receive)
        monkeypatch.setattr(kept, "_send", made.send)
        return made

    monkeypatch.setattr(kept.engine, "connected", Connected)
    return use


class Connected:
    api = None

    def __init__(self, host, *, timeout):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


FAMILY = (
    image(BASE, "base:1", layers=["a"]),
    image(MIDDLE, "middle:1", layers=["a", "b"]),
    image(TOP, "top:1", layers=["a", "b"]),
)

STRANGERS = (
    image("sha256:5", "top:0", layers=["a", "b"]),
    image("sha256:6", "child:1", layers=["a", "b", "c"]),
    image("sha256:7", "other:1", layers=["b"]),
    image("sha256:8", "<none>:<none>", layers=["a"]),
    image("sha256:4", layers=["a"]),
    image("sha256:9", "scratch:1", layers=None),
)
"""An older one, one made from it, one with other layers, two without a name, one without layers."""


def test_an_image_is_kept_with_all_that_it_was_made_from_and_only_once(world, tmp_path):
    made = world(Engine(*FAMILY, *STRANGERS))
    assert kept.keep(None, ["top:1", "gone:1"], tmp_path)
    assert not kept.keep(None, ["top:1"], tmp_path), "it is the same family"
    assert made.sent == 1
    (listed,) = tmp_path.glob("*.json")
    assert json.loads(listed.read_text()) == {"base:1": BASE, "middle:1": MIDDLE, "top:1": TOP}
    assert {path.name for path in tmp_path.iterdir()} == {listed.name, f"{listed.stem}.tar"}


def test_an_empty_engine_gets_them_back_and_one_that_has_them_nothing(world, tmp_path):
    world(Engine(*FAMILY))
    kept.keep(None, ["top:1"], tmp_path)
    empty = world(Engine())
    assert kept.bring_back(None, tmp_path) == ("base:1", "middle:1", "top:1")
    assert kept.bring_back(None, tmp_path) == ()
    assert len(empty.taken) == 1


def test_a_name_that_has_become_another_image_is_brought_back(world, tmp_path):
    world(Engine(*FAMILY))
    kept.keep(None, ["top:1"], tmp_path)
    world(Engine(*FAMILY[:2], image("sha256:4", "top:1", layers=["a", "c"])))
    assert kept.bring_back(None, tmp_path) == ("top:1",)


def test_without_images_or_archives_nothing_happens(world, tmp_path):
    made = world(Engine())
    assert not kept.keep(None, [], tmp_path)
    assert not kept.keep(None, ["gone:1"], tmp_path)
    assert kept.bring_back(None, tmp_path / "none") == ()
    assert made.sent == 0
    assert not list(tmp_path.iterdir())


def test_what_the_engine_does_not_take_is_thrown_away(world, tmp_path):
    made = world(Engine(*FAMILY))
    kept.keep(None, ["top:1"], tmp_path)
    made = world(Engine())
    made.refuses = engine.EngineError("archive/tar: invalid tar header", status=400)
    with pytest.raises(engine.EngineError, match="invalid tar"):
        kept.bring_back(None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_cut_off_while_it_is_written_is_not_kept(world, tmp_path):
    made = world(Engine(*FAMILY))
    made.refuses = errors.StateError("The disk is full.")
    with pytest.raises(errors.StateError, match="full"):
        kept.keep(None, ["top:1"], tmp_path)
    assert not list(tmp_path.glob("*.tar"))
    assert not list(tmp_path.glob(".*"))
    assert kept.bring_back(None, tmp_path) == ()
    made.refuses = None
    assert kept.keep(None, ["top:1"], tmp_path)


def test_a_list_that_was_altered_makes_its_archive_unknown(world, tmp_path):
    world(Engine(*FAMILY))
    kept.keep(None, ["top:1"], tmp_path)
    (listed,) = tmp_path.glob("*.json")
    listed.write_text(listed.read_text().replace("top:1", "top:2"))
    world(Engine())
    assert kept.bring_back(None, tmp_path) == ()


def test_old_archives_and_drafts_go_and_the_last_ones_used_stay(world, tmp_path):
    made = world(Engine())
    names = []
    for number in range(4):
        made.add(image(f"sha256:{number}", f"image:{number}", layers=[str(number)]))
        kept.keep(None, [f"image:{number}"], tmp_path)
        (new,) = {path.name for path in tmp_path.glob("*.tar")} - set(names)
        names.append(new)
        age = time.time() - 1000 + number
        os.utime(tmp_path / new, (age, age))
    assert {path.name for path in tmp_path.glob("*.tar")} == {names[2], names[3]}
    draft = tmp_path / ".killed.tar.new"
    draft.touch()
    os.utime(draft, (1, 1))
    os.utime(tmp_path / names[2], (1, 1))
    kept.prune(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {names[3], names[3].replace(".tar", ".json")}
