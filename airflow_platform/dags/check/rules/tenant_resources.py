"""Rules about what a DAG's tenants must have: connections, pools, executors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from airflow_platform.dags.check import source
from airflow_platform.dags.check.facts import Dag, Location, Task
from airflow_platform.dags.check.rules.subject import File, Subject, Tenant, Violation


def connection(subject: Subject) -> Iterator[Violation]:
    """Connection ids, in operators and in the text of files, that a tenant of the DAG does not have."""
    told: dict[tuple[str, str], set[Tenant]] = {}
    for path, users in subject.users.items():
        for each in subject.sources[path].connections if path in subject.sources else ():
            name = source.connection_id(path, each, subject.sources)
            lacking = _lacking_in_text(subject, users, name) if name else []
            if lacking:
                for user in users:
                    told.setdefault((user.path, name), set()).update(lacking)
                yield _found(subject, Location(path, each.line), "connection", name, lacking)
    for file in subject.files:
        for dag in file.imported.dags:
            tenants = subject.tenants_of([dag])
            for task in dag.tasks:
                for name in task.connections:
                    lacking = [tenant for tenant in tenants if name not in tenant.connections]
                    # What the text says is told with its own line.
                    known = told.setdefault((file.path, name), set())
                    if not known.issuperset(lacking):
                        known.update(lacking)
                        yield _found(subject, task.at, "connection", name, lacking)


def _lacking_in_text(subject: Subject, users: Iterable[File], name: str) -> list[Tenant]:
    """Tenants that lack a connection which a text names.

    Whose DAG comes to that line is not known. Where the tenants of one DAG all have it, it is for that DAG; else for
    those DAGs of which a tenant has it; else for all.
    """
    of_dags = [subject.tenants_of([dag]) for user in users for dag in user.imported.dags]
    lacking = [{tenant for tenant in each if name not in tenant.connections} for each in of_dags]
    if any(each and not less for each, less in zip(of_dags, lacking, strict=True)):
        return []
    partly = [less for each, less in zip(of_dags, lacking, strict=True) if len(less) < len(each)]
    return sorted(set().union(*(partly or lacking)), key=str)


def pool(subject: Subject) -> Iterator[Violation]:
    """Pools that a tenant of the DAG does not have: its tasks would wait for ever."""
    return _of_tasks(subject, "pool", lambda task: task.pool, lambda tenant, name: name in tenant.pools)


def executor(subject: Subject) -> Iterator[Violation]:
    """Executors that a tenant of the DAG does not have: its Airflow would refuse the file."""
    return _of_tasks(
        subject,
        "executor",
        lambda task: task.executor,
        lambda tenant, name: not tenant.executor or name.rpartition(".")[2] in ("", tenant.executor),
    )


def _of_tasks(
    subject: Subject, what: str, of: Callable[[Task], str], has: Callable[[Tenant, str], bool]
) -> Iterator[Violation]:
    """What tasks name and a tenant of their DAG does not have, once a DAG."""
    for dag in subject.dags:
        tenants = subject.tenants_of([dag])
        for name in sorted({of(task) for task in dag.tasks}):
            lacking = [tenant for tenant in tenants if not has(tenant, name)]
            if lacking:
                yield _found(subject, _first(dag, name, of), what, name, lacking)


def _first(dag: Dag, name: str, of: Callable[[Task], str]) -> Location:
    return min((task for task in dag.tasks if of(task) == name), key=lambda task: task.at.line).at


def _found(subject: Subject, at: Location, what: str, name: str, lacking: Sequence[Tenant]) -> Violation:
    text = f"The {what} {name} is not there for {', '.join(sorted(map(str, lacking)))}."
    return Violation(at, text, subject.named(lacking), name)
