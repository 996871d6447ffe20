"""The check of a commit's DAGs: known from before, or found out by importing the files that are not known.

What an import found is kept by the content of all that decided about it: a change costs what it touches.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.dags.check import facts, result_cache, worker_client
from airflow_platform.dags.check import worker_settings as manifest
from airflow_platform.dags.check.baseline import Baseline
from airflow_platform.dags.check.findings import FOLDER, Checked, ParsedDag, ParsedFile
from airflow_platform.dags.check.rules import catalogue, import_time, subject
from airflow_platform.dags.check.version_files import VersionFiles
from airflow_platform.dags.check.worker import messages
from airflow_platform.programs import programs
from airflow_platform.tools import results, users
from airflow_platform.tools.git import git, git_trees

NOBODY = 65534
"""The user id that owns nothing, for imports where root has few ids."""

_ALL = "."
"""The folder itself, where it is what is wrong."""

_ACCIDENT = re.compile(
    "|".join(
        [
            r"\[Errno \d+\] [^:]*: '/",  # A file outside of the folder, which may be another tomorrow.
            "can't start new thread",
            *(
                re.escape(os.strerror(each))
                for each in (
                    errno.ENOSPC,
                    errno.EDQUOT,
                    errno.ENOMEM,
                    errno.EMFILE,
                    errno.ENFILE,
                    errno.EAGAIN,
                    errno.EIO,
                )
            ),
        ]
    )
)
"""What errors say that may be the machine's fault."""


def resolved(runner: programs.Programs, revision: str) -> git.Commit:
    """The project's commit that a revision names, with its DAGs.

    Raises:
        UsageError: There is no such revision, or it has no DAGs.
    """
    try:
        return git.resolve(runner, paths.project().root, revision, FOLDER)
    except git.NoCommit as error:
        raise errors.UsageError(error.message, hint=error.hint) from error


def check(
    commit: git.Commit,
    against: Baseline,
    *,
    runner: programs.Programs,
    progress: Callable[[str], None],
    checkout: Path | None = None,
) -> Checked:
    """Import every DAG file of a commit as the tenants would, and hold it against the rules.

    Args:
        commit: With the tree of its folder of DAGs.
        against: What it is held against; at least one tenant.
        runner: Starts programs; its interruption ends the check.
        progress: Called with lines of news.
        checkout: The repository that has the commit; by default the project's.

    Raises:
        PreflightError: Airflow's packages cannot be installed.
        ProgramError: The program that imports DAG files does not work; never the fault of a DAG file.
        Interrupted: A signal came.
    """
    if (known := result_cache.find(commit.tree, against, commit.sha)) is not None:
        return known
    checkout = checkout or paths.project().root
    checked, cacheable = find_out(commit, against, checkout=checkout, runner=runner, progress=progress)
    kept, key = result_cache.store(), result_cache.key(commit.tree, against)
    if cacheable:
        kept.put("versions", key, checked.to_json())
    if not checked.count("error"):
        kept.put("ids", key, dict(checked.ids))
    return checked


def find_out(
    commit: git.Commit,
    against: Baseline,
    *,
    checkout: Path,
    runner: programs.Programs,
    progress: Callable[[str], None],
) -> tuple[Checked, bool]:
    """Import what is not known, and apply the rules; also whether another check would come to the same."""
    launch = _launch(runner, progress)
    entries = git_trees.entries(runner, checkout, commit.tree)
    with git_trees.on_disk(runner, checkout, commit.tree, paths.dag_checks() / "trees", FOLDER) as root:
        worker = worker_client.Worker(launch, root, runner)
        try:
            version = VersionFiles(commit.tree, entries, root)  # While the worker imports Airflow.
            imports = _Imports(against, version, launch)
            found, imported = imports.of(worker, progress)
        finally:
            worker.close()
    files = tuple(subject.File(each, _needs(each, version), _perhaps(each, version)) for each in found)
    findings = catalogue.findings(
        subject.Subject(
            files=files,
            sources=version.sources,
            tenants=against.tenants,
            declared=frozenset(against.declared),
            rules=against.limits,
            smoke=frozenset(against.smoke),
            tree=version.tree,
        )
    )
    parsed = tuple(_parsed(each) for each in files if each.path != _ALL)
    checked = Checked(commit.sha, commit.tree, parsed, findings, imported)
    return checked, version.closed and all(map(imports.is_cacheable, found))


