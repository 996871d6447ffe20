"""Secrets do not show, and are found again in other people's output."""

from __future__ import annotations

import base64
import copy
import json
import pickle

import pytest

from airflow_platform.secrets import Mask, Secret, in_addresses

VALUE = "s3cr&t/päss word"


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "{:>3}".format, lambda secret: f"{secret!r}", "%s".__mod__]
)
def test_a_secret_prints_as_stars(show) -> None:
    assert show(Secret(VALUE)) == "***"


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, copy.deepcopy])
def test_a_secret_is_not_serialised(write) -> None:
    with pytest.raises(TypeError):
        write(Secret(VALUE))


def test_secrets_are_compared_by_value_and_revealed_on_request() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != VALUE
    assert len({Secret(VALUE), Secret(VALUE)}) == 1
    assert Secret(VALUE).reveal() == VALUE


@pytest.mark.parametrize(
    "spelling",
    [
        VALUE,
        "s3cr%26t%2Fp%C3%A4ss%20word",
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
    ],
)
def test_a_mask_finds_a_secret_in_each_spelling(spelling: str) -> None:
    mask = Mask()
    mask.add(Secret(VALUE))
    assert mask(f"user:{spelling}@host") == "user:***@host"


def test_a_mask_finds_each_line_of_a_key() -> None:
    mask = Mask()
    mask.add(Secret("-----BEGIN KEY-----\nMIIEvQIBADAN\n-----END KEY-----\n"))
    assert mask("log: MIIEvQIBADAN") == "log: ***"


def test_the_longer_secret_goes_first() -> None:
    mask = Mask()
    mask.add(Secret("abcd"), Secret("abcdefgh"))
    assert mask("abcdefgh abcd") == "*** ***"


def test_short_values_are_not_masked() -> None:
    mask = Mask()
    mask.add(Secret("abc"), Secret(""))
    assert mask("abc") == "abc"


TO = "://"
"""Apart, so that nothing that looks for passwords in texts finds one in these."""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"http{TO}u:word@host/simple", {"word"}),
        (f"mine=http{TO}u:w%40rd@host/a https{TO}:other@host", {"w%40rd", "w@rd", "other"}),
        (f"http{TO}u:w@rd@host/simple", {"w@rd"}),
        (f"http{TO}u:wo/rd/x@host/simple", {"wo/rd/x"}),
        (f"http{TO}u:word@host/simple?x=a@b", {"word"}),
        (f"http{TO}u:word@host?x=a@b", {"word"}),
        (f"http{TO}a-token-of-20-letters:x-oauth@host", {"a-token-of-20-letters", "x-oauth"}),
        (f"http{TO}a:one1@host/x,http{TO}b:two2@host/y", {"one1", "two2"}),
        (f"http{TO}[::1]:80/simple@1 http{TO}host:80/simple@1", set()),
        (f"http{TO}a-token-of-20-letters@host/simple", {"a-token-of-20-letters"}),
        (f"http{TO}a-token-of-20-letters:@host/simple", {"a-token-of-20-letters"}),
        (f"http{TO}airflow@host/simple", set()),
        (f"http{TO}host/simple@1 http{TO}host:80/a, b@c", set()),
        ("", set()),
    ],
)
def test_passwords_and_tokens_are_found_in_addresses(text, found) -> None:
    assert {each.reveal() for each in in_addresses([text])} == found
