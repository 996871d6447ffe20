"""The command line with a branch on a server: rights, tokens, and a server that is away, as whoever types it sees them."""

from __future__ import annotations

import json

import http_server
import pytest
from conftest import READER, TOKEN, head_of, run_git

from airflow_platform.config import paths
from tests.tasks import conftest as of_tasks
from tests.tasks import dag_scene

command, environments = of_tasks.command, of_tasks.environments

UP = ("sandbox/analytics", "sandbox/finance", "boxes/analytics")


@pytest.fixture
def scene(tmp_path, monkeypatch, environments, server):
    monkeypatch.setenv("DAGS_TOKEN", TOKEN)
    monkeypatch.setenv("GITLAB_USER_NAME", "Ann Example")
    monkeypatch.setenv("GITLAB_USER_EMAIL", "ann@example.com")
    place = tmp_path / "scene"
    place.mkdir()
    with dag_scene.served(place, monkeypatch, *UP) as made:
        paths.project().dags_file.write_text(
            f'[branch.remote]\nurl = "{server.url}/project.git"\ntoken = {{ env = "DAGS_TOKEN" }}\n'
        )
        yield made


def test_a_version_gets_to_the_server_and_says_who_brought_it(scene, command, served):
    version = scene.project.commit({"orders.py": "x = 2"})
    code, _, err = command("dags-sync")
    assert code == 0, err
    server_ = served / "project.git"
    assert run_git(server_, "rev-parse", "dags-live:dags") == version.tree
    assert run_git(server_, "log", "--format=%an <%ae>", "dags-live") == "Ann Example <ann@example.com>"
    (entry,) = run_git(server_, "show", "dags-ledger:ledger.jsonl").splitlines()
    assert json.loads(entry)["who"] == "Ann Example <ann@example.com>"
    code, out, _ = command("dags-status")
    assert (code, "equal: 3 tenants" in out) == (0, True)


@pytest.mark.parametrize(
    ("token", "says"), [(READER, "is for tenants, not for syncs"), ("glpat-expired", "has expired")]
)
def test_a_token_without_the_right_is_exit_6_and_moves_nothing(
    scene,
    command,
    served,
    monkeypatch,
    token,
    says,
):
    monkeypatch.setenv("DAGS_TOKEN", token)
    scene.project.commit({"orders.py": "x = 2"})
    code, out, err = command("dags-sync")
    assert code == 6
    assert says in " ".join(err.split())
    assert token not in out + err
    assert head_of(served) == ""


def test_without_its_token_a_sync_is_exit_4_and_tells_which(scene, command, monkeypatch):
    monkeypatch.delenv("DAGS_TOKEN")
    code, _, err = command("dags-sync")
    assert code == 4
    assert "DAGS_TOKEN" in err


def test_a_server_that_is_away_is_noted_and_tenants_are_told_of(scene, command, server):
    scene.project.commit({"orders.py": "x = 2"})
    assert command("dags-sync")[0] == 0
    server.faults.append(http_server.Fault("git-upload-pack", times=99, status=503))
    code, out, _ = command("dags-status")
    assert code == 0, out
    assert "the branch as last known: " in out
    assert "equal: 3 tenants" in out
    version = scene.project.commit({"orders.py": "x = 3"})
    code, _, err = command("dags-sync")
    assert code == 1
    assert "503" in err
    assert version.tree not in out
