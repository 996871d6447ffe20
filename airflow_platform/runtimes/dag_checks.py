"""The check of a commit's DAGs: what is known of them, what must be found out anew, and the rules.

Results are kept by content, twice: for a whole DAG version, so that nothing at all is done again, and for
each file with all that it needs, so that a change costs what it touches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_platform import errors, programs
from airflow_platform.config import dag_rules, load, paths, specs
from airflow_platform.parsing import protocol
from airflow_platform.rules import catalogue, facts, source, subject
from airflow_platform.rules.findings import Checked, Finding, ParsedDag, ParsedFile
from airflow_platform.runtimes import dag_workers
from airflow_platform.tools import git, git_trees, parsing_worker, results

__all__ = ["Checked", "Finding", "ParsedDag", "ParsedFile", "check"]

FOLDER = "dags"
_TREES, _FILES, _SOURCES = "trees", "files", "sources"
_PYTHON = ".py"


def check(
    commit: git.Commit,
    environments: Sequence[specs.Environment],
    *,
    runner: programs.Programs,
    progress: Callable[[str], None],
    rules: dag_rules.Rules | None = None,
    declared: Iterable[str] | None = None,
    checkout: Path = paths.CHECKOUT,
) -> Checked:
    """Import every DAG file of a commit as the tenants would, and hold it against the rules.

    Args:
        commit: With the tree of its folder of DAGs.
        environments: Whose tenants are considered.
        runner: Starts programs; its interruption ends the check.
        progress: Called with lines of news.
        rules: By default the rules' own defaults.
        declared: Names of all tenants that a DAG may be for; by default those of all declared environments.
        checkout: The repository that has the commit.

    Raises:
        PreflightError: Airflow's packages cannot be installed.
        ProgramError: The program that imports DAG files does not work; never the fault of a DAG file.
        Interrupted: A signal came.
    """
    rules = rules or dag_rules.Rules()
    names = frozenset(_declared() if declared is None else declared)
    packages = dag_workers.packages(environments[0], runner, progress)
    kept = results.Results(dag_workers.directory() / "results")
    told = [each.model_dump_json() for each in environments]
    whole = results.key(
        commit.tree, told, sorted(names), rules.model_dump_json(), packages.digest, dag_workers.code()
    )
    if (known := kept.get(_TREES, whole)) is not None:
        return Checked.from_json({**known, "commit": commit.sha, "anew": 0})
    packages.install()
    version = _Version(commit, environments, rules, packages, kept, runner, checkout)
    checked = version.check(names, progress)
    kept.put(_TREES, whole, checked.to_json())
    return checked


def _declared() -> Iterable[str]:
    return (tenant.name for name in load.names() for tenant in load.environment(name).tenants)


class _Version:
    """One check of which nobody knows the result."""

    def __init__(
        self,
        commit: git.Commit,
        environments: Sequence[specs.Environment],
        rules: dag_rules.Rules,
        packages: dag_workers.Packages,
        kept: results.Results,
        runner: programs.Programs,
        checkout: Path,
    ) -> None:
        self._commit = commit
        self._environments = environments
        self._rules = rules
        self._kept = kept
        self._runner = runner
        self._checkout = checkout
        self._values = dag_workers.values(environments)
        self._surroundings = results.key(
            packages.digest, parsing_worker.code_digest(), self._values, rules.import_deadline, rules.import_memory
        )
        self._worker = parsing_worker.Worker(packages.place(), runner)

    def check(self, declared: frozenset[str], progress: Callable[[str], None]) -> Checked:
        """Find out what is not known, and apply the rules."""
        # A cold one imports Airflow while Git works.
        self._worker.start()
        try:
            self._entries = git_trees.entries(self._runner, self._checkout, self._commit.tree)
            self._paths = {path for path, each in self._entries.items() if each.kind != git_trees.TREE}
            parent = dag_workers.directory() / "trees"
            with git_trees.on_disk(self._runner, self._checkout, self._commit.tree, parent, FOLDER) as root:
                self._sources = {path: self._source(root, path) for path in self._paths if path.endswith(_PYTHON)}
                found, anew = self._imported(root, progress)
        finally:
            self._worker.close()
        files = tuple(subject.File(each, self._all_needs(each)) for each in found)
        looked_at = subject.Subject(
            files=files,
            sources=self._sources,
            tenants=tuple(tenant for each in self._environments for tenant in subject.tenants_of(each)),
            declared=declared,
            rules=self._rules,
            smoke=frozenset(each.dags.smoke for each in self._environments),
        )
        return Checked(
            self._commit.sha,
            self._commit.tree,
            tuple(_parsed(each) for each in files),
            catalogue.findings(looked_at),
            anew,
        )

    def _source(self, root: Path, path: str) -> source.Source:
        """What a text says: kept by its content alone."""
        key = results.key(self._entries[path].digest, dag_workers.code())
        if (known := self._kept.get(_SOURCES, key)) is not None:
            return source.Source.from_json(known)
        file = root / path
        found = source.read(file.read_bytes()) if file.is_file() and not file.is_symlink() else source.Source()
        self._kept.put(_SOURCES, key, found.to_json())
        return found

    def _imported(self, root: Path, progress: Callable[[str], None]) -> tuple[list[facts.Imported], int]:
        """The facts of all DAG files, and how many had to be imported for that."""
        paths_ = [path for path in self._worker.files(root) if path in self._paths]
        found = {path: known for path in paths_ if (known := self._known(path)) is not None}
        unknown = [path for path in paths_ if path not in found]
        if unknown:
            progress(f"importing {len(unknown)} of {len(paths_)} files")
        order = self._order(root, unknown)
        for path, told in self._worker.facts(order) if unknown else ():
            found[path] = self._understood(path, told)
            self._keep(found[path], told)
        return [found[path] for path in paths_ if path in found], len(unknown)

    def _order(self, root: Path, unknown: Sequence[str]) -> protocol.Order:
        return protocol.Order(
            root=str(root),
            files=tuple(protocol.File(path, self._modules(path)) for path in unknown),
            warm=tuple(sorted({name for path in unknown for name in self._of_airflow(path)})),
            variables=self._values["variables"],
            connections=self._values["connections"],
            seconds=float(self._rules.import_deadline),
            memory=self._rules.import_memory,
        )

    def _modules(self, path: str) -> tuple[str, ...]:
        """What a file and its needs import, and the folder of DAGs does not have."""
        folders = {name for name, each in self._entries.items() if each.kind == git_trees.TREE}
        names = {
            each.module
            for file in (path, *self._static_needs(path))
            for each in self._sources.get(file, source.Source()).imports
            if each.kind == "needed" and not each.level
        }
        return tuple(sorted(name for name in names if not source.is_here(name, self._paths, folders)))

    def _of_airflow(self, path: str) -> Iterable[str]:
        """Modules of Airflow that a file or its needs import: worth importing once for all."""
        return (name for name in self._modules(path) if name.startswith("airflow."))

    def _static_needs(self, path: str) -> tuple[str, ...]:
        """Files that a file's imports may load, directly or through others, by their texts."""
        found: set[str] = set()
        waiting = [path]
        while waiting:
            file = waiting.pop()
            more = source.needs(file, self._sources.get(file, source.Source()), self._paths) - found
            found |= more
            waiting += more
        return tuple(sorted(found - {path}))

    def _all_needs(self, imported: facts.Imported) -> tuple[str, ...]:
        read = {path for path in imported.reads if path in self._paths}
        return tuple(sorted({*self._static_needs(imported.path), *read} - {imported.path}))

    def _key(self, path: str) -> str:
        """Of a file with all that its text says it needs, in these surroundings."""
        needs = [(name, self._entries[name].digest) for name in self._static_needs(path)]
        return results.key(path, self._entries[path].digest, needs, self._modules(path), self._surroundings)

    def _known(self, path: str) -> facts.Imported | None:
        """What is kept of a file, if all that it read is as it was."""
        known = self._kept.get(_FILES, self._key(path))
        if known is None or known["seen"] != self._seen(known["seen"]):
            return None
        return self._understood(path, known["told"])

    def _keep(self, imported: facts.Imported, told: Mapping[str, Any]) -> None:
        """Keep what an import found; how one came to its end may have been the machine's fault."""
        if not imported.ended:
            seen = self._seen([*imported.reads, *(f"?{path}" for path in imported.asks)])
            self._kept.put(_FILES, self._key(imported.path), {"told": told, "seen": seen})

    def _seen(self, names: Iterable[str]) -> dict[str, str]:
        """What is at each path now: its content, or with a question mark only whether it is there."""
        everything = {".": self._commit.tree, **{path: each.digest for path, each in self._entries.items()}}
        return {
            name: str(name[1:] in everything) if name.startswith("?") else everything.get(name, "")
            for name in names
        }

    def _understood(self, path: str, told: Mapping[str, Any]) -> facts.Imported:
        """The facts; places that are no files of the folder are the file itself."""
        try:
            found = facts.Imported.from_json(path, told)
        except (facts.NoFacts, KeyError, TypeError):
            return facts.Imported(path, ended="what it told is no description of DAGs", ended_at=facts.Place(path, 1))
        return facts.placed(found, self._paths)


def _parsed(file: subject.File) -> ParsedFile:
    dags = tuple(
        ParsedDag(dag.id, dag.at.line, dag.tags, ", ".join(dag.owners)) for dag in file.imported.dags
    )
    return ParsedFile(file.path, dags, file.needs)
