"""uv: which one, with which variables, and its refusals."""

import os
import sysconfig
import types

import pytest

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools import uv

SAYS = """#!/bin/sh
here=$(dirname "$0")
echo "$* [$UV_CACHE_DIR $UV_DEFAULT_INDEX $UV_PYTHON_DOWNLOADS $VIRTUAL_ENV]" >>"$here/calls"
[ "$1" = venv ] || echo "Resolved" >&2
[ ! -e "$here/failing" ] || exit 2
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The uv of the toolkit's own environment."""
    directory = tmp_path / "own"
    directory.mkdir()
    (directory / "uv").write_text(SAYS)
    (directory / "uv").chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(directory))
    return directory


def install(tmp_path, news, environment=types.MappingProxyType({"UV_DEFAULT_INDEX": "file:///mirror"})):
    uv.install(
        programs.Programs(),
        tmp_path / "venv",
        python=tmp_path / "python",
        lock=tmp_path / "requirements.lock",
        cache=tmp_path / "cache",
        environment=environment,
        progress=news.append,
    )


def test_the_toolkits_own_uv_goes_before_the_one_on_path(own, tmp_path, monkeypatch):
    other = tmp_path / "uv"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert uv.find() == str(own / "uv")
    (own / "uv").unlink()
    assert uv.find() == str(other)


def test_no_uv_is_a_fault(own, tmp_path, monkeypatch):
    assert uv.missing_uv() is None
    (own / "uv").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    fault = uv.missing_uv()
    assert fault is not None
    assert (fault.thing, fault.remedy) == ("uv", "Use scripts/inv, which brings uv.")


def test_an_environment_is_made_afresh_from_hashes_with_the_settings_of_the_index(own, tmp_path, monkeypatch):
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere/else")
    (tmp_path / "venv/old").mkdir(parents=True)
    news = []
    install(tmp_path, news)
    variables = f"[{tmp_path}/cache file:///mirror never ]"
    venv, sync = (own / "calls").read_text().splitlines()
    assert venv == f"venv --quiet --python {tmp_path}/python {tmp_path}/venv {variables}"
    assert sync == (
        f"pip sync --require-hashes --compile-bytecode --python {tmp_path}/venv/bin/python "
        f"{tmp_path}/requirements.lock {variables}"
    )
    assert not (tmp_path / "venv/old").exists()
    assert news == ["Resolved"]


def test_what_uv_says_is_in_the_error_with_a_remedy(own, tmp_path):
    (own / "failing").touch()
    with pytest.raises(errors.ProgramError, match="exited 2"):
        install(tmp_path, [])


FETCHES = """#!/bin/sh
here=$(dirname "$0")
echo "$*" >>"$here/calls"
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/bin"
[ ! -e "$here/failing" ] || { echo "no such wheel" >&2; exit 2; }
echo "a uv for another machine" >"$2/bin/uv"
"""


def fetch(tmp_path, architecture="arm64"):
    return uv.fetch(
        programs.Programs(),
        tmp_path / "images" / "uv",
        architecture=architecture,
        lock=tmp_path / "bootstrap.lock",
        cache=tmp_path / "cache",
        environment={},
    )


def test_the_uv_of_images_is_fetched_once(own, tmp_path):
    (own / "uv").write_text(FETCHES)
    path = fetch(tmp_path)
    assert path.read_text() == "a uv for another machine\n"
    assert fetch(tmp_path) == path
    (call,) = (own / "calls").read_text().splitlines()
    assert "--python-platform=aarch64-unknown-linux-gnu" in call
    assert "--require-hashes" in call
    assert f"-r {tmp_path}/bootstrap.lock" in call


def test_a_uv_of_images_that_was_fetched_in_part_is_fetched_again(own, tmp_path):
    (own / "uv").write_text(FETCHES)
    (own / "failing").touch()
    with pytest.raises(errors.ProgramError, match="no such wheel"):
        fetch(tmp_path)
    assert not (tmp_path / "images" / "uv").exists()
    (own / "failing").unlink()
    assert fetch(tmp_path).exists()


SAYS_ALL = """#!/bin/sh
echo "error: invalid value '$UV_DEFAULT_INDEX' for '--default-index': invalid port number" >&2
echo "$UV_INDEX_MINE_PASSWORD" >&2
[ "$1" = venv ] || exit 2
"""
"""As uv 0.13 says it of an address that it cannot read; it masks passwords in those that it can."""


TO = "://"
"""Apart, so that nothing that looks for passwords in texts finds one in these."""


@pytest.mark.parametrize(
    "address",
    [
        f"http{TO}ci:canary-7f3a-9c1e-22d0@127.0.0.1:99999/simple",
        f"http{TO}canary-7f3a-9c1e-22d0@127.0.0.1:99999/simple",
        f"http{TO}canary-7f3a-9c1e-22d0:x-oauth-basic@127.0.0.1:99999/simple",
        f"http{TO}ci:canary/7f3a/9c1e@127.0.0.1:99999/simple",
    ],
    ids=["password", "token", "token as user", "password with slashes"],
)
@pytest.mark.parametrize("use", ["install", "fetch"])
def test_logins_of_indexes_are_masked_in_what_uv_says(own, tmp_path, monkeypatch, use, address):
    (own / "uv").write_text(SAYS_ALL)
    monkeypatch.setenv("UV_DEFAULT_INDEX", address)
    monkeypatch.setenv("UV_INDEX_MINE_PASSWORD", "another-canary")
    news = []
    with pytest.raises(errors.ProgramError) as caught:
        install(tmp_path, news, environment={}) if use == "install" else fetch(tmp_path)
    for text in (str(caught.value), *news):
        assert "canary" not in text
    assert "***@127.0.0.1:99999" in str(caught.value)


def test_addresses_that_uv_does_not_read_are_no_reason_to_mask_their_words(own, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"postgresql{TO}airflow:airflow@postgres/airflow")
    runner = programs.Programs()
    runner.mask.add(*uv.logins(os.environ))
    assert runner.mask("airflow") == "airflow"
