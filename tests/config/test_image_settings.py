"""What `images.toml` may say."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.config import image_settings

INDEX = '[index]\nurl = "https://packages.example.com/simple"\n'


@pytest.fixture
def file(tmp_path):
    return tmp_path / "images.toml"


def test_a_file_that_says_nothing_means_the_defaults(file):
    defaults = image_settings.ImageSettings()
    assert image_settings.read(file) == defaults
    file.write_text("# nothing\n")
    assert image_settings.read(file) == defaults


def test_the_file_of_this_checkout_shows_the_defaults():
    assert image_settings.read() == image_settings.ImageSettings()


def test_all_that_may_be_said(file, monkeypatch):
    file.write_text(
        'base = "registry.example.com/debian@sha256:aa"\nplatform = "arm64"\n'
        f'{INDEX}user = "ci"\npassword = {{ env = "TOKEN" }}\n'
    )
    settings = image_settings.read(file)
    assert (settings.base, settings.platform) == ("registry.example.com/debian@sha256:aa", "arm64")
    assert settings.index == image_settings.Index("https://packages.example.com/simple", "ci", "TOKEN")
    assert settings.index.password() is None
    monkeypatch.setenv("TOKEN", "secret")
    found = settings.index.password()
    assert (str(found), found.reveal()) == ("***", "secret")


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("base = 1", "base"),
        ('base = ""', "base"),
        ('base = "debian bookworm"', "base"),
        ('platform = "riscv64"', "platform"),
        ("platform = []", "platform"),
        ('colour = "red"', "colour"),
        ('index = "https://x"', "index"),
        ("[index]\n", "index.url"),
        # checkov:skip=CKV_SECRET_4: 2026-11-24: Not a password, only the look of one.
        ('[index]\nurl = "https://ci:secret@x/simple"', "index.url"),
        ('[index]\nurl = "packages.example.com"', "index.url"),
        (f"{INDEX}user = 1", "index.user"),
        (f'{INDEX}token = "x"', "index"),
        (f'{INDEX}password = "secret"', "index.password"),
        (f'{INDEX}password = {{ file = "x" }}', "index.password"),
        (f'{INDEX}password = {{ env = "lower case" }}', "index.password"),
    ],
)
def test_what_may_not_be_said_is_told_with_its_key(file, text, thing):
    file.write_text(text)
    with pytest.raises(errors.ConfigurationError) as caught:
        image_settings.read(file)
    (fault,) = caught.value.faults()
    assert fault.thing == f"images.toml: {thing}"
    assert fault.remedy
    assert "secret" not in str(caught.value)


def test_all_faults_are_told_at_once(file):
    file.write_text('base = 1\nplatform = "x"\ncolour = "red"\n')
    with pytest.raises(errors.ConfigurationError) as caught:
        image_settings.read(file)
    assert len(caught.value.faults()) == 3


@pytest.mark.parametrize("content", [b"base = ", b"\xff"])
def test_a_file_that_cannot_be_read_is_told(file, content):
    file.write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match="cannot be read"):
        image_settings.read(file)
