"""Images kept as an archive and brought back, on a real engine: the same ids, under the same names."""

import contextlib
import os
import tarfile

import docker.errors
import pytest

from airflow_platform.tools.containers import archives, engine, kept


@pytest.fixture
def family(client, name):
    """A small image and one that was made from it: references and ids."""
    parent, child = f"airflow-platform/{name}-parent:1", f"airflow-platform/{name}:1"
    built = {
        parent: b"FROM scratch\nCOPY data /data\n",
        child: f"FROM {parent}\nENV A=1\n".encode(),
    }
    for reference, dockerfile in built.items():
        with archives.packed({"Dockerfile": dockerfile, "data": os.urandom(100_000)}) as context:
            list(client.api.build(fileobj=context, custom_context=True, rm=True, tag=reference))
    yield {reference: client.images.get(reference).id for reference in sorted(built)}
    for reference in built:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(reference, force=True)


def remove(client, family):
    for reference in family:
        client.images.remove(reference, force=True)


def test_an_engine_that_lost_images_gets_the_same_ones_back(client, family, tmp_path):
    parent, child = family
    assert kept.keep(None, [child], tmp_path)
    remove(client, family)
    assert kept.lineage(None, [child]) == {}
    assert kept.bring_back(None, tmp_path) == (parent, child)
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
