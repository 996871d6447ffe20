"""`inv dags-check` from the command line to the answer, on a check that was told its result."""

import itertools
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

from airflow_platform import errors
from airflow_platform.config import load
from airflow_platform.dags.check import commit_check
from airflow_platform.dags.check.findings import Checked, Finding, ParsedDag, ParsedFile
from airflow_platform.tools.git import git

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())
FILES = (
    ParsedFile("a.py", (ParsedDag("a", 5, ("tenant:all",), "team"),), ("sql/x.sql",)),
    ParsedFile("b.py", (), ()),
)
ERROR = Finding("dags/a.py", 3, "import-error", "ValueError: no", "Mend it.", "error")
WARNING = Finding("dags/b.py", 1, "no-dags", "Nothing.", "Ignore it.", "warning")


class Told:
    """A check that was told its findings, and what it was asked."""

    def __init__(self):
        self.findings = ()
        self.asked = {}
        self.uncommitted = ()
        self.tree = ""
        self.lasts = True
        self.times = 0

    def find_out(self, commit, against, *, progress, **rest):
        self.times += 1
        self.asked = {
            "commit": commit,
            "environments": sorted({each.environment for each in against.tenants}),
            "declared": set(against.declared),
        }
        progress("importing 1 of 2 files")
        checked = Checked(commit.sha, commit.tree, FILES, self.findings, imported=1)
        return checked, self.lasts


@pytest.fixture
def told(monkeypatch):
    made = Told()
    trees = itertools.count()
    monkeypatch.setattr(commit_check, "find_out", made.find_out)
    monkeypatch.setattr(git, "uncommitted", lambda *_: made.uncommitted)

    def resolve(runner, checkout, ref, folder):
        """Another version each time, unless a test says which."""
        return git.Commit(ref.lower() * 10, made.tree or f"cafe{next(trees):036}")

    monkeypatch.setattr(git, "resolve", resolve)
    return made


def test_no_finding_is_exit_0_and_figures(told, command):
    code, out, err = command("dags-check")
    assert code == 0
    assert out.startswith(
        "dags-check headheadhead (version cafe00000000): 0 errors, 0 warnings: 1 DAG in 2 files, 1 imported, "
    )
    assert err == "importing 1 of 2 files\n"


def test_an_error_is_exit_1_and_a_warning_is_not(told, command):
    told.findings = (ERROR, WARNING)
    code, out, _ = command("dags-check")
    assert code == 1
    assert "dags/a.py:3: import-error: ValueError: no\n    Mend it.\n" in out
    assert "1 error, 1 warning" in out
    told.findings = (WARNING,)
    assert command("dags-check")[0] == 0


def test_uncommitted_files_are_counted(told, command):
    told.uncommitted = ("dags/new.py", "dags/a.py")
    assert "2 files under dags/ not committed, so not checked." in command("dags-check")[1]


def test_all_environments_are_considered_or_those_that_are_named(told, command):
    command("dags-check")
    assert told.asked["environments"] == ["boxes", "cloud", "prod", "sandbox"]
    command("dags-check", "--env=sandbox", "--env=prod", "--ref=main")
    assert told.asked["environments"] == ["prod", "sandbox"]
    assert told.asked["declared"] == {"analytics", "finance"}
    assert told.asked["commit"].sha == "main" * 10


def test_json_is_the_envelope(told, command):
    told.findings, told.uncommitted = (ERROR,), ("dags/new.py",)
    code, out, _ = command("dags-check", "--json")
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    assert (code, document["exit_code"], document["status"], document["environment"]) == (
        1,
        1,
        "findings",
        None,
    )
    data = document["data"]
    assert data["findings"] == [
        {"file": "dags/a.py", "line": 3, "rule": "import-error", "message": "ValueError: no", "remedy": "Mend it.",
         "severity": "error", "tenants": [], "about": ""}
    ]  # fmt: skip
    assert data["files"][0] == {
        "path": "a.py", "needs": ["sql/x.sql"],
        "dags": [{"id": "a", "line": 5, "tags": ["tenant:all"], "owner": "team"}],
    }  # fmt: skip
    assert (data["uncommitted"], data["imported"]) == (["dags/new.py"], 1)


