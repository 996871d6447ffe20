"""Documentation says what the code says, and everything that a user can type or set is in it."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
import typing
from pathlib import Path

import pytest
import yaml

from airflow_platform.config import components, specs
from airflow_platform.dags.check.rules import catalogue
from airflow_platform.errors import ExitCode
from airflow_platform.runtimes.docker import manifest
from airflow_platform.tasks import collection

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
REFERENCE = ROOT / "docs" / "reference.md"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert REFERENCE.read_text() == reference.page(), "scripts/nox -s docs -- --write"


def test_the_reference_has_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| \S", REFERENCE.read_text(), re.MULTILINE)
    assert rows == [str(code.value) for code in ExitCode]


@pytest.mark.parametrize(
    "row",
    [
        "| `cpus` | number | `2.0` |",
        "| `import_seconds` | number | `2.0` |",
        "| `ports` | PortRange | `18080` to `18279` |",
        "| `images` | list of text | `airflow-base`, `api-server`, ",
        "| `--lines=...` | How many of the last lines of each log. By default 20. |",
        "| `--lock-timeout=...` | Seconds to wait for the environment's lock. By default 60. |",
        "| `--ref=...` | What to check: a commit, branch or tag of this repository. By default HEAD. |",
        *(f"| `{name}` | {memory} |" for name, memory in manifest.MEMORY.items()),
    ],
)
def test_the_reference_has_defaults_of_every_kind(row: str) -> None:
    assert f"\n{row}" in REFERENCE.read_text()


def test_every_container_has_limits_by_default() -> None:
    assert set(manifest.MEMORY) == set(typing.get_args(components.Name))
    assert specs.Limits(memory=16).cpus == manifest.CPUS


@pytest.mark.parametrize("name", sorted(collection.namespace.task_names))
def test_every_task_is_in_the_reference(name: str) -> None:
    assert f"### inv {name}\n" in REFERENCE.read_text()


def test_every_setting_and_flag_is_explained() -> None:
    for row in REFERENCE.read_text().splitlines():
        assert not re.search(r"\|\s*\|$", row), f"no text: {row}"


def test_every_variable_of_ours_is_in_the_reference() -> None:
    files = [*(ROOT / "airflow_platform").rglob("*.py"), *(ROOT / "scripts").iterdir()]
    names = {
        name for path in files for name in re.findall(r"AIRFLOW_PLATFORM_[A-Z]+\b(?!_)", path.read_text())
    }
    private = {name for name in names if f"`{name}`" not in REFERENCE.read_text()}
    assert private <= PRIVATE, "document it in docs/reference.py, or list it as private here"


PRIVATE = {"AIRFLOW_PLATFORM_OWNER", "AIRFLOW_PLATFORM_RUN"}
"""Variables that only our own processes set for each other."""


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_in_pages_exist(path: Path) -> None:
    text = path.read_text()
    used = set(re.findall(r"(?:^|[`\s])(?:scripts/)?inv ((?!-)[a-z][a-z-]*)", text, re.MULTILINE))
    assert used <= set(collection.namespace.task_names), f"{path.name} shows tasks that do not exist"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_sessions_in_pages_exist(path: Path) -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    assert set(re.findall(r"nox -s (\w+)", path.read_text())) <= sessions


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_between_pages_work(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_files_that_other_tools_read_are_valid() -> None:
    json.loads((ROOT / "docs" / "report.schema.json").read_text())
    ci = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
    scripts = [line for job in ci.values() if isinstance(job, dict) for line in job.get("script", [])]
    assert scripts
    assert all(line.split()[0] in (".ci/run", "scripts/nox", "scripts/inv") for line in scripts)
    yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())


def test_each_dependency_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for dependency in tomllib.loads(text)["project"]["dependencies"]:
        assert re.search(rf'^  "{re.escape(dependency)}",\s+# \w', text, re.MULTILINE), dependency
    for path in (ROOT / "requirements").glob("*.in"):
        for line in path.read_text().splitlines():
            assert re.match(r"\S+\s+# \w", line), f"{path.name}: {line}"


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("requirements/*.lock"), *ROOT.glob("images/*/*.lock")]), ids=name_of
)
def test_locks_have_hashes_and_no_addresses(path: Path) -> None:
    text = path.read_text()
    pinned = re.findall(r"^\S+==\S+", text, re.MULTILINE)
    assert pinned
    assert text.count("--hash=sha256:") >= len(pinned)
    assert "://" not in text
    assert "--index" not in text


def test_every_rule_of_the_check_is_explained() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (error|warning) \| \S.* \| \S.* \|$", page, re.MULTILINE)
    assert rows == [(rule.name, rule.severity) for rule in catalogue.RULES]
