"""What CI runs is what there is: sessions, tasks and flags by their names, jobs that find what they need."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_platform.tasks import collection

ROOT = Path(__file__).parents[1]
NOXFILE = (ROOT / "noxfile.py").read_text()
SESSIONS = set(re.findall(r"^def ([a-z]\w*)\(session", NOXFILE, re.MULTILINE))
BY_HAND = {"benchmarks", "lock"}
"""What is run by whoever wants figures, or other versions."""

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
JOBS: dict[str, dict[str, Any]] = {
    name: job for name, job in PIPELINE.items() if isinstance(job, dict) and "script" in job
}


def sessions_of(command: str) -> list[str]:
    """The sessions that a command line names."""
    found = re.search(r"(?:-s|--sessions) +([\w ]+)", command)
    return found[1].split() if found else []


def everything() -> str:
    """What .ci/run does when it is told nothing."""
    text = (ROOT / ".ci" / "run").read_text().replace("\\\n", "")
    return next(line for line in text.splitlines() if "set -- --sessions" in line)


def test_ci_runs_every_session_once() -> None:
    named = sessions_of(everything())
    assert len(named) == len(set(named))
    assert set(named) == SESSIONS - BY_HAND


def test_the_jobs_together_run_every_session() -> None:
    named = [name for job in JOBS.values() for line in job["script"] for name in sessions_of(line)]
    assert sorted(named) == sorted(sessions_of(everything()))


def test_who_needs_an_engine_says_so_to_the_run_and_to_the_user() -> None:
    tagged = re.findall(r'tags=\["engine"\]\)\ndef (\w+)\((.*?)(?=\n\n\n)', NOXFILE, re.DOTALL)
    assert {name for name, _ in tagged} == {"images", "registry", "integration", "contracts"}
    assert all("_require_engine(session)" in body for _, body in tagged)
    assert NOXFILE.count("_require_engine(session)\n") == len(tagged)


def test_packages_are_for_sessions_that_exist() -> None:
    lines = (ROOT / "scripts" / "debian-packages.txt").read_text().splitlines()
    listed = [line for line in lines if not line.startswith("#")]
    assert listed
    for line in listed:
        match = re.fullmatch(r"[a-z0-9.+-]+ +# ([\w ]+): \S.*", line)
        assert match, line
        assert set(match[1].split()) <= SESSIONS | {"engine"}, line


def test_whoever_builds_images_has_what_makes_their_base() -> None:
    listed = (ROOT / "scripts" / "debian-packages.txt").read_text()
    match = re.search(r"^mmdebstrap +# ([\w ]+):", listed, re.MULTILINE)
    assert match
    bodies = re.findall(r"^def (\w+)\(session(.*?)(?=\n\n\n)", NOXFILE, re.DOTALL | re.MULTILINE)
    build = {name for name, body in bodies if '"scripts/inv", "build"' in body}
    assert set(match[1].split()) == build


@pytest.mark.parametrize("name", JOBS)
def test_a_job_finds_what_it_needs(name: str) -> None:
    job = JOBS[name]
    stages = PIPELINE["stages"]
    assert job["stage"] in stages
    extended = job.get("extends", [])
    for each in [extended] if isinstance(extended, str) else extended:
        assert each.startswith(".")
        assert each in PIPELINE
    for each in job.get("needs", []):
        assert stages.index(JOBS[each]["stage"]) <= stages.index(job["stage"])


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_commands_that_exist(name: str) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    for line in JOBS[name]["script"]:
        door, *words = shlex.split(line)
        assert (ROOT / door).stat().st_mode & 0o100
        if door == "scripts/inv":
            assert words[0] in collection.namespace.task_names
            section = reference.partition(f"### inv {words[0]}\n")[2].partition("\n### ")[0]
            for flag in words[1:]:
                assert f"`{flag.partition('=')[0]}" in section, flag
        else:
            assert set(sessions_of(line)) <= SESSIONS


def test_images_reach_production_only_by_hand_and_after_all_tests() -> None:
    push, promote = JOBS["push"], JOBS["promote"]
    assert set(push["needs"]) == {"build", "checks", "integration"}
    assert promote["needs"] == ["push"]
    assert [rule["when"] for rule in promote["rules"]] == ["manual"]
    for job in (push, promote):
        assert all("$CI_DEFAULT_BRANCH" in rule["if"] for rule in job["rules"])
        assert job["interruptible"] is False
    assert "build/images.json" in JOBS["build"]["artifacts"]["paths"]
    assert "build/pushed" in push["artifacts"]["paths"]


def failures_in(directory: Path, **reports: str) -> str:
    """What .ci/failures.py prints in a checkout with these reports."""
    for name, text in reports.items():
        report = directory / "build" / "reports" / f"{name}.xml"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(text)
    (directory / ".ci").mkdir(exist_ok=True)
    program = shutil.copy(ROOT / ".ci" / "failures.py", directory / ".ci")
    return subprocess.run([sys.executable, "-P", program], capture_output=True, text=True, check=True).stdout


def test_what_failed_is_the_last_thing_that_a_log_says(tmp_path: Path) -> None:
    passed = '<testcase classname="tests.test_a" name="test_good"/>'
    failed = '<testcase classname="tests.test_b" name="test_bad"><failure message="m">{}</failure></testcase>'
    error = '<testcase classname="tests.test_c" name="test_set_up"><error message="no server"/></testcase>'
    said = failures_in(
        tmp_path,
        tests=f"<testsuites><testsuite>{passed}</testsuite></testsuites>",
        dags=f"<testsuites><testsuite>{failed.format(chr(10).join(map(str, range(99))))}{error}</testsuite></testsuites>",
        images="<testsuites><testsuite>",
    )
    assert "test_good" not in said
    assert "--- dags: tests.test_b::test_bad\n59\n" in said
    assert "\n98\n" in said
    assert "--- dags: tests.test_c::test_set_up\nno server\n" in said
    assert "--- images: images.xml\nthe report cannot be read: " in said


def test_a_run_without_reports_says_nothing_of_failures(tmp_path: Path) -> None:
    assert failures_in(tmp_path) == ""
