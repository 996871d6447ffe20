"""The check of a commit's DAGs: what is known of them, what must be found out anew, and the rules.

Results are kept by content, twice: for a whole DAG version, so that nothing at all is done again, and for
each file with all that it needs, so that a change costs what it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import programs
from airflow_platform.config import dag_rules, load, paths, specs
from airflow_platform.parsing import protocol
from airflow_platform.rules import catalogue, facts, subject
from airflow_platform.rules.findings import FOLDER, Checked, Finding, ParsedDag, ParsedFile
from airflow_platform.runtimes import dag_texts, dag_workers
from airflow_platform.tools import git, git_trees, parsing_worker, results

__all__ = ["FOLDER", "Checked", "Finding", "ParsedDag", "ParsedFile", "check"]


@dataclass(frozen=True)
class Inputs:
    """All that decides about the result."""

    commit: git.Commit
    environments: Sequence[specs.Environment]
    rules: dag_rules.Rules
    declared: frozenset[str]
    """Names of all tenants."""
    packages: dag_workers.Packages

    def key(self) -> str:
        """Changes with any of them, and not with the commit: only its DAGs matter."""
        return results.key(
            self.commit.tree,
            [each.model_dump_json() for each in self.environments],
            self.rules.model_dump_json(),
            sorted(self.declared),
            self.packages.digest,
            dag_workers.code(),
        )


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
        environments: Whose tenants are considered; at least one.
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
    inputs = Inputs(
        commit,
        environments,
        rules or dag_rules.Rules(),
        frozenset(_declared() if declared is None else declared),
        dag_workers.packages(environments[0], runner, progress),
    )
    kept = results.Results(dag_workers.directory() / "results")
    key = inputs.key()
    if (known := kept.get("versions", key)) is not None:
        return Checked.from_json({**known, "commit": commit.sha, "anew": 0})
    inputs.packages.install()
    checked, lasting = _Check(inputs, kept, runner, progress).of(checkout)
    if lasting:
        kept.put("versions", key, checked.to_json())
    return checked


def _declared() -> Iterable[str]:
    return (tenant.name for name in load.names() for tenant in load.environment(name).tenants)


class _Check:
    """One check of which nobody knows the result."""

    def __init__(
        self,
        inputs: Inputs,
        kept: results.Results,
        runner: programs.Programs,
        progress: Callable[[str], None],
    ) -> None:
        self._inputs = inputs
        self._kept = kept
        self._runner = runner
        self._progress = progress
        self._worker = parsing_worker.Worker(inputs.packages.place(), runner)
        self._variables, self._connections = dag_workers.values(inputs.environments)
        rules = inputs.rules
        self._surroundings = [
            inputs.packages.digest,
            parsing_worker.code_digest(),
            [self._variables, self._connections],
            [rules.import_deadline, rules.import_memory],
        ]

    def of(self, checkout: Path) -> tuple[Checked, bool]:
        """Find out what is not known, and apply the rules; and whether it would come out the same again.

        An import that came to a bad end may have been ended by a machine that was short of time or memory.
        """
        tree = self._inputs.commit.tree
        try:
            self._worker.start()  # A cold one imports Airflow while Git works.
            entries = git_trees.entries(self._runner, checkout, tree)
            parent = dag_workers.directory() / "trees"
            with git_trees.on_disk(self._runner, checkout, tree, parent, FOLDER) as root:
                texts = dag_texts.read(tree, entries, root, self._kept, dag_workers.code())
                found, anew = self._imported(root, texts)
        finally:
            self._worker.close()
        return self._judged(found, texts, anew), not any(each.ended for each in found)

    def _judged(self, found: Sequence[facts.Imported], texts: dag_texts.Texts, anew: int) -> Checked:
        inputs = self._inputs
        files = tuple(subject.File(each, _needs(each, texts)) for each in found)
        looked_at = subject.Subject(
            files=files,
            sources=texts.sources,
            tenants=tuple(tenant for each in inputs.environments for tenant in subject.tenants_of(each)),
            declared=inputs.declared,
            rules=inputs.rules,
            smoke=frozenset(each.dags.smoke for each in inputs.environments),
        )
        commit, parsed = inputs.commit, tuple(_parsed(each) for each in files)
        return Checked(commit.sha, commit.tree, parsed, catalogue.findings(looked_at), anew)

    def _imported(self, root: Path, texts: dag_texts.Texts) -> tuple[list[facts.Imported], int]:
        """The facts of all DAG files, and how many had to be imported for that."""
        # A link to a folder is followed by Airflow, and its files are those of the folder itself.
        files = [path for path in self._worker.files(root) if path in texts.paths]
        found = {path: known for path in files if (known := self._known(path, texts)) is not None}
        unknown = [path for path in files if path not in found]
        if unknown:
            self._progress(f"importing {len(unknown)} of {len(files)} files")
            for path, told in self._worker.facts(self._order(root, unknown, texts)):
                found[path] = _understood(path, told, texts)
                self._keep(found[path], told, texts)
        return [found[path] for path in files], len(unknown)

    def _order(self, root: Path, unknown: Sequence[str], texts: dag_texts.Texts) -> protocol.Order:
        return protocol.Order(
            root=str(root),
            files=tuple(protocol.File(path, texts.modules(path)) for path in unknown),
            warm=tuple(sorted({name for path in unknown for name in texts.airflow_modules(path)})),
            variables=self._variables,
            connections=self._connections,
            seconds=float(self._inputs.rules.import_deadline),
            memory=self._inputs.rules.import_memory,
        )

    def _key(self, path: str, texts: dag_texts.Texts) -> str:
        return results.key(texts.identity(path), self._surroundings)

    def _known(self, path: str, texts: dag_texts.Texts) -> facts.Imported | None:
        """What is kept of a file, if all that it read is as it was."""
        known = self._kept.get("files", self._key(path, texts))
        if known is None or known["seen"] != texts.seen(known["seen"]):
            return None
        return _understood(path, known["told"], texts)

    def _keep(self, imported: facts.Imported, told: Mapping[str, Any], texts: dag_texts.Texts) -> None:
        """Keep what an import found."""
        if not imported.ended:
            seen = texts.seen([*imported.reads, *(f"?{path}" for path in imported.asks)])
            self._kept.put("files", self._key(imported.path, texts), {"told": told, "seen": seen})


def _understood(path: str, told: Mapping[str, Any], texts: dag_texts.Texts) -> facts.Imported:
    try:
        return facts.placed(facts.Imported.from_json(path, told), texts.paths)
    except (facts.NoFacts, KeyError, TypeError):
        what = "what it told is no description of DAGs"
        return facts.Imported(path, ended=what, ended_at=facts.Place(path, 1))


def _needs(imported: facts.Imported, texts: dag_texts.Texts) -> tuple[str, ...]:
    read = {path for path in imported.reads if path in texts.paths}
    return tuple(sorted({*texts.needs(imported.path), *read} - {imported.path}))


def _parsed(file: subject.File) -> ParsedFile:
    dags = tuple(
        ParsedDag(dag.id, dag.at.line, dag.tags, ", ".join(dag.owners)) for dag in file.imported.dags
    )
    return ParsedFile(file.path, dags, file.needs)
