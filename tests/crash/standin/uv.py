"""A stand-in for uv: makes a virtual environment that holds the stand-ins instead of packages."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(arguments):
    match arguments:
        case ["venv", "--quiet", "--python", _, directory]:
            Path(directory, "bin").mkdir(parents=True)
            program(Path(directory), "python")
        case ["pip", "sync", "--require-hashes", "--compile-bytecode", "--python", python, lock]:
            name, _, version = Path(lock).read_text().strip().partition("==")
            install(Path(python).parents[1], name, version)
        case _:
            sys.exit(f"this stand-in does not know {arguments}")


def install(environment, name, version):
    """Each version of Airflow brings one revision of the database more."""
    if name not in ("apache-airflow", "fakesnow"):
        sys.exit(f"this stand-in has no package {name}")
    packages = environment / "lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    if name == "apache-airflow":
        program(environment, "airflow")
        revisions = [f"aaaa{number:04}" for number in range(1, int(version.rpartition(".")[2]) + 1)]
        (environment / "standin/revisions").write_text("\n".join(revisions))
        versions = packages / "airflow/migrations/versions"
        versions.mkdir(parents=True)
        for revision in revisions:
            (versions / f"{revision}.py").write_text(f'revision = "{revision}"\n')


def program(environment, name):
    """`bin/<name>` is ours; so is all that it needs."""
    shutil.copytree(HERE, environment / "standin", dirs_exist_ok=True)
    shutil.copy(HERE.parent / "bin" / name, environment / "bin" / name)
