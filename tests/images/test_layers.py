"""What is in the layers of the images, and what is not; all that a registry would get."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_platform.config import components

BUILD_TOOLS = re.compile(
    r"(^|/)(?:s?bin)/(?:cc|c89|c99|c\+\+|g\+\+|gcc|cpp|clang|ld|as|make|cmake|uv|uvx|pip3?|rustc|cargo|go)(?:-[\d.]+)?$"
    r"|/x86_64-linux-gnu-(?:gcc|ld|as)|/aarch64-linux-gnu-(?:gcc|ld|as)"
)
LEFTOVERS = re.compile(
    r"^(?:mnt|srv|tmp)/.|^var/cache/apt/.*\.deb$|^var/lib/apt/lists/.*_(?:Packages|InRelease|Release)"
    r"|(?:^|/)\.cache/|^root/\.(?!bashrc$|profile$)|(?:^|/)(?:\.netrc|pip\.conf|uv\.toml|auth\.conf)$"
    r"|^etc/apt/apt\.conf\.d/99mmdebstrap$|^var/log/apt/.|^usr/sbin/policy-rc\.d$"
)
GZIP = b"\x1f\x8b"
PUBLIC = {"http://deb.debian.org/debian", "http://deb.debian.org/debian-security"}


@dataclass
class Saved:
    """What `docker save` writes of some images."""

    files: dict[str, set[str]] = field(default_factory=dict)
    """Paths of each layer."""
    sources: dict[str, str] = field(default_factory=dict)
    """apt's sources, by path."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The configuration of each image, by its reference; history and environment among it."""
    layers: dict[str, list[str]] = field(default_factory=dict)
    """Digests of each image's layers, the lowest first."""


@pytest.fixture(scope="module")
def saved(images, client):
    references = [each.reference for each in images.images.values()]
    found = Saved()
    with client.api.get(client.api._url("/images/get"), params={"names": references}, stream=True) as answer:
        answer.raise_for_status()
        documents, links = {}, set()
        with tarfile.open(fileobj=answer.raw, mode="r|") as archive:
            for member in archive:
                if not member.isfile():
                    links.add(member.name)
                elif is_layer(file := archive.extractfile(member)):
                    read_layer(found, member.name, file)
                else:
                    documents[member.name] = file.read()
    for each in json.loads(documents["manifest.json"]):
        assert set(each["Layers"]) <= {*found.files, *links}, "all layers were read"
        (reference,) = each["RepoTags"]
        found.settings[reference] = json.loads(documents[each["Config"]])
        found.layers[reference] = found.settings[reference]["rootfs"]["diff_ids"]
    assert set(found.settings) == set(references)
    return found


def is_layer(file):
    """Whether it is an archive, as its beginning says: what it is called depends on the engine's age."""
    head = file.peek(512)[:512]
    return head[257:262] == b"ustar" or head.startswith(GZIP) or (len(head) == 512 and not head.strip(b"\0"))


def read_layer(found, name, file):
    with tarfile.open(fileobj=file, mode="r|*") as layer:
        found.files[name] = set()
        for entry in layer:
            path = entry.name.removeprefix("./")
            if not entry.isdir():
                found.files[name].add(path)
            if entry.isfile() and path.startswith("etc/apt/sources.list"):
                found.sources[path] = layer.extractfile(entry).read().decode()


def matching(saved, pattern):
    return sorted({path for files in saved.files.values() for path in files if pattern.search(path)})


def test_the_search_finds_what_it_looks_for():
    for path in (
        "usr/bin/gcc-12",
        "usr/bin/x86_64-linux-gnu-gcc-12",
        "opt/x/bin/uv",
        "usr/bin/make",
        "usr/bin/ld",
    ):
        assert BUILD_TOOLS.search(path), path
    for path in (
        "mnt/uv/bin/uv",
        "root/.cache/uv/x",
        "var/cache/apt/archives/git_1.deb",
        "home/airflow/.netrc",
    ):
        assert LEFTOVERS.search(path), path
    assert not LEFTOVERS.search("root/.bashrc")
    assert not BUILD_TOOLS.search("usr/bin/ldd")


def test_no_build_tool_is_in_any_layer(saved):
    assert matching(saved, BUILD_TOOLS) == []


def test_nothing_is_left_of_how_packages_were_installed(saved):
    assert matching(saved, LEFTOVERS) == []


def test_images_name_debian_s_own_mirrors(saved):
    found = set(re.findall(r"https?://\S+", "\n".join(saved.sources.values())))
    assert found <= PUBLIC
    assert found, "the sources were looked at"


def test_settings_and_history_name_no_mirror_and_no_index(saved):
    for reference, settings in saved.settings.items():
        text = json.dumps({key: value for key, value in settings.items() if key != "rootfs"})
        found = set(re.findall(r"https?://[^\s\"'/]+", text))
        assert found <= {"https://127.0.0.1:8443"}, reference


def test_images_run_as_users_without_rights(saved):
    for reference, settings in saved.settings.items():
        assert settings["config"]["User"] in ("50000:0", "999:999"), reference
        assert settings["config"]["Entrypoint"][:2] == ["/usr/bin/tini", "--"], reference


def test_each_image_that_serves_has_a_health_check(saved):
    without = {ref for ref, each in saved.settings.items() if not each["config"].get("Healthcheck")}
    assert {each.partition(":")[0] for each in without} == {"airflow-platform/airflow-base"}


def test_components_add_less_than_a_megabyte_to_the_base(images, saved):
    base = images.images["airflow-base"]
    for name in components.IMAGES:
        each = images.images[name]
        assert each.size - base.size < 1_000_000
        shared = len(saved.layers[base.reference])
        assert saved.layers[each.reference][:shared] == saved.layers[base.reference]


def test_labels_say_where_an_image_comes_from(images, saved):
    for each in images.images.values():
        labels = saved.settings[each.reference]["config"]["Labels"]
        assert labels["org.opencontainers.image.ref.name"] == each.reference
        assert each.tag.endswith(labels["airflow-platform.inputs"])
        assert re.fullmatch(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
        assert labels["org.opencontainers.image.created"]
        if each.name in (*components.IMAGES, "airflow-base", "fakesnow"):
            assert re.fullmatch(r"[0-9a-f]{64}", labels["airflow-platform.lock"])