class _Imports:
    """The imports of one version's files: known, or made."""

    def __init__(self, against: Baseline, version: VersionFiles, launch: worker_client.Launch) -> None:
        self._against = against
        self._version = version
        self._kept = result_cache.store()
        limits = against.limits
        self._surroundings = [
            str(launch.python),
            launch.settings(Path("/home")),
            result_cache.code(),
            [against.variables, against.connections],
            [limits.import_deadline, limits.import_memory],
        ]

    def of(
        self, worker: worker_client.Worker, progress: Callable[[str], None]
    ) -> tuple[list[facts.Imported], int]:
        """The facts of all DAG files, and how many had to be imported for that."""
        try:
            files = worker.files()
        except worker_client.RefusedError as refusal:
            problem = facts.Problem(facts.Location(_ALL, 1), refusal.message)
            return [facts.Imported(_ALL, cpu=0.0, errors=(problem,))], 0
        found = {path: known for path in files if (known := self._known(path)) is not None}
        unknown = [path for path in files if path not in found]
        if unknown:
            progress(f"importing {len(unknown)} of {len(files)} files")
            for path, told in worker.facts(self._order(unknown)):
                found[path] = facts.read(path, told, self._version.tree.files)
                self._keep(found[path], told)
        return [found[path] for path in files], len(unknown)

    def is_cacheable(self, imported: facts.Imported) -> bool:
        """Whether importing the file again would find the same: nothing measured that was too much."""
        is_ours = self._version.closed and (
            imported.path == _ALL
            or imported.path in self._version.tree.files  # Airflow follows links to folders.
        )
        short = any(
            import_time.NO_MEMORY.match(each.message) or _ACCIDENT.search(each.message)
            for each in imported.errors
        )
        slow = imported.cpu > self._against.limits.import_seconds or import_time.is_waiting(imported)
        return is_ours and not (imported.ended or short or slow)

    def _order(self, paths: list[str]) -> messages.ImportRequest:
        version = self._version
        return messages.ImportRequest(
            files=tuple(messages.File(path, version.modules(path), version.loads(path)) for path in paths),
            warm=tuple(sorted({name for path in paths for name in version.airflow_modules(path)})),
            variables=self._against.variables,
            connections=self._against.connections,
            seconds=float(self._against.limits.import_deadline),
            memory=self._against.limits.import_memory,
        )

    def _key(self, path: str) -> str:
        return results.key(self._version.identity(path), self._surroundings)

    def _known(self, path: str) -> facts.Imported | None:
        """What is kept of a file, if all that it read is as it was."""
        known = self._kept.get("files", self._key(path))
        if known is None:
            return None
        found = facts.read(path, known["told"], self._version.tree.files)
        is_same = known["seen"] == self._version.seen(found.reads, found.asks)
        return found if is_same and self.is_cacheable(found) else None  # Limits may have changed.

    def _keep(self, imported: facts.Imported, told: Mapping[str, Any]) -> None:
        if self.is_cacheable(imported):
            seen = self._version.seen(imported.reads, imported.asks)
            self._kept.put("files", self._key(imported.path), {"told": told, "seen": seen})


def _needs(imported: facts.Imported, version: VersionFiles) -> tuple[str, ...]:
    read = version.tree.files.intersection(map(version.tree.real, imported.reads))
    return tuple(sorted({*version.needs(imported.path), *read} - {imported.path}))


def _perhaps(imported: facts.Imported, version: VersionFiles) -> tuple[str, ...]:
    return tuple(sorted({*version.needs(imported.path)}.difference(version.loads(imported.path))))


def _parsed(file: subject.File) -> ParsedFile:
    dags = tuple(
        ParsedDag(dag.id, dag.at.line, dag.tags, ", ".join(dag.owners)) for dag in file.imported.dags
    )
    return ParsedFile(file.path, dags, file.needs)


def _launch(runner: programs.Programs, progress: Callable[[str], None]) -> worker_client.Launch:
    """A worker with Airflow's locked packages, which are installed if they are missing.

    Raises:
        PreflightError: They cannot be installed; carries every fault.
    """
    kept, key = result_cache.store(), results.key(str(paths.cache()), result_cache.surroundings())
    known = kept.get("packages", key)
    if known is None or not _is_whole(Path(known)):
        known = str(install_packages(runner, progress))
        kept.put("packages", key, known)
    environment = Path(known)
    user = users.of_tenant(paths.dag_checks()) or NOBODY if os.geteuid() == 0 else None
    return worker_client.Launch(
        python=environment / "bin" / "python",
        settings=lambda home: manifest.environment(home, environment / "bin"),
        user=user,
        note=progress,
    )


def _is_whole(environment: Path) -> bool:
    """Whether an environment is there as it was built: the step that builds it writes this file last."""
    try:
        built = (environment.parent / "complete").read_text().strip()
    except OSError:
        return False
    return built == str(environment.parent)


@dataclass(frozen=True)
class _AllEnvironments:
    """What the step is told instead of an environment: the locked packages are those of all."""

    name: str = "all"


def install_packages(runner: programs.Programs, progress: Callable[[str], None]) -> Path:
    """Airflow's virtual environment, by the step that installs it for tenants; made if it is missing.

    Raises:
        PreflightError: It cannot be made; carries every fault.
    """
    from airflow_platform.config import package_recipes  # noqa: PLC0415 - rarely needed, and heavy.
    from airflow_platform.engine import local_store, step  # noqa: PLC0415
    from airflow_platform.tenants.packages import AirflowPackages  # noqa: PLC0415

    step_ = AirflowPackages(package_recipes.airflow(), cache=paths.cache(), ready=None)
    context: Any = step.EnvironmentContext[_AllEnvironments, Any](
        environment=_AllEnvironments(),
        goal=step.Goal.PRESENT,
        run_id="dags-check",
        artifacts=local_store.LocalArtifacts(Path(tempfile.gettempdir())),
        programs=runner,
        progress=progress,
        clock=time.monotonic,
        find_outputs=lambda name: {},
    )
    if faults := tuple(step_.check(context)):
        raise errors.PreflightError("Airflow's packages are needed to import DAG files.", faults)
    planned = step_.plan(context, step_.observe(context))
    if isinstance(planned, step.NoChange):
        return Path(planned.outputs["environment"])
    progress(planned.summary)
    return Path(step_.apply(context, planned)["environment"])
