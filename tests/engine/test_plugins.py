"""Steps of other packages: the one of docs/plugins.md is installed and run, the wrong ones are told."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.engine import plugins
from airflow_platform.testing import runs, specs, steps

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "plugins.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def install(directory, project, modules):
    """Lay a package down as an installer does: its modules, and its metadata beside them."""
    described = tomllib.loads(project)["project"]
    for name, text in modules.items():
        (directory / f"{name}.py").write_text(text)
    metadata = directory / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n"
    )
    groups = described["entry-points"]
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in groups.items()
        )
    )


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A directory where packages are installed, on the path of this process."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    loaded = set(sys.modules)
    yield directory
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def bring(site, package, name, value, code):
    project = f'[project]\nname = "{package}"\nversion = "1"\n[project.entry-points."{plugins.GROUP}"]\n'
    install(site, f'{project}{name} = "{value}"\n', {value.partition(":")[0]: code})


STEP = "from airflow_platform.engine import step\nclass {kind}(step.TenantStep):\n    name = '{name}'\n"


def faults_of(*names):
    with pytest.raises(errors.ConfigurationError) as caught:
        plugins.load(names)
    assert caught.value.exit_code == 2
    return caught.value.faults()


def test_the_example_is_installed_found_and_run(site, tmp_path, monkeypatch):
    install(site, blocks("toml")[0], {"tenant_catalogue": blocks("python")[0]})
    (found,) = plugins.load(tomllib.loads(blocks("toml")[1])["steps"])
    monkeypatch.setenv("CATALOGUE", str(tmp_path))
    played = steps.Script(outputs={"url": "http://127.0.0.1:18080"})
    components = steps.ScriptedStep("components", steps.World(), {"analytics": played})
    environment = specs.environment()
    report = runs.run_steps(components, found, environment=environment, tenants=environment.tenants)
    assert runs.outcomes(report)["analytics/catalogue"] == "changed"
    assert json.loads((tmp_path / "sandbox-analytics.json").read_text()) == {
        "owner": "",
        "url": "http://127.0.0.1:18080",
    }


def test_the_examples_own_tests_pass(site, tmp_path):
    install(site, blocks("toml")[0], {"tenant_catalogue": blocks("python")[0]})
    tests = tmp_path / "test_catalogue.py"
    tests.write_text(blocks("python")[1])
    words = [
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        f"--basetemp={tmp_path / 'base'}",
        tests,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_nothing_is_looked_up_without_names(monkeypatch):
    monkeypatch.setattr(plugins.importlib.metadata, "entry_points", None)
    assert plugins.load(()) == ()


def test_unknown_names_are_told_with_the_nearest_match(site):
    bring(site, "one", "catalogue", "one:Step", STEP.format(kind="Step", name="catalogue"))
    first, second = faults_of("catalog", "xyz")
    assert (first.thing, first.remedy) == ("step catalog", "Did you mean catalogue?")
    assert (second.cause, second.remedy) == (
        "No installed package brings it.",
        "Install the package that brings it.",
    )


def test_a_name_that_two_packages_bring_names_both(site):
    for package in ("one", "two"):
        bring(site, package, "audit", f"{package}:Step", STEP.format(kind="Step", name="audit"))
    (fault,) = faults_of("audit")
    assert fault.cause == "Two packages bring it: one:Step (one) and two:Step (two)."


def test_a_name_that_is_written_twice_is_told(site):
    bring(site, "one", "audit", "one:Step", STEP.format(kind="Step", name="audit"))
    (fault,) = faults_of("audit", "audit")
    assert fault.cause == "It is named twice."


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("Step = 1\n", "is not a class derived from EnvironmentStep or TenantStep"),
        ("class Step: pass\n", "is not a class derived from EnvironmentStep or TenantStep"),
        ("import nowhere\n", "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "cannot be loaded: SystemExit(3)"),
        ("", "cannot be loaded: AttributeError"),
        (STEP.format(kind="Step", name="other"), "calls itself other, not audit"),
        ("from airflow_platform.engine.step import TenantStep as Step\n", "calls itself nothing, not audit"),
        (
            STEP.format(kind="Step", name="audit") + "    def __init__(self, x): pass\n",
            "cannot be loaded: TypeError",
        ),
    ],
)
def test_what_is_no_step_is_told(site, code, cause):
    bring(site, "one", "audit", "one:Step", code)
    (fault,) = faults_of("audit")
    assert fault.thing == "step audit"
    assert "one:Step (one)" in fault.cause
    assert cause in fault.cause
