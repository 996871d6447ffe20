"""What a container is given to reach mirrors and indexes as this machine does."""

from __future__ import annotations

import pytest

from airflow_platform import secrets
from airflow_platform.programs import programs
from airflow_platform.tools import debian
from airflow_platform.tools.containers import build_network


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A machine without settings: what its apt says, and where it gets packages from."""
    said: dict[str, str] = {}
    monkeypatch.setattr(debian, "settings", lambda runner: said)
    monkeypatch.setattr(debian, "mirrors", debian.Mirrors)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return said


def for_debian(base="debian:bookworm-slim"):
    return build_network.for_debian(programs.Programs(), base)


def revealed(found):
    return {each.reveal() for each in found.secrets}


def test_a_machine_without_settings_gives_none(machine):
    found = for_debian()
    assert dict(found.files) == {"apt.conf": b""}
    assert found.environment == {"APT_CONFIG": "/mnt/apt.conf"}


def test_apt_s_settings_go_with_their_files(machine, tmp_path, monkeypatch):
    certificates = tmp_path / "ca.pem"
    certificates.write_text("a certificate")
    machine.update(
        # checkov:skip=CKV_SECRET_4: 2026-11-24: Not a password, only the look of one.
        {"Retries": "3", "https::CAInfo": str(certificates), "http::Proxy": "http://u:pass%40word@proxy:1"}
    )
    # checkov:skip=CKV_SECRET_4: 2026-11-24: Not a password, only the look of one.
    monkeypatch.setenv("https_proxy", "http://u:other@proxy:1")
    found = for_debian()
    text = found.files["apt.conf"].decode()
    assert 'Acquire::Retries "3";\n' in text
    assert 'Acquire::https::CAInfo "/mnt/of-this-machine/0-ca.pem";' in text
    assert found.files["of-this-machine/0-ca.pem"] == certificates
    assert found.environment["https_proxy"] == "http://u:other@proxy:1"
    assert revealed(found) == {"other", "pass%40word", "pass@word"}


def test_a_mirror_of_this_machine_stands_for_debian_s_own_and_for_no_other(monkeypatch):
    mine = debian.Mirrors("bookworm", "http://mirror.example.com/debian")
    monkeypatch.setattr(debian, "mirrors", lambda release: mine)
    found = for_debian()
    assert b"deb http://mirror.example.com/debian bookworm main\n" in found.files["sources.list"]
    assert b'Dir::Etc::SourceParts "/dev/null";' in found.files["apt.conf"]
    assert "sources.list" not in for_debian("registry.example.com/base:1").files


def test_uv_is_given_pip_s_settings_and_the_caller_s(monkeypatch, tmp_path):
    certificates = tmp_path / "ca.pem"
    certificates.write_text("a certificate")
    monkeypatch.setenv("PIP_INDEX_URL", "https://u:pass@pip.example.com/simple")
    monkeypatch.setenv("PIP_CERT", str(certificates))
    monkeypatch.setenv("UV_INDEX_PRIVATE_PASSWORD", "word")
    monkeypatch.setenv("UV_PYTHON", "/usr/bin/python3.12")
    monkeypatch.setenv("SECRET_OF_SOMETHING_ELSE", "x")
    found = build_network.for_python()
    assert found.environment["UV_DEFAULT_INDEX"] == "https://u:pass@pip.example.com/simple"
    assert found.environment["SSL_CERT_FILE"] == "/mnt/of-this-machine/0-ca.pem"
    assert found.environment["UV_CACHE_DIR"] == "/srv"
    assert not {"UV_PYTHON", "SECRET_OF_SOMETHING_ELSE", "PATH", "HOME"} & set(found.environment)
    assert revealed(found) == {"pass", "word"}


def test_a_private_index_is_asked_before_the_machine_s_own(monkeypatch):
    monkeypatch.setenv("UV_INDEX", "https://second.example.com/simple")
    found = build_network.for_python("https://first.example.com/simple", "ci@x", secrets.Secret("p:w"))
    assert found.environment["UV_INDEX"] == (
        "https://ci%40x:p%3Aw@first.example.com/simple https://second.example.com/simple"
    )
    assert revealed(found) == {"p%3Aw", "p:w"}


def test_a_login_in_netrc_is_handed_over_in_the_address(monkeypatch, tmp_path):
    path = tmp_path / "netrc"
    path.write_text("machine pip.example.com login ci password word\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    monkeypatch.setenv(
        "UV_INDEX", "mine=https://pip.example.com/simple https://me@pip.example.com/x https://other.org/x"
    )
    assert build_network.for_python().environment["UV_INDEX"] == (
        "mine=https://ci:word@pip.example.com/simple https://me@pip.example.com/x https://other.org/x"
    )
    path.write_text("machine pip.example.com login\n")
    assert "word" not in build_network.for_python().environment["UV_INDEX"]


def test_packages_in_a_directory_are_carried_along(monkeypatch, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("mine-1-py3-none-any.whl", "other-1.tar.gz", "README"):
        (tmp_path / "links" / name).write_text(name)
    monkeypatch.setenv("UV_FIND_LINKS", f"{tmp_path}/links,{tmp_path}/empty,https://example.com/links")
    found = build_network.for_python()
    assert found.environment["UV_FIND_LINKS"] == "/mnt/links/0,https://example.com/links"
    assert sorted(found.files) == ["links/0/mine-1-py3-none-any.whl", "links/0/other-1.tar.gz"]


def test_what_is_given_twice_is_given_together():
    one = build_network.Outside({"a": b"1"}, {"A": "1"}, (secrets.Secret("x"),))
    other = build_network.Outside({"b": b"2"}, {"B": "2"}, (secrets.Secret("y"),))
    both = one.and_also(other)
    assert (set(both.files), set(both.environment), revealed(both)) == ({"a", "b"}, {"A", "B"}, {"x", "y"})