def test_reports_for_ci_are_written(told, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told.findings = (ERROR, WARNING)
    code, _, _ = command("dags-check", "--junit=one.xml", f"--code-quality={tmp_path}/new/two.json")
    assert code == 1
    assert {case.get("name") for case in ET.parse("one.xml").iter("testcase")} == {"dags/a.py", "dags/b.py"}
    assert [each["check_name"] for each in json.loads((tmp_path / "new" / "two.json").read_text())] == [
        "import-error",
        "no-dags",
    ]


def test_a_report_that_cannot_be_written_is_an_error_that_names_it(told, command, tmp_path):
    (tmp_path / "file").write_text("")
    told.findings = (ERROR,)
    code, out, err = command("dags-check", f"--junit={tmp_path}/file/one.xml")
    assert code == 1
    assert f"{tmp_path}/file" in err
    assert str(ERROR) in out


def test_with_json_a_report_that_cannot_be_written_is_a_fault_beside_the_findings(told, command, tmp_path):
    (tmp_path / "file").write_text("")
    for findings, status in (((ERROR,), "findings"), ((), "failed")):
        told.findings = findings
        code, out, _ = command("dags-check", "--json", f"--code-quality={tmp_path}/file/two.json")
        document = json.loads(out)
        jsonschema.validate(document, SCHEMA)
        assert (code, document["exit_code"], document["status"]) == (1, 1, status)
        assert f"{tmp_path}/file" in str(document["faults"])
        assert len(document["data"]["findings"]) == len(findings)


def test_an_unknown_revision_or_environment_is_exit_2(command, monkeypatch):
    def nothing(*_):
        raise git.NoCommit("There is no revision 'x'.", hint="Fetch it, or name another.")

    monkeypatch.setattr(git, "resolve", nothing)
    code, _, err = command("dags-check", "--ref=x")
    assert (code, "There is no revision 'x'. Fetch it" in err) == (2, True)
    assert command("dags-check", "--env=nowhere")[0] == 2


def test_a_known_version_is_not_checked_and_no_spec_is_read(told, command, environments, monkeypatch):
    told.tree, told.findings = "c" * 40, (ERROR,)
    first = command("dags-check")
    monkeypatch.setattr(load, "environment", None)
    again = command("dags-check")
    assert (first[0], again[0], told.times) == (1, 1, 1)
    assert again[1].startswith("dags/a.py:3: import-error")
    assert "0 imported" in again[1]


def test_what_decides_about_a_result_is_part_of_what_is_known(told, command, environments):
    told.tree = "c" * 40
    path = environments / "boxes.toml"
    command("dags-check")
    command("dags-check", "--env=sandbox")
    assert told.times == 2
    path.write_text(path.read_text() + "# A comment says nothing.\n")
    command("dags-check")
    assert told.times == 2
    path.write_text(path.read_text().replace("analytics", "renamed"))
    command("dags-check")
    assert told.times == 3
    assert "renamed" in told.asked["declared"]
    told.tree = "d" * 40
    command("dags-check")
    assert told.times == 4


def test_a_result_that_may_be_the_machines_fault_is_not_kept(told, command):
    told.tree = "c" * 40
    told.findings, told.lasts = (ERROR,), False
    for _ in range(2):
        assert command("dags-check")[0] == 1
    assert told.times == 2


def test_where_nothing_is_declared_there_is_nobody_to_check_for(command, environments):
    for path in environments.glob("*.toml"):
        path.unlink()
    code, _, err = command("dags-check")
    assert code == 2
    assert "No environment is declared" in err


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (
            errors.PreflightError(
                "Airflow's packages are needed.", [errors.Fault("uv", "Missing.", "Get it.")]
            ),
            4,
        ),
        (errors.ProgramError("the worker", 1, (), message="The worker ended."), 1),
        (errors.Interrupted(2, "SIGINT"), 130),
    ],
)
def test_what_stops_a_check_has_its_exit_code(told, command, monkeypatch, raised, code):
    def find_out(*_, **__):
        raise raised

    monkeypatch.setattr(commit_check, "find_out", find_out)
    assert command("dags-check")[0] == code
