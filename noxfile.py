"""Every check of the repository. `scripts/nox` runs those that Python and git are enough for."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

from airflow_platform.tools import package_index

HERE = Path(__file__).parent
TYPED = (".ci/failures.py", "airflow_platform", "docs", "benchmarks", "images", "noxfile.py")
PYTHON_FILES = (*TYPED, "dags", "tasks.py", "tests")
INPUTS = {
    "bootstrap": ["requirements/bootstrap.in"],
    "toolkit": ["pyproject.toml"],
    "lint": ["requirements/lint.in"],
    "checkov": ["requirements/checkov.in"],
    "tests": ["pyproject.toml", "requirements/tests.in", "--constraints=requirements/toolkit.lock"],
}
"""The locks, and what each is made from; the tests have the toolkit's own versions."""

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.sessions = [
    "lint",
    "checkov",
    "types",
    "imports",
    "tests",
    "docs",
    "package",
    "parity",
    "crash",
    "dags",
    "sandbox",
]

os.environ.update(package_index.uv_environment(os.environ))


@nox.session
def lint(session: nox.Session) -> None:
    """Format and lint of Python, shell, YAML and Dockerfiles; waivers: tests/test_waivers.py."""
    _sync(session, "lint")
    python = [name for name in PYTHON_FILES if (HERE / name).exists()]
    fix = "--fix" in session.posargs
    session.run("ruff", "format", *([] if fix else ["--check"]), *python)
    session.run("ruff", "check", *(["--fix"] if fix else []), *python)
    files = _files(session)
    session.run("shellcheck", "--external-sources", *filter(_is_shell, files))
    session.run("yamllint", "--strict", *filter(_is_yaml, files))
    session.run("hadolint", "--config", ".hadolint.yaml", *filter(_is_dockerfile, files))


