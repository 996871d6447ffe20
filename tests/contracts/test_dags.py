"""One DAG version for all tenants, on every runtime: brought, proved, skewed by hand, mended, taken back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from installations import DAG, TENANTS, Installation, git, wait_until


@dataclasses.dataclass
class Delivered:
    """The installation with DAGs that are synced."""

    installed: Installation

    def commit(self, version: str) -> str:
        """Commit the DAG; returns the tree of all DAGs."""
        checkout = self.installed.checkout
        (checkout / "dags" / "synced.py").write_text(DAG.format(name="synced", version=version, extra=""))
        git(checkout, "add", "dags")
        git(checkout, "commit", "--quiet", "--message", f"Version {version}")
        return git(checkout, "rev-parse", "HEAD:dags").strip()

    def run(self, *words: str) -> None:
        """A command that must succeed."""
        ran = self.installed.inv(*words)
        assert ran.code == 0, f"{ran.stdout}\n{ran.stderr}"

    def status(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """The exit code of `dags-status`, and what each tenant serves."""
        ran = self.installed.inv("dags-status", "--json")
        return ran.code, {each["tenant"]: each for each in ran.report["data"]["tenants"]}

    def versions(self) -> set[str]:
        """What tenants serve, which must be one version."""
        code, tenants = self.status()
        assert code == 0, tenants
        assert tenants.keys() == set(TENANTS)
        return {each["version"] for each in tenants.values()}


@pytest.fixture(scope="module")
def delivered(installed) -> Delivered:
    """Tenants, and no environment but theirs."""
    others = [path.name for path in (installed.checkout / "environments").glob("*.toml")]
    others.remove(installed.spec.name)
    for name in others:
        git(installed.checkout, "rm", "--quiet", f"environments/{name}")
    # What other tests have served here breaks rules on purpose.
    git(installed.checkout, "rm", "--quiet", "--ignore-unmatch", "dags/asks_the_impossible.py")
    installed.up()
    return Delivered(installed)


def test_a_version_is_brought_to_every_tenant_and_its_tasks_run_it(delivered):
    version = delivered.commit("one")
    delivered.run("dags-sync")
    assert delivered.versions() == {version}
    client = delivered.installed.client("finance")
    client.set_paused("synced", paused=False)
    run = client.wait_for_run("synced", client.trigger("synced").id, timeout=120)
    assert run.state == "success", client.failure("synced", run.id)
    assert delivered.installed.identities("finance").keys() >= delivered.installed.components


def test_a_skew_made_by_hand_is_found_and_mended(delivered):
    version, place = delivered.commit("two"), delivered.installed.place
    delivered.run("dags-sync")
    older = git(place.repository, "rev-parse", "served~1").strip()
    git(place.repository, "update-ref", "refs/heads/served", older)

    def skewed() -> bool:
        code, tenants = delivered.status()
        return code == 3 and all(each["version"] != version for each in tenants.values())

    wait_until(skewed, "the skew is found")
    delivered.run("dags-sync")
    assert delivered.versions() == {version}


def test_a_version_is_taken_back_everywhere(delivered):
    good = next(iter(delivered.versions()))
    delivered.commit("three")
    delivered.run("dags-sync")
    assert delivered.versions() != {good}
    delivered.run("dags-rollback")
    assert delivered.versions() == {good}
