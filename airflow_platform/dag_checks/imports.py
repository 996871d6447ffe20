"""Finding out what the DAG files of a version are, each by an import of its own, and applying the rules.

What an import found is kept by the content of the file and of all that it needs: a change costs what it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_platform import programs
from airflow_platform.config import paths
from airflow_platform.dag_checks import recall, sources, workers
from airflow_platform.dag_checks.standards import Against
from airflow_platform.parsing import protocol
from airflow_platform.rules import catalogue, facts, lasting, subject
from airflow_platform.rules.findings import FOLDER, Checked, Finding, ParsedDag, ParsedFile
from airflow_platform.tools import git, git_trees, parsing_worker, results


def find_out(
    commit: git.Commit,
    against: Against,
    *,
    checkout: Path,
    runner: programs.Programs,
    progress: Callable[[str], None],
) -> recall.Result:
    """Import what is not known, and apply the rules."""
    place = workers.place(runner, progress)
    worker = parsing_worker.Worker(place, runner)
    kept = recall.kept()
    try:
        worker.start()  # A cold one imports Airflow while Git works.
        entries = git_trees.entries(runner, checkout, commit.tree)
        trees = paths.dag_checks() / "trees"
        with git_trees.on_disk(runner, checkout, commit.tree, trees, FOLDER) as root:
            texts = sources.read(commit.tree, entries, root, kept)
            imports = _Imports(against, texts, kept, worker, place)
            found, anew = imports.of(root, progress)
    finally:
        worker.close()
    files = tuple(subject.File(each, _needs(each, texts), _perhaps(each, texts)) for each in found)
    findings = _judged(against, texts, files)
    parsed = tuple(_parsed(each) for each in files if each.path != _ALL)
    checked = Checked(commit.sha, commit.tree, parsed, findings, anew)
    return recall.Result(checked, texts.closed and all(map(imports.lasts, found)))


_ALL = "."
"""The folder itself, where it is what is wrong."""


class _Imports:
    """The imports of one version's files: known, or made."""

    def __init__(
        self,
        against: Against,
        texts: sources.Texts,
        kept: results.Results,
        worker: parsing_worker.Worker,
        place: parsing_worker.Place,
    ) -> None:
        self._texts = texts
        self._kept = kept
        self._worker = worker
        self._against = against
        self._surroundings = results.key(
            str(place.python),
            place.environment,
            parsing_worker.code_digest(),
            [against.variables, against.connections],
            [against.limits.import_deadline, against.limits.import_memory],
        )

    def of(self, root: Path, progress: Callable[[str], None]) -> tuple[list[facts.Imported], int]:
        """The facts of all DAG files, and how many had to be imported for that."""
        try:
            files = self._worker.files(root)
        except parsing_worker.Refused as refusal:
            return [facts.Imported(_ALL, errors=(facts.Problem(facts.Place(_ALL, 1), refusal.message),))], 0
        found = {path: known for path in files if (known := self._known(path)) is not None}
        unknown = [path for path in files if path not in found]
        if unknown:
            progress(f"importing {len(unknown)} of {len(files)} files")
            for path, told in self._worker.facts(self._order(root, unknown)):
                found[path] = self._understood(path, told)
                self._keep(found[path], told)
        return [found[path] for path in files], len(unknown)

    def lasts(self, imported: facts.Imported) -> bool:
        """Whether importing the file again would find the same."""
        is_ours = imported.path in self._texts.tree.files or imported.path == _ALL
        return is_ours and lasting.lasts(imported, self._against.limits)

    def _order(self, root: Path, unknown: Sequence[str]) -> protocol.Order:
        return protocol.Order(
            root=str(root),
            files=tuple(
                protocol.File(path, self._texts.modules(path), self._texts.loads(path)) for path in unknown
            ),
            warm=tuple(sorted({name for path in unknown for name in self._texts.airflow_modules(path)})),
            variables=self._against.variables,
            connections=self._against.connections,
            seconds=float(self._against.limits.import_deadline),
            memory=self._against.limits.import_memory,
        )

    def _key(self, path: str) -> str:
        return results.key(self._texts.identity(path), self._surroundings)

    def _known(self, path: str) -> facts.Imported | None:
        """What is kept of a file, if all that it read is as it was."""
        if path not in self._texts.tree.files:  # Airflow follows links to folders, and Git does not.
            return None
        known = self._kept.get("files", self._key(path))
        if known is None or known["seen"] != self._texts.seen(known["seen"]):
            return None
        found = self._understood(path, known["told"])
        return found if self.lasts(found) else None  # Limits may have changed.

    def _keep(self, imported: facts.Imported, told: Mapping[str, Any]) -> None:
        if self.lasts(imported):
            seen = self._texts.seen([*imported.reads, *(f"?{path}" for path in imported.asks)])
            self._kept.put("files", self._key(imported.path), {"told": told, "seen": seen})

    def _understood(self, path: str, told: Mapping[str, Any]) -> facts.Imported:
        try:
            return facts.placed(facts.Imported.from_json(path, told), self._texts.tree.files)
        except (facts.NoFacts, KeyError, TypeError):
            what = "what it told is no description of DAGs"
            return facts.Imported(path, ended=what, ended_at=facts.Place(path, 1))


def _judged(against: Against, texts: sources.Texts, files: tuple[subject.File, ...]) -> tuple[Finding, ...]:
    return catalogue.findings(
        subject.Subject(
            files=files,
            sources=texts.sources,
            tenants=against.tenants,
            declared=frozenset(against.declared),
            rules=against.limits,
            smoke=frozenset(against.smoke),
            tree=texts.tree,
        )
    )


def _needs(imported: facts.Imported, texts: sources.Texts) -> tuple[str, ...]:
    read = texts.tree.files.intersection(map(texts.tree.real, imported.reads))
    return tuple(sorted({*texts.needs(imported.path), *read} - {imported.path}))


def _perhaps(imported: facts.Imported, texts: sources.Texts) -> tuple[str, ...]:
    return tuple(sorted({*texts.needs(imported.path)}.difference(texts.loads(imported.path))))


def _parsed(file: subject.File) -> ParsedFile:
    dags = tuple(
        ParsedDag(dag.id, dag.at.line, dag.tags, ", ".join(dag.owners)) for dag in file.imported.dags
    )
    return ParsedFile(file.path, dags, file.needs)
