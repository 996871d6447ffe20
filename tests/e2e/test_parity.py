"""One DAG version everywhere, on real Airflow: brought to two environments, proved, skewed, taken back."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from installations import DAG, Installation, Ran, git, wait_until

from airflow_platform.config import state_files

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

SYNCED = """
runtime = "process"
process = { ports = { first = 18580, last = 18599 } }

[[tenants]]
name = "analytics"
snowflake = { database = "ANALYTICS_SYNCED", warehouse = "W", role = "R" }
variables = { orders_schema = "MARTS" }
pools = [{ name = "snowflake", slots = 2 }]
"""
"""A second environment."""

ONLY_IN_FINANCE = """
if os.environ.get("AIRFLOW__API__INSTANCE_NAME") == "finance":
    raise RuntimeError("not here")
"""
"""What only one tenant cannot import: no check before can find it."""


class Project:
    """The clone with both environments, and what is done in it."""

    def __init__(self, sandbox: Installation) -> None:
        self.sandbox = sandbox
        (sandbox.checkout / "environments" / "synced.toml").write_text(SYNCED)
        left_out = (f"environments/{name}.toml" for name in ("dev", "stage", "prod"))
        # What other tests have served here breaks rules on purpose.
        git(sandbox.checkout, "rm", "--quiet", "--ignore-unmatch", *left_out, "dags/reads_a_file.py")
        git(sandbox.checkout, "add", "environments")
        git(sandbox.checkout, "commit", "--quiet", "--message", "Two environments of processes")

    def commit(self, version: str, *, name: str = "parity", extra: str = "") -> str:
        """Commit one DAG."""
        path = self.sandbox.checkout / "dags" / f"{name}.py"
        path.write_text(DAG.format(name=name, version=version, extra=extra))
        git(self.sandbox.checkout, "add", "dags")
        git(self.sandbox.checkout, "commit", "--quiet", "--message", f"Version {version}")
        return self.sandbox.commit()

    def inv(self, *words: str) -> Ran:
        return self.sandbox.inv(*words)

    def sync(self, *words: str) -> Ran:
        ran = self.inv("dags-sync", "--json", *words)
        assert ran.code == 0, ran.stderr
        return ran

    def status(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code, and each tenant by name."""
        ran = self.inv("dags-status", "--json", *words)
        tenants = ran.report["data"]["tenants"]
        return ran.code, {f"{each['environment']}/{each['tenant']}": each for each in tenants}

    def tree(self, commit: str) -> str:
        return git(self.sandbox.checkout, "rev-parse", f"{commit}:dags").strip()

    def branch(self, *words: str) -> str:
        return git(self.sandbox.state / "_dags" / "branch.git", *words).strip()

    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.branch("show", "dags-ledger:ledger.jsonl").splitlines()]


EVERYWHERE = {"sandbox/analytics", "sandbox/finance", "synced/analytics"}


@pytest.fixture(scope="module")
def project(sandbox: Installation) -> Project:
    made = Project(sandbox)
    ran = made.inv("tenant-up", "--env=synced")
    assert ran.code == 0, ran.stderr
    return made


def test_a_version_is_brought_to_every_tenant_and_proved(project):
    commit = project.commit("one")
    planned = project.inv("dags-sync", "--plan", "--json")
    assert planned.code == 3
    differences = planned.report["data"]["differences"]
    assert differences.keys() == EVERYWHERE
    assert all(each["added"] == ["parity"] for each in differences.values())
    assert project.status()[1]["sandbox/finance"]["version"] != project.tree(commit), "a plan changes nothing"
    project.sync()
    code, tenants = project.status(f"--ref={commit}")
    assert code == 0
    assert tenants.keys() == EVERYWHERE
    assert {each["version"] for each in tenants.values()} == {project.tree(commit)}
    assert {each["source"] for each in tenants.values()} == {commit}
    entry = project.ledger()[-1]
    assert (entry["source"], entry["version"], entry["result"]) == (commit, project.tree(commit), "served")
    assert entry["environments"]["synced"] == {"analytics": "served"}
    assert set(project.sync().steps().values()) == {"unchanged"}
    assert project.ledger()[-1] == entry, "what changed nothing is no entry"


def test_a_task_runs_the_version_that_is_served(project):
    client = project.sandbox.client("analytics")
    client.set_paused("parity", paused=False)
    ended = client.wait_for_run("parity", client.trigger("parity").id, timeout=180)
    assert ended.state == "success", client.failure("parity", ended.id)
    assert ended.version == project.branch("rev-parse", "dags-live")


