"""The branch behind a real Git server over HTTP: rights, tokens, and everything that can break on the way."""

from __future__ import annotations

import socket

import http_server
import pytest
from conftest import READER, TOKEN, branch, head_of, run_git

from airflow_platform import errors, secrets
from airflow_platform.dags import dag_branch
from airflow_platform.tools.git import git_remote


def remote(server, token=TOKEN):
    return git_remote.Remote(f"{server.url}/project.git", "oauth2", secrets.Secret(token))


@pytest.fixture
def mine(server, tmp_path, runner):
    made = branch(tmp_path / "mine", remote(server))
    made.refresh(runner)
    return made


def advance(mine, runner, project, commit):
    mine.refresh(runner)
    return mine.advance(runner, project.wanted(commit), onto=mine.head(runner))


def test_a_version_is_put_on_the_branch_and_read_back(mine, runner, project, served):
    commit = project.commit(hello="x = 2\n")
    made = advance(mine, runner, project, commit)
    assert head_of(served) == made.commit
    assert (made.source, made.tree) == (commit, project.wanted(commit).tree)
    assert made.who == "Ann <ann@example.com>"
    later = advance(mine, runner, project, project.commit(hello="x = 3\n"))
    assert later.parent == made.commit, "only ever forward"


def test_a_read_only_token_is_refused_and_moves_nothing(server, tmp_path, runner, project, served):
    reader = branch(tmp_path / "reader", remote(server, READER))
    with pytest.raises(errors.RefusedError, match=r"refused: .*403") as caught:
        advance(reader, runner, project, project.commit(hello="x = 2\n"))
    assert "right to push" in caught.value.hint
    assert head_of(served) == ""


@pytest.mark.parametrize("token", ["glpat-of-yesterday", READER[:-1]])
def test_a_token_that_is_not_good_is_told_without_showing_it(server, tmp_path, runner, token):
    mine = branch(tmp_path / "mine", remote(server, token))
    with pytest.raises(errors.RefusedError, match="not authenticated") as caught:
        mine.refresh(runner)
    assert token not in str(caught.value)
    assert "dags.toml" in caught.value.hint


def test_a_token_that_expires_between_fetch_and_push_is_told(server, mine, runner, project, served):
    commit = project.commit(hello="x = 2\n")
    del server.tokens[TOKEN]
    with pytest.raises(errors.RefusedError, match="not authenticated"):
        mine.advance(runner, project.wanted(commit), onto=None)
    assert head_of(served) == ""


def test_a_server_that_is_down_is_told(served, tmp_path, runner):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    mine = branch(tmp_path / "mine", git_remote.Remote(f"http://127.0.0.1:{port}/project.git"))
    with pytest.raises(git_remote.NotReachable, match=f"127.0.0.1:{port}") as caught:
        mine.refresh(runner)
    assert "dags.toml" in caught.value.hint


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_fails_is_told_and_can_be_asked_again(server, mine, runner, status):
    server.faults.append(http_server.Fault("info/refs", status=status))
    with pytest.raises(git_remote.NotReachable, match=str(status)):
        mine.refresh(runner)
    mine.refresh(runner)
    assert server.faults[0].met == 1


def test_a_server_that_is_slow_is_waited_for(server, mine, runner):
    server.faults.append(http_server.Fault("info/refs", after=1.5))
    mine.refresh(runner)
    assert server.faults[0].met == 1


def test_a_server_that_never_answers_is_given_up(server, mine, runner, monkeypatch):
    monkeypatch.setattr(git_remote, "TIMEOUT", 1.0)
    server.faults.append(http_server.Fault("info/refs", after=3))
    with pytest.raises(git_remote.NotReachable, match="did not answer within 1 s"):
        mine.refresh(runner)


def test_a_fetch_that_is_cut_leaves_the_branch_as_it_was_known(server, mine, runner, project, tmp_path):
    known = advance(mine, runner, project, project.commit(hello="x = 2\n"))
    other = branch(tmp_path / "other", remote(server))
    advance(other, runner, project, project.commit(hello="y = 1\n" * 5000))
    server.faults.append(http_server.Fault("git-upload-pack", times=99, cut_after=300))
    with pytest.raises(git_remote.Cut, match="broke off"):
        mine.refresh(runner)
    assert mine.head(runner).commit == known.commit
    server.faults.clear()
    mine.refresh(runner)
    assert mine.head(runner).commit != known.commit


def test_a_push_whose_answer_is_lost_has_arrived_and_is_found(server, mine, runner, project, served):
    wanted = project.wanted(project.commit(hello="x = 2\n"))
    server.faults.append(http_server.Fault("/git-receive-pack", lose_answer=True))
    # Git sends it once more by itself, and then it is too late for that.
    with pytest.raises((git_remote.Cut, git_remote.LostRace)):
        mine.advance(runner, wanted, onto=None)
    mine.refresh(runner)
    assert mine.head(runner).tree == wanted.tree
    assert head_of(served) == mine.head(runner).commit


