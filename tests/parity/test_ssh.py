"""The branch behind a real Git server over SSH: a deploy key's rights, and a pinned host key."""

from __future__ import annotations

import pytest
import ssh_server
from conftest import branch, head_of

from airflow_platform import errors
from airflow_platform.tools.git import git_remote


@pytest.fixture
def server(served):
    with ssh_server.serving(served) as state:
        yield state


def remote(server, tmp_path, rights=ssh_server.WRITE, *, host_key=None):
    known = tmp_path / "known_hosts"
    known.write_text(server.known_hosts(host_key))
    return git_remote.Remote(server.url, key=server.allow(tmp_path, rights), known_hosts=known)


def test_a_key_with_the_right_to_write_moves_the_branch(server, tmp_path, runner, project, served):
    mine = branch(tmp_path / "mine", remote(server, tmp_path))
    mine.refresh(runner)
    made = mine.advance(runner, project.wanted(project.commit(hello="x = 2\n")), onto=mine.head(runner))
    assert head_of(served) == made.commit


def test_a_read_only_deploy_key_reads_and_is_refused_on_push(server, tmp_path, runner, project, served):
    reader = branch(tmp_path / "mine", remote(server, tmp_path, ssh_server.READ))
    reader.refresh(runner)
    with pytest.raises(errors.RefusedError, match="deploy key does not have write access") as caught:
        reader.advance(runner, project.wanted(project.commit(hello="x = 2\n")), onto=None)
    assert "read-only deploy key" in caught.value.hint
    assert head_of(served) == ""


def test_a_server_with_another_host_key_is_refused(server, tmp_path, runner):
    mine = branch(tmp_path / "mine", remote(server, tmp_path, host_key=ssh_server.new_key()))
    with pytest.raises(errors.RefusedError, match="host key is not the pinned one") as caught:
        mine.refresh(runner)
    assert "Somebody else may be answering" in caught.value.hint


def test_a_server_without_a_pinned_key_is_refused(server, tmp_path, runner):
    access = remote(server, tmp_path)
    access.known_hosts.write_text("")
    with pytest.raises(errors.RefusedError, match="host key"):
        branch(tmp_path / "mine", access).refresh(runner)


def test_a_server_that_no_file_knows_is_refused_whatever_the_user_says(server, tmp_path, runner, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh" / "config").write_text("Host *\n  StrictHostKeyChecking accept-new\n")
    with pytest.raises(errors.RefusedError, match="host key"):
        branch(tmp_path / "mine", git_remote.Remote(server.url)).refresh(runner)


def test_a_key_that_the_server_does_not_know_is_told(server, tmp_path, runner):
    access = remote(server, tmp_path)
    server.keys.clear()
    with pytest.raises(errors.RefusedError, match="not authenticated"):
        branch(tmp_path / "mine", access).refresh(runner)


def test_a_server_that_is_down_is_told(server, tmp_path, runner, served):
    access = remote(server, tmp_path)
    nobody = git_remote.Remote(
        "ssh://git@127.0.0.1:1/project.git", key=access.key, known_hosts=access.known_hosts
    )
    with pytest.raises(git_remote.NotReachable, match="refused"):
        branch(tmp_path / "mine", nobody).refresh(runner)