def test_a_skew_made_by_hand_is_found_and_mended(project):
    place = state_files.EnvironmentFiles(project.sandbox.state / "sandbox")
    head = project.branch("rev-parse", "dags-live")
    older = git(project.sandbox.checkout, "rev-parse", "HEAD~1").strip()
    git(place.repository, "fetch", "--quiet", str(project.sandbox.checkout), older)
    git(place.repository, "update-ref", "refs/heads/served", older)
    was, both = project.tree(older), ("sandbox/analytics", "sandbox/finance")

    def skewed() -> bool:
        """Both: one that is about to fetch the older commit would get there after it was mended."""
        code, tenants = project.status()
        return code == 3 and all(tenants[name]["version"] == was for name in both)

    wait_until(skewed, "the skew is found")
    ran = project.inv("dags-status")
    assert "sandbox/analytics: It serves" in ran.stdout
    assert "synced/analytics: It serves" not in ran.stdout, "only who lags is named"
    project.sync()
    ran = project.inv("dags-status")
    assert ran.code == 0, ran.stdout
    assert project.branch("rev-parse", "dags-live") == head, "the branch was right all the time"


def test_a_bad_dag_never_moves_the_branch(project):
    head = project.branch("rev-parse", "dags-live")
    project.commit("bad", extra="import package_of_nobody")
    ran = project.inv("dags-sync")
    assert ran.code == 1
    assert "dags/parity.py" in ran.text
    assert "package_of_nobody" in ran.text
    assert project.branch("rev-parse", "dags-live") == head
    assert project.status()[0] == 0
    git(project.sandbox.checkout, "reset", "--quiet", "--hard", "HEAD~1")


def test_what_only_one_tenant_cannot_import_is_named_and_undone_everywhere(project):
    good = project.sandbox.commit()
    project.commit("two", extra=ONLY_IN_FINANCE)
    ran = project.inv("dags-sync", "--rollback-on-error")
    assert ran.code == 1
    assert "sandbox/finance" in ran.text
    assert "parity.py: RuntimeError: not here" in ran.text
    assert "Rolled back everywhere" in ran.text
    code, tenants = project.status(f"--ref={good}")
    assert code == 0, tenants
    assert [entry["result"] for entry in project.ledger()[-2:]] == ["not served everywhere", "served"]
    assert project.ledger()[-1]["task"] == "dags-rollback"
    git(project.sandbox.checkout, "reset", "--quiet", "--hard", "HEAD~1")


def test_a_module_that_only_one_tenant_cannot_import_is_undone_everywhere(project):
    """The file that fails never changes: Airflow would not come to it again for minutes."""
    helping = project.sandbox.checkout / "dags" / "helping.py"
    helping.write_text("VALUE = 1\n")
    good = project.commit("with a module", extra="import helping")
    project.sync()
    helping.write_text(f"import os\n{ONLY_IN_FINANCE}")
    git(
        project.sandbox.checkout,
        "commit",
        "--quiet",
        "--all",
        "--message",
        "A module that is bad in one tenant",
    )
    ran = project.inv("dags-sync", "--rollback-on-error")
    assert ran.code == 1
    assert "RuntimeError: not here" in ran.text
    assert "Rolled back everywhere" in ran.text
    code, tenants = project.status(f"--ref={good}")
    assert code == 0, tenants
    git(project.sandbox.checkout, "reset", "--quiet", "--hard", "HEAD~1")


def test_a_tenant_that_is_down_holds_nobody_up_and_catches_up(project):
    assert project.inv("tenant-down", "--env=sandbox", "--tenant=finance").code == 0
    commit = project.commit("three")
    ran = project.sync()
    states = {each["name"]: each["status"] for each in ran.report["tenants"]}
    assert states == dict.fromkeys(EVERYWHERE - {"sandbox/finance"}, "served") | {"sandbox/finance": "down"}
    code, tenants = project.status()
    assert (code, tenants["sandbox/finance"]["state"]) == (0, "down")
    assert project.inv("tenant-up", "--env=sandbox", "--tenant=finance").code == 0
    code, tenants = project.status(f"--ref={commit}")
    assert (code, tenants["sandbox/finance"]["version"]) == (0, project.tree(commit))


def test_tenant_up_serves_the_branch_and_says_that_head_is_ahead(project):
    served = project.tree(project.sandbox.commit())
    project.commit("four")
    ran = project.sandbox.up("--tenant=analytics")
    (repository,) = [each for each in ran.report["steps"] if each["name"] == "dag-repository"]
    assert repository["status"] == "unchanged"
    assert "HEAD has other DAGs: `inv dags-sync` brings them everywhere" in repository["reason"]
    assert project.status()[1]["sandbox/analytics"]["version"] == served
    project.sync()


