"""Rules about what a DAG's tenants must have: connections and pools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_platform.rules.facts import Place
from airflow_platform.rules.subject import Found, Subject, Tenant


def connection(subject: Subject) -> Iterator[Found]:
    """Connection ids, in operators and in the text of files, that a tenant of the DAG does not have."""
    told: set[tuple[str, str]] = set()
    for path, users in subject.users.items():
        dags = [dag for user in users for dag in user.imported.dags]
        tenants = subject.tenants_of(dags)
        for each in subject.sources[path].connections if path in subject.sources else ():
            lacking = [tenant for tenant in tenants if each.id not in tenant.connections]
            if lacking:
                told.update((user.path, each.id) for user in users)
                yield Found(
                    Place(path, each.line), _message("connection", each.id, lacking), subject.named(lacking)
                )
    for file in subject.files:
        for dag in file.imported.dags:
            tenants = subject.tenants_of([dag])
            for task in dag.tasks:
                for name in task.connections:
                    lacking = [tenant for tenant in tenants if name not in tenant.connections]
                    # What the text says is told with its own line.
                    if lacking and (file.path, name) not in told:
                        told.add((file.path, name))
                        yield Found(task.at, _message("connection", name, lacking), subject.named(lacking))


def pool(subject: Subject) -> Iterator[Found]:
    """Pools that a tenant of the DAG does not have: its tasks would wait for ever."""
    for dag in subject.dags:
        tenants = subject.tenants_of([dag])
        for name in sorted({task.pool for task in dag.tasks}):
            lacking = [tenant for tenant in tenants if name not in tenant.pools]
            if lacking:
                first = min((task for task in dag.tasks if task.pool == name), key=lambda task: task.at.line)
                yield Found(first.at, _message("pool", name, lacking), subject.named(lacking))


def _message(what: str, name: str, lacking: Iterable[Tenant]) -> str:
    return f"The {what} {name} is not there for {', '.join(sorted(map(str, lacking)))}."