def test_a_server_that_goes_away_right_after_a_push_hides_nothing(server, mine, runner, project, served):
    wanted = project.wanted(project.commit(hello="x = 2\n"))
    mine.refresh(runner)
    mine.record(runner, {"task": "dags-sync", "result": "served"})
    server.faults.append(http_server.Fault("git-upload-pack", times=99, status=503))
    made = mine.advance(runner, wanted, onto=None)
    assert made == mine.head(runner)
    assert head_of(served) == made.commit
    run_git(mine.repository, "fsck", "--full", "--strict")
    listed = run_git(mine.repository, "ls-tree", "--name-only", f"{made.commit}:dags")
    assert "hello.py" in listed.split(), "the copy has borrowed nothing"


def test_an_entry_that_has_arrived_is_written_whatever_the_server_does_then(server, mine, runner):
    mine.record(runner, {"task": "dags-sync", "result": "served"})
    asked = [path for path, _ in server.asked]
    assert "git-receive-pack" in asked[-1], "nothing is asked after the push"
    assert [entry["result"] for entry in mine.entries(runner)] == ["served"]


def test_what_comes_together_is_packed(mine, runner, monkeypatch):
    monkeypatch.setattr(dag_branch, "LOOSE", 1)
    mine.record(runner, {"task": "dags-sync", "result": "first"})
    assert "in-pack: 0" in run_git(mine.repository, "count-objects", "-v")
    # Git guesses how many there are by the files of one directory.
    (mine.repository / "objects" / "17").mkdir(exist_ok=True)
    for name in "abc":
        (mine.repository / "objects" / "17" / (name * 38)).touch()
    mine.record(runner, {"task": "dags-sync", "result": "second"})
    for name in "abc":
        (mine.repository / "objects" / "17" / (name * 38)).unlink(missing_ok=True)
    assert "in-pack: 6" in run_git(mine.repository, "count-objects", "-v")
    assert [entry["result"] for entry in mine.entries(runner)] == ["first", "second"]


def test_a_lost_race_says_so_and_the_next_try_goes_on_top(server, mine, runner, project, tmp_path):
    other = branch(tmp_path / "other", remote(server), who="Bob <bob@example.com>")
    first = advance(other, runner, project, project.commit(hello="x = 2\n"))
    wanted = project.wanted(project.commit(hello="x = 3\n"))
    with pytest.raises(git_remote.LostRace):
        mine.advance(runner, wanted, onto=None)
    mine.refresh(runner)
    assert mine.head(runner).who == "Bob <bob@example.com>"
    assert mine.advance(runner, wanted, onto=mine.head(runner)).parent == first.commit


def test_two_ledgers_at_the_same_time_both_keep_their_entry(server, mine, runner, project, tmp_path):
    other = branch(tmp_path / "other", remote(server))
    mine.refresh(runner)
    other.record(runner, {"task": "dags-sync", "result": "served", "who": "other"})
    mine.record(runner, {"task": "dags-sync", "result": "served", "who": "mine"})
    mine.record(runner, {"task": "dags-sync", "result": "served", "who": "mine"})
    assert [entry["who"] for entry in mine.entries(runner)] == ["other", "mine"]


def test_no_secret_is_in_a_command_line_or_a_file(server, mine, runner, project, tmp_path):
    advance(mine, runner, project, project.commit(hello="x = 2\n"))
    files = [path for path in (tmp_path / "mine").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in " ".join(path for path, _ in server.asked)


def test_a_branch_that_was_forced_is_told_and_what_is_known_is_kept(server, mine, runner, project, served):
    known = advance(mine, runner, project, project.commit(hello="x = 2\n"))
    forced = run_git(project.directory, "rev-parse", "HEAD")
    run_git(
        project.directory,
        "push",
        "--quiet",
        "--force",
        str(served / "project.git"),
        f"{forced}:refs/heads/dags-live",
    )
    with pytest.raises(git_remote.Rewritten, match="somebody has forced it"):
        mine.refresh(runner)
    assert mine.head(runner).commit == known.commit


def test_a_branch_that_was_deleted_comes_back_with_the_next_version(server, mine, runner, project, served):
    known = advance(mine, runner, project, project.commit(hello="x = 2\n"))
    run_git(served / "project.git", "update-ref", "-d", "refs/heads/dags-live")
    assert advance(mine, runner, project, project.commit(hello="x = 3\n")).parent == known.commit


def test_a_hook_of_the_user_sees_no_token(server, mine, runner, project, tmp_path, monkeypatch):
    hook = tmp_path / "hooks" / "pre-push"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\nexit 1\n")
    hook.chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\n\thooksPath = {hook.parent}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    advance(mine, runner, project, project.commit(hello="x = 2\n"))
    assert not (tmp_path / "seen").exists()


def test_branches_that_only_begin_like_ours_are_nothing_to_us(server, mine, runner, project, served):
    known = advance(mine, runner, project, project.commit(hello="x = 2\n"))
    target = str(served / "project.git")
    for revision in ("HEAD", "HEAD~1"):
        words = ("push", "--quiet", "--force", target, f"{revision}:refs/heads/dags-live-patch-1")
        run_git(project.directory, *words)
        mine.refresh(runner)
    assert mine.head(runner).commit == known.commit
    assert "patch" not in run_git(mine.repository, "branch", "--list")