def test_a_rollback_goes_to_the_last_good_version_forward(project):
    before = int(project.branch("rev-list", "--count", "dags-live"))
    last = project.tree(git(project.sandbox.checkout, "rev-parse", "HEAD~1").strip())
    ran = project.inv("dags-rollback")
    assert ran.code == 0, ran.stderr
    code, tenants = project.status()
    assert code == 0
    assert {each["version"] for each in tenants.values()} == {last}
    assert int(project.branch("rev-list", "--count", "dags-live")) == before + 1
    ran = project.inv("dags-rollback", f"--to={project.sandbox.commit()[:10]}")
    assert ran.code == 0, ran.stderr
    assert project.status(f"--ref={project.sandbox.commit()}")[0] == 0
    wrong = project.inv("dags-rollback", "--to=abcdef")
    assert wrong.code == 2
    assert "No version that was synced is called 'abcdef'" in wrong.text


def test_a_dag_that_gets_another_name_in_its_file_is_there_and_the_old_one_gone(project):
    path = project.sandbox.checkout / "dags" / "parity.py"
    before = path.read_text()
    path.write_text(DAG.format(name="parity_by_another_name", version="renamed", extra=""))
    git(project.sandbox.checkout, "commit", "--quiet", "--all", "--message", "Another name")
    project.sync()
    there = {dag.id for dag in project.sandbox.client("finance").dags() if not dag.stale}
    assert "parity_by_another_name" in there
    assert "parity" not in there
    path.write_text(before)
    git(project.sandbox.checkout, "commit", "--quiet", "--all", "--message", "The name that it had")
    project.sync()
    assert project.status("--ref=HEAD")[0] == 0


def test_a_sync_that_is_killed_in_each_of_its_steps_is_taken_up_by_the_next(project, tmp_path):
    commit = project.commit("killed")
    assert killed_in(project, tmp_path, "dags-sync") == {
        "dag-branch",
        "delivery",
        "serving",
    }
    code, tenants = project.status(f"--ref={commit}")
    assert code == 0, tenants
    entry = project.ledger()[-1]
    assert (entry["source"], entry["result"]) == (commit, "served")
    assert set(project.sync().steps().values()) == {"unchanged"}


def test_a_rollback_that_is_killed_in_each_of_its_steps_goes_on_where_it_went(project, tmp_path):
    good = project.commit("good")
    project.sync()
    project.commit("bad")
    project.sync()
    assert killed_in(project, tmp_path, "dags-rollback") == {
        "dag-branch",
        "delivery",
        "serving",
    }
    code, tenants = project.status(f"--ref={good}")
    assert code == 0, tenants
    entry = project.ledger()[-1]
    assert (entry["task"], entry["version"], entry["result"]) == (
        "dags-rollback",
        project.tree(good),
        "served",
    )


def killed_in(project: Project, directory: Path, task: str) -> set[str]:
    """The steps in which a task was killed until it had done its work."""
    return project.sandbox.kill_in_each_step(directory / "ended", task, most=20, timeout=120)


def test_two_machines_that_sync_at_once_both_get_there(project, tmp_path):
    remote = tmp_path / "shared.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    machines = [_machine(project, tmp_path / name, remote, name) for name in ("left", "right")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        ended = list(pool.map(_sync_on, machines))
    assert [each.returncode for each in ended] == [1, 1], [each.stderr for each in ended]
    for each in ended:
        assert "None is up, so nothing was proved" in " ".join(each.stderr.split()), each.stderr
    assert git(remote, "rev-list", "--count", "dags-live").strip() == "2"
    sources = set(git(remote, "log", "--format=%(trailers:key=Source-Commit,valueonly)", "dags-live").split())
    assert sources == {git(each, "rev-parse", "HEAD").strip() for each in machines}
    assert len(git(remote, "show", "dags-ledger:ledger.jsonl").splitlines()) == 2


def _machine(project: Project, directory: Path, remote: Path, version: str) -> Path:
    """Another clone with state of its own, whose branch is in a shared repository."""
    git(directory.parent, "clone", "--quiet", "--local", str(project.sandbox.checkout), str(directory))
    (directory / "dags.toml").write_text(f'[branch.remote]\nurl = "{remote}"\n')
    (directory / "dags" / "parity.py").write_text(DAG.format(name="parity", version=version, extra=""))
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", version)
    return directory


def _sync_on(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "AIRFLOW_PLATFORM_STATE": f"{checkout}-state"}
    argv = [sys.executable, "-m", "airflow_platform.tasks", "dags-sync", "--env=sandbox"]
    return subprocess.run(
        argv, env=environment, cwd="/", capture_output=True, text=True, timeout=120, check=False
    )
