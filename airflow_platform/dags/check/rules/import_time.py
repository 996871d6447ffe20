"""Rules about the import of a file: that it succeeds, ends, is quick, does no work, and can be had everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_platform.dags.check import source
from airflow_platform.dags.check.facts import Imported, Location
from airflow_platform.dags.check.rules.subject import File, Subject, Violation, shown
from airflow_platform.dags.check.worker import messages

NO_MEMORY = re.compile(r"^[\w.]*MemoryError\b")
"""How the message of an import that needed too much begins: Python's own, or a package's."""

LONGEST_WAIT = 5.0
"""Seconds that an import may wait, for locks, queues, disks: a disk that is cold and busy takes one or two."""


def failed(subject: Subject) -> Iterator[Violation]:
    """Files that Airflow cannot import, validate or serialise."""
    for file in subject.files:
        for each in file.imported.errors:
            if not NO_MEMORY.match(each.message):
                yield Violation(each.at, each.message)


def memory(subject: Subject) -> Iterator[Violation]:
    """Files whose import needs more memory than it may have."""
    text = f"Its import needs more memory than the {subject.rules.import_memory} MiB that it may have."
    for file in subject.files:
        if file.imported.ended == messages.MEMORY:
            yield Violation(file.ended_at, text)
        yield from (
            Violation(each.at, text) for each in file.imported.errors if NO_MEMORY.match(each.message)
        )


def broken(subject: Subject) -> Iterator[Violation]:
    """Files that are no Python, where only functions import them: tasks would fail."""
    for each in sorted({each for file in subject.files for each in file.imported.broken}):
        yield Violation(each.at, f"{shown(each.at.file)} cannot be imported: {each.message}.")


def ended(subject: Subject) -> Iterator[Violation]:
    """Files whose import ended the process that it ran in."""
    for file in subject.files:
        how = file.imported.ended
        if how and how not in (messages.LATE, messages.MEMORY):
            yield Violation(file.ended_at, f"Its import gave no result: {how}.")


def endless(subject: Subject) -> Iterator[Violation]:
    """Files whose import was given up."""
    for file in subject.files:
        if file.imported.ended == messages.LATE:
            limit = subject.rules.import_deadline
            yield Violation(file.ended_at, f"Its import had not ended after {limit} s.")


def slow(subject: Subject) -> Iterator[Violation]:
    """Files whose import takes long; those that were given up are told already."""
    for file in subject.files:
        found, limit = file.imported, subject.rules.import_seconds
        if found.ended:
            continue
        if found.cpu > limit:
            text = f"Its import takes {found.cpu:.1f} s of processor time; {limit:g} are allowed."
            yield Violation(Location(file.path, 1), text, about="processor")
        if is_waiting(found):
            text = f"Its import waits {found.waited:.0f} s for something; {LONGEST_WAIT:g} are allowed."
            yield Violation(Location(file.path, 1), text, about="waiting")


def is_waiting(found: Imported) -> bool:
    """Whether an import waited, and not because it, or the machine, was busy."""
    return found.waited > max(LONGEST_WAIT, 2 * found.cpu)


def network(subject: Subject) -> Iterator[Violation]:
    """Connections and look-ups of hosts while importing."""
    return _work(subject, "network", "It uses the network while it is imported: {what}.")


def process(subject: Subject) -> Iterator[Violation]:
    """Programs and signals while importing."""
    return _work(subject, "process", "It starts or ends a process while it is imported: {what}.")


def sleep(subject: Subject) -> Iterator[Violation]:
    """Waiting while importing."""
    return _work(subject, "sleep", "It waits while it is imported: {what}.")


def variable(subject: Subject) -> Iterator[Violation]:
    """Airflow variables while importing."""
    return _work(subject, "variable", "It asks Airflow's database while it is imported: {what}.")


def connection(subject: Subject) -> Iterator[Violation]:
    """Airflow connections while importing."""
    return _work(subject, "connection", "It asks Airflow's database while it is imported: {what}.")


def missing(subject: Subject) -> Iterator[Violation]:
    """Imports, also in functions, that neither the packages nor the folder of DAGs provide."""
    for path, users in subject.users.items():
        # What may fail to be imported may lack anything.
        needing = [user for user in users if path not in user.perhaps]
        lacking = {name for user in needing for name in user.imported.missing}
        failed_at = {each.at for user in needing for each in user.imported.errors}
        proved = any(_has_executed(user, path, subject) for user in needing)
        for each in subject.sources.get(path, source.Source()).imports if needing else ():
            at = Location(path, each.line)
            # At the top of a file, its import has told: by success, or by an error of the same line.
            if each.kind != "needed" or at in failed_at or (proved and not each.late):
                continue
            names = [each.module] if each.module in lacking else []
            names += sorted(lacking.intersection(f"{each.module}.{name}" for name in each.names))
            if each.level:  # Of the folder, where only its files can tell.
                names = list(source.lacking(path, each, subject.sources, subject.tree))
            for name in names:
                yield Violation(at, f"Nothing provides the module {name}.", about=name)


def _has_executed(user: File, path: str, subject: Subject) -> bool:
    """Whether the import of a DAG file has executed all at the top of a file, and went well."""
    found = user.imported
    return path in subject.opened[user.path] and not (found.errors or found.ended)


def empty(subject: Subject) -> Iterator[Violation]:
    """Files that Airflow imports again and again for nothing."""
    for file in subject.files:
        found = file.imported
        if not (found.dags or found.errors or found.ended or found.work):
            yield Violation(
                Location(file.path, 1), f"{shown(file.path)} makes no DAG, and Airflow looks for one."
            )


def _work(subject: Subject, kind: str, message: str) -> Iterator[Violation]:
    """Work of a kind; what a shared file does is told once."""
    seen = set()
    for file in subject.files:
        for each in file.imported.work:
            if each.kind == kind and each not in seen:
                seen.add(each)
                yield Violation(each.at, message.format(what=each.what), about=each.what)
