"""The entry point of Airflow's images."""

from __future__ import annotations

import json

import pytest

from tests.images import conftest

FOLDER = "/run/airflow/environment"


@pytest.fixture
def run(images, containers):
    """How a command ends, and what it prints."""

    def run(*command, **options):
        options = {"network": "none", **options}
        return conftest.ran(containers.start(images.images["airflow-base"].id, *command, **options))

    return run


def test_secrets_come_as_files_and_do_not_show(images, containers):
    value = 'with spaces, "quotes" and\ntwo lines\n'
    container = containers.start(
        images.images["airflow-base"].id, "python", "-c", "import os; print(repr(os.environ['A_SECRET']))",
        files={f"{FOLDER}/A_SECRET": value}, network="none",
    )  # fmt: skip
    assert conftest.ran(container) == (0, f"{value.rstrip(chr(10))!r}\n")
    container.reload()
    assert "two lines" not in json.dumps(container.attrs)


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (("version",), "3.3.2\n"),
        (("airflow", "version"), "3.3.2\n"),
        ((), "3.3.2\n"),
        (("bash", "-c", "exec airflow version"), "3.3.2\n"),
        (("echo", "a word"), "a word\n"),
        (("python", "-c", "print('python')"), "python\n"),
    ],
)
def test_commands(run, command, printed):
    assert run(*command) == (0, printed)


def test_a_failing_command_s_code_is_the_container_s(run):
    assert run("bash", "-c", "exit 7")[0] == 7


@pytest.mark.parametrize(("user", "name"), [("50000:0", "airflow"), ("1000660000:0", "default")])
def test_every_user_has_a_name_a_home_and_may_write_for_the_group(run, user, name):
    script = "whoami; umask; cd; pwd; touch x; stat -c '%U %g' x; git config --global user.name n && echo git"
    code, said = run("bash", "-c", script, user=user)
    assert (code, said.split()) == (0, [name, "0002", "/home/airflow", name, "0", "git"])


def test_a_user_of_another_group_runs_without_a_name(run):
    code, said = run("bash", "-c", "id -u", user="4242:4242")
    assert (code, said.split()[-1]) == (0, "4242")


def test_orphans_are_reaped_and_signals_passed_on(images, containers):
    container = containers.start(images.images["airflow-base"].id, "sleep", "300", network="none")

    def has_started():
        titles = [row[-1] for row in container.top()["Processes"]]
        return "sleep 300" in titles and any(each.startswith("/usr/bin/tini") for each in titles)

    conftest.wait_until(has_started, "tini and its program run")
    container.stop(timeout=10)
    assert container.wait()["StatusCode"] == 143
