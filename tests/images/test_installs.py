"""Secrets, compilers and settings of this machine while packages are installed, and their absence afterwards."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading
import uuid

import pytest

from airflow_platform.config import image_recipes, image_settings, paths
from tests.images import conftest, small_build, test_layers

PASSWORD = "sentinel-7c1f4b/p@ss"
"""Of the private index; must be nowhere in what is built."""
FORMS = [
    form.encode()
    for form in (
        "sentinel-7c1f4b",
        base64.b64encode(f"ci:{PASSWORD}".encode()).decode(),
        base64.b64encode(PASSWORD.encode()).decode(),
    )
]
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
BACKEND = """
import subprocess, sysconfig, zipfile
def build_wheel(directory, settings=None, metadata=None):
    include = sysconfig.get_path("include")
    subprocess.run(["gcc", "-shared", "-fPIC", f"-I{include}", "private.c", "-o", "private.so"], check=True)
    name = "private_thing-1.0-cp311-cp311-linux_ARCH.whl"
    info = "private_thing-1.0.dist-info/"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.write("private.so", "private.so")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: private-thing\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: cp311-cp311-linux_ARCH\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
MODULE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "private", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_private(void) { return PyModule_Create(&module); }
"""


class Index(http.server.ThreadingHTTPServer):
    """A private package index with one package, which there is only as sources."""

    def __init__(self, address: str, machine: str) -> None:
        super().__init__((address, 0), Handler)
        self.package = sources(machine)
        self.refused = self.served = 0

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_address[1]}/simple"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        wanted = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {wanted}":
            self.server.refused += 1
            self.answer(401, b"who are you?")
        elif self.path.endswith("/private-thing/"):
            self.answer(200, b'<a href="/private_thing-1.0.tar.gz">private_thing-1.0.tar.gz</a>')
        elif self.path.endswith(".tar.gz"):
            self.server.served += 1
            self.answer(200, self.server.package)
        else:
            self.answer(404, b"")

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def sources(machine: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        files = {
            "PKG-INFO": "Metadata-Version: 2.1\nName: private-thing\nVersion: 1.0\n",
            "pyproject.toml": PYPROJECT,
            "backend.py": BACKEND.replace("ARCH", machine),
            "private.c": MODULE,
        }
        for name, text in files.items():
            entry = tarfile.TarInfo(f"private_thing-1.0/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def network(client):
    """One of these tests' own: the engine's default may be switched off."""
    made = client.networks.create(f"test-{uuid.uuid4().hex[:8]}", labels=conftest.LABELS)
    made.reload()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def index(network, parent):
    """On the address by which containers of that network reach this machine."""
    address = network.attrs["IPAM"]["Config"][0]["Gateway"].partition("/")[0]
    with Index(address, {"amd64": "x86_64", "arm64": "aarch64"}[parent["architecture"]]) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def run(wanted, parent, network, downloads):
    def run(settings):
        return small_build.run(wanted, parent, settings=settings, downloads=downloads, network=network.name)

    return run


@pytest.fixture
def wanted(name, index, tmp_path):
    """A recipe with the index's one package."""
    install = paths.project().root / "images" / "install"
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"private-thing==1.0 --hash=sha256:{hashlib.sha256(index.package).hexdigest()}\n")
    return image_recipes.Recipe(
        name, image_recipes.BASE, "A private package",
        files={"requirements.lock": lock, "python.sh": install / "python.sh", "build.sh": install / "build.sh"},
        install=("/mnt/python.sh", "/opt/private"),
        before=("/mnt/build.sh", "/opt/private", "gcc", "libc6-dev", "libpython3.11-dev"),
        python=True,
    )  # fmt: skip


@pytest.fixture
def downloads(client, name):
    volume = client.volumes.create(name, labels=conftest.LABELS)
    yield volume.name
    volume.remove()


def settings(index, variable="PRIVATE_INDEX_PASSWORD"):
    return image_settings.ImageSettings(index=image_settings.Index(index.url, "ci", variable))


def everything(client, image):
    """All bytes of an image, with configuration and history; paths of its layers."""
    found, texts = set(), []
    saved = io.BytesIO(b"".join(client.images.get(image).save(chunk_size=2**20)))
    with tarfile.open(fileobj=saved) as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            content = archive.extractfile(member).read()
            texts.append(gzip.decompress(content) if content.startswith(test_layers.GZIP) else content)
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                found |= {entry.name for entry in layer if not entry.isdir()}
    return texts, found


def test_a_private_index_works_and_its_password_is_nowhere(run, index, client, monkeypatch, containers):
    monkeypatch.setenv("PRIVATE_INDEX_PASSWORD", PASSWORD)
    report = run(settings(index))
    assert report.exit_code == 0, report.faults
    assert index.served
    reference = report.steps[-1].outputs["reference"]
    texts, found = everything(client, reference)
    assert any(path.endswith("/private.so") for path in found), "it was compiled and is there"
    for form in FORMS:
        assert not any(form in text for text in texts)
    assert [path for path in found if test_layers.BUILD_TOOLS.search(path)] == []
    assert [path for path in found if test_layers.LEFTOVERS.search(path)] == []
    for form in FORMS:
        assert form.decode() not in str(report)
    works = containers.start(reference, "/opt/private/bin/python", "-c", "import private", user="50000")
    assert works.wait(timeout=30)["StatusCode"] == 0, works.logs()


def test_a_wrong_password_is_told_without_showing_it(run, wanted, index, client, monkeypatch):
    monkeypatch.setenv("PRIVATE_INDEX_PASSWORD", "sentinel-7c1f4b-wrong")
    refused = index.refused
    report = run(settings(index))
    assert report.exit_code == 1
    assert index.refused > refused
    assert "sentinel" not in str(report)
    assert "index settings" in report.faults[0].remedy
    assert client.images.list(filters={"reference": f"airflow-platform/{wanted.name}"}) == []


def test_a_password_that_is_not_given_stops_before_anything_is_done(run, index):
    report = run(settings(index, "NOT_SET_ANYWHERE"))
    assert report.exit_code == 4
    assert "NOT_SET_ANYWHERE" in report.faults[0].thing


def test_proxies_of_docker_s_settings_are_there_while_packages_are_installed_and_in_no_image(
    name, parent, client, containers, monkeypatch, tmp_path
):
    proxy = "http://ci:sentinel-7c1f4b@proxy.example.com:3128"
    settings, folder = tmp_path / "docker", tmp_path / "folder"
    settings.mkdir()
    folder.mkdir()
    (settings / "config.json").write_text(json.dumps({"proxies": {"default": {"httpProxy": proxy}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(settings))
    install = folder / "install.sh"
    install.write_text('#!/bin/sh\ncase "$http_proxy" in *@proxy.example.com:3128) touch /installed;; esac\n')
    install.chmod(0o755)
    report = small_build.run(small_build.recipe(name, folder), parent)
    assert report.exit_code == 0, report.faults
    reference = report.steps[-1].outputs["reference"]
    described = client.images.get(reference)
    assert described.attrs["Config"]["Env"] == client.images.get(parent["id"]).attrs["Config"]["Env"]
    assert "sentinel" not in json.dumps([described.attrs, described.history()])
    assert conftest.ran(containers.start(reference, "cat", "/installed"))[0] == 0, "the installation had it"