@nox.session
def checkov(session: nox.Session) -> None:
    """Misconfiguration of Dockerfiles and of CI, and secrets in any file."""
    _sync(session, "checkov")
    # A copy of what is in the repository: checkov would read every environment below the checkout, for minutes.
    copy = Path(session.create_tmp()) / "repository"
    shutil.rmtree(copy, ignore_errors=True)
    for path in _files(session):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / path, copy / path)
    session.chdir(copy)
    session.run("checkov", "--config-file", ".checkov.yaml", "--directory", ".", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """`mypy --strict`."""
    _sync(session, "tests")
    session.run("mypy", *TYPED, *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """The layers, and the one home of each library."""
    _sync(session, "tests")
    session.run("lint-imports", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The unit suite: seconds; no network, no Docker, no root."""
    _sync(session, "tests")
    # Much of their time is spent waiting for small processes, so more of them than cores.
    workers = [] if session.posargs else ["--numprocesses=4", "--dist=worksteal"]
    session.run("pytest", "-m", "not sandbox and not docker", *workers, *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Every step x SIGKILL on the real engine, with a stand-in for Airflow. Minutes."""
    _sync(session, "tests")
    workers = [] if session.posargs else ["--numprocesses=3", "--dist=worksteal"]
    session.run("pytest", "--timeout=120", "tests/crash", *workers, *session.posargs)


@nox.session(default=False)
def postgresql(session: nox.Session) -> None:
    """Tenants that try to reach each other in a real PostgreSQL server, and kills. A minute."""
    _sync(session, "tests")
    workers = [] if session.posargs else ["--numprocesses=2", "--dist=worksteal"]
    session.run("pytest", "--timeout=120", "tests/postgresql", *workers, *session.posargs)


@nox.session
def parity(session: nox.Session) -> None:
    """One DAG version everywhere: real Git servers that refuse, race and break. Seconds."""
    _sync(session, "tests")
    session.run("pytest", "--timeout=60", "tests/parity", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """The toolkit as a wheel, installed for a project that has nothing else. Seconds."""
    _sync(session, "tests")
    session.run("pytest", "--timeout=300", "tests/package", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Whether docs/reference.md says what the code says; `-- --write` writes it."""
    _sync(session, "tests")
    session.run("python", "docs/reference.py", *session.posargs)


@nox.session
def dags(session: nox.Session) -> None:
    """DAG files on the real Airflow: this repository's, and those that `dags-check` must survive. Minutes."""
    _sync(session, "tests")
    chosen = any(word.startswith("tests/") for word in session.posargs)
    paths = [] if chosen else ["tests/dags"]
    environments = _packages(session)
    session.run("pytest", "--timeout=300", "-m", "sandbox", *paths, *session.posargs, env=environments)


@nox.session
def sandbox(session: nox.Session) -> None:
    """The process runtime for real: Airflow, fakesnow, what only processes have. Minutes."""
    _sync(session, "tests")
    session.run("pytest", "--timeout=300", "-m", "sandbox", "tests/fakesnow", env=_packages(session))
    # Whoever asks for one test by its name means one of the two.
    codes = [0, 5] if session.posargs else [0]
    session.run("pytest", "--timeout=900", "tests/e2e", *session.posargs, success_codes=codes)


@nox.session(default=False, tags=["engine"])
def images(session: nox.Session) -> None:
    """What `inv build` makes, on a real Docker engine. Minutes; the first time it builds them."""
    _sync(session, "tests")
    _require_engine(session)
    session.run("scripts/inv", "build", external=True)
    session.run("pytest", "--timeout=900", "tests/images", *session.posargs)


@nox.session(default=False, tags=["engine"])
def registry(session: nox.Session) -> None:
    """`inv push` and `inv promote` against a real registry that fails in many ways. Minutes."""
    _sync(session, "tests")
    _require_engine(session)
    workers = [] if session.posargs else ["--numprocesses=3", "--dist=worksteal"]
    session.run("pytest", "--timeout=300", "tests/registry", *workers, *session.posargs)


@nox.session(default=False, tags=["engine"])
def integration(session: nox.Session) -> None:
    """Airflow in containers: the engine, the fixture for tests of DAGs. Minutes."""
    _sync(session, "tests")
    _require_engine(session)
    session.run("scripts/inv", "build", external=True)
    if any(word.startswith("tests/") for word in session.posargs):
        session.run("pytest", *session.posargs)
        return
    # Whoever asks for one test by its name means one of the three.
    codes = [0, 5] if session.posargs else [0]
    session.run(
        "pytest", "--timeout=60", "-m", "docker", "tests/containers", *session.posargs, success_codes=codes
    )
    session.run("pytest", "tests/integration", *session.posargs, success_codes=codes)


@nox.session(default=False, tags=["engine"])
def contracts(session: nox.Session) -> None:
    """What every runtime must do, on both: up, again, changed, isolated, killed, down. Ten minutes.

    `-- --seeds=24` kills more commands than CI has time for.
    """
    _sync(session, "tests")
    _require_engine(session)
    session.run("scripts/inv", "build", external=True)
    for runtime in ("process", "docker"):
        session.run("pytest", "tests/contracts", f"--runtime={runtime}", *session.posargs)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Ratios against named references, from one run."""
    _sync(session, "tests")
    for script in sorted(HERE.glob("benchmarks/*.py")):
        session.run("python", str(script), *session.posargs)


@nox.session(default=False, venv_backend="none")
def lock(session: nox.Session) -> None:
    """Make all locks anew from their *.in files; `-- --upgrade` takes newer versions."""
    for name, inputs in INPUTS.items():
        _compile(session, f"requirements/{name}.lock", *inputs)
    for source in sorted(HERE.glob("images/*/requirements.in")):
        # extra.in has what the project itself adds; see images/README.md.
        sources = [path for path in (source, source.with_name("extra.in")) if path.exists()]
        name = str(source.relative_to(HERE))
        _compile(session, name.replace(".in", ".lock"), *(str(path.relative_to(HERE)) for path in sources))


def _compile(session: nox.Session, lock: str, *inputs: str) -> None:
    """One universal lock with hashes, without index addresses and without a path of this machine."""
    # fmt: off
    session.run(
        "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
        "--no-emit-index-url", "--no-emit-find-links", "--no-header",
        "--output-file", lock, *inputs, *session.posargs,
        external=True, env={"UV_INDEX_STRATEGY": "first-index"},
    )
    # fmt: on


def _packages(session: nox.Session) -> dict[str, str]:
    """The environments of Airflow and fakesnow, made if they are missing, as the tests are told of them."""
    found = session.run("python", "tests/e2e/packages.py", env={"PYTHONPATH": str(HERE)}, silent=True)
    return dict(line.split("=", 1) for line in str(found).splitlines() if "=" in line)


def _require_engine(session: nox.Session) -> None:
    """Say what to install and how to start it where no Docker engine answers."""
    check = ("scripts/engine", "check")
    said = session.run(*check, external=True, log=False, silent=True, success_codes=[0, 4])
    if said:
        session.error(str(said).strip().removeprefix("engine: ").rstrip("."))


def _files(session: nox.Session) -> list[str]:
    """Every file that is committed, or would be by the next `git add`."""
    found = session.run(
        "git", "ls-files", "--cached", "--others", "--exclude-standard", external=True, silent=True, log=False
    )
    return sorted({path for path in str(found).splitlines() if (HERE / path).is_file()})


def _is_dockerfile(path: str) -> bool:
    return re.fullmatch(r"Dockerfile(\..+)?|.+\.Dockerfile", Path(path).name) is not None


def _is_shell(path: str) -> bool:
    """By its first line: programs have no ending, and what a program sources has no other mark."""
    with (HERE / path).open("rb") as file:
        first = file.readline(128)
    return path.endswith(".sh") or re.match(rb"#!.*\b(ba|da|k)?sh\b|# shellcheck shell=", first) is not None


def _is_yaml(path: str) -> bool:
    return path.endswith((".yaml", ".yml", ".yamllint"))


def _sync(session: nox.Session, lock: str) -> None:
    """Bring the session's environment to what the lock says; nothing happens when it is there."""
    wanted = (HERE / "requirements" / f"{lock}.lock").read_text()
    stamp = Path(session.virtualenv.location) / ".synced.lock"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    session.run_install("uv", "pip", "sync", "--quiet", "--require-hashes", f"requirements/{lock}.lock")
    stamp.write_text(wanted)
