"""Images kept as an archive and brought back, on a real engine: the same ids, under the same names."""

import os
import tarfile

import pytest

from airflow_platform.tools.containers import archives, engine, kept, shelf


@pytest.fixture
def family(client, name):
    """A small image and one that was made from it: references and ids."""
    found = {}
    parent = ""
    for tag, dockerfile in {
        "parent": b"FROM scratch\nCOPY data /data\n",
        "child": b"ARG BASE\nFROM ${BASE}\nENV A=1\n",
    }.items():
        files = {"Dockerfile": dockerfile, "data": os.urandom(100_000)}
        with archives.packed(files) as context:
            list(
                client.api.build(
                    fileobj=context,
                    custom_context=True,
                    rm=True,
                    tag=f"airflow-platform/{name}:{tag}",
                    buildargs={"BASE": f"airflow-platform/{name}:parent"},
                    labels={shelf.IMAGE: name, shelf.PARENT: parent},
                )
            )
        parent = client.images.get(f"airflow-platform/{name}:{tag}").id
        found[f"airflow-platform/{name}:{tag}"] = parent
    return found


def remove(client, family):
    for reference in family:
        client.images.remove(reference, force=True)


def test_an_engine_that_lost_images_gets_the_same_ones_back(client, family, tmp_path):
    parent, child = sorted(family, reverse=True)
    assert kept.keep(None, [child], tmp_path)
    remove(client, family)
    assert kept.lineage(None, [child]) == {}
    assert kept.bring_back(None, tmp_path) == (child, parent)
    assert kept.lineage(None, [child]) == family
    assert kept.bring_back(None, tmp_path) == ()


def test_an_archive_that_was_cut_off_gives_no_images(client, family, tmp_path):
    assert kept.keep(None, family, tmp_path)
    remove(client, family)
    (archive,) = tmp_path.glob("*.tar")
    with tarfile.open(archive) as tar:
        layer = max(tar.getmembers(), key=lambda member: member.size)
    with archive.open("r+b") as file:
        file.seek(layer.offset_data + layer.size // 2)
        file.write(b"damaged")
    with pytest.raises(engine.EngineError, match="images kept in"):
        kept.bring_back(None, tmp_path)
    assert kept.lineage(None, family) == {}
    assert not list(tmp_path.iterdir())
