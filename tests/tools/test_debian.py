"""Debian's mirrors as this machine has them, and the base that is made of packages."""

from __future__ import annotations

import pytest

from airflow_platform.programs import programs
from airflow_platform.tools import debian

PARAGRAPHS = """\
Types: deb
# A comment.
URIs: http://mirror.example.com/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example.com/debian-security
Suites: bookworm-security
Components: main
"""
LINES = """\
# deb http://old.example.com/debian bookworm main
deb [signed-by=/x.gpg arch=amd64] https://lines.example.com/debian bookworm main contrib
deb https://lines.example.com/security bookworm-security main
deb-src https://lines.example.com/debian bookworm main
"""


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "release"),
    [
        ("debian:bookworm-slim", "bookworm"),
        ("debian:bookworm", "bookworm"),
        ("docker.io/library/debian:trixie-slim", "trixie"),
        ("debian", ""),
        ("debian:12", ""),
        ("registry.example.com/debian:bookworm-slim", ""),
        ("ubuntu:noble", ""),
    ],
)
def test_only_debian_s_own_images_can_be_made_of_packages(reference, release):
    assert debian.codename(reference) == release


def test_a_machine_without_sources_gets_debian_s_own(sources):
    found = debian.mirrors("bookworm", sources)
    assert found.are_public
    assert found.lines()[2] == "deb http://deb.debian.org/debian-security bookworm-security main"


def test_sources_in_paragraphs(sources):
    (sources / "sources.list.d" / "debian.sources").write_text(PARAGRAPHS)
    found = debian.mirrors("bookworm", sources)
    assert found.main == "http://mirror.example.com/debian"
    assert found.security == "http://mirror.example.com/debian-security"
    assert not found.are_public


@pytest.mark.parametrize(
    "change", [("Types: deb\n", "Types: deb\nEnabled: no\n"), ("Types: deb\n", "Types: deb-src\n")]
)
def test_sources_that_are_not_used_do_not_count(sources, change):
    (sources / "sources.list.d" / "debian.sources").write_text(PARAGRAPHS.replace(*change))
    assert debian.mirrors("bookworm", sources).main == debian.PUBLIC


def test_sources_in_lines(sources):
    (sources / "sources.list").write_text(LINES)
    found = debian.mirrors("bookworm", sources)
    assert (found.main, found.security) == (
        "https://lines.example.com/debian",
        "https://lines.example.com/security",
    )


def test_sources_of_another_release_do_not_count(sources):
    (sources / "sources.list").write_text(LINES)
    assert debian.mirrors("trixie", sources).are_public


def program(directory, name, text):
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where the programs of this machine are."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(debian, "SOURCES", tmp_path / "etc")
    return directory


def test_only_what_is_about_reaching_mirrors_is_passed_on(path):
    dumped = (
        'APT::Architecture "amd64";\nAcquire::http::Proxy "http://proxy:3128";\n'
        'Acquire::https::mirror.example.com::CAInfo "/etc/ca.pem";\nAcquire::Check-Valid-Until "false";\n'
        'Acquire::Languages:: "none";\nAcquire::IndexTargets::deb::Packages::MetaKey "x";\n'
    )
    program(path, "apt-config", f"/bin/cat << 'END'\n{dumped}END\n")
    assert debian.settings(programs.Programs()) == {
        "http::Proxy": "http://proxy:3128",
        "https::mirror.example.com::CAInfo": "/etc/ca.pem",
        "Check-Valid-Until": "false",
    }


def test_a_machine_without_apt_has_no_settings(path):
    assert debian.settings(programs.Programs()) == {}
