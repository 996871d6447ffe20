"""Rules about a DAG itself: its id, whose it is, when it runs, how often its tasks are tried."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_platform.dags.check.facts import Dag, Location, Task
from airflow_platform.dags.check.rules.subject import ALL, TAG, Subject, Violation, shown, tenant_names

NOBODY = ("airflow", "")
"""Owners that are none: Airflow's default."""

_SHOWN = 3


def same_id(subject: Subject) -> Iterator[Violation]:
    """Ids that two files give: Airflow would serve now one and now the other."""
    first: dict[str, Dag] = {}
    for file in subject.files:
        for dag in file.imported.dags:
            known = first.setdefault(dag.id, dag)
            if known is not dag:
                where = f"{shown(known.at.file)}:{known.at.line}"
                yield Violation(dag.at, f"The DAG {dag.id} is also made in {where}.", about=dag.id)


def owner(subject: Subject) -> Iterator[Violation]:
    """DAGs of which nobody says whose they are."""
    for dag in subject.dags:
        unowned = [task for task in dag.tasks if task.owner in NOBODY]
        if unowned:
            where = "Its tasks" if len(unowned) == len(dag.tasks) else _named(unowned)
            text = f"The DAG {dag.id} has no owner. {where}: Airflow's default."
            yield Violation(_at(dag, unowned), text, about=dag.id)


def tenant(subject: Subject) -> Iterator[Violation]:
    """DAGs that say of no tenant, or of one that is not declared, that they are for it."""
    for dag in subject.dags:
        names = tenant_names(dag)
        unknown = sorted(set(names) - subject.declared - {ALL})
        if not names:
            yield Violation(dag.at, f"The DAG {dag.id} has no tag {TAG}NAME.", about=dag.id)
        elif unknown:
            text = f"The DAG {dag.id} is for {', '.join(unknown)}, and no environment declares that."
            yield Violation(dag.at, text, about=dag.id)


def schedule(subject: Subject) -> Iterator[Violation]:
    """DAGs that run more often than allowed, or for the whole past."""
    rules = subject.rules
    for dag in subject.dags:
        if dag.interval is not None and dag.interval < rules.interval:
            often = f"every {dag.interval:g} s" if dag.interval else "again as soon as it has ended"
            text = f"The DAG {dag.id} runs {often}; {rules.interval} s must lie between two runs."
            yield Violation(dag.at, text, about=f"{dag.id} interval")
        if dag.catchup and not rules.catchup:
            text = f"The DAG {dag.id} catches up on all runs since its start date."
            yield Violation(dag.at, text, about=f"{dag.id} catchup")


def retries(subject: Subject) -> Iterator[Violation]:
    """Tasks that are tried again too seldom or too often."""
    least, most = subject.rules.least_retries, subject.rules.most_retries
    for dag in subject.dags:
        if dag.id in subject.smoke:
            continue
        odd = [task for task in dag.tasks if not least <= task.retries <= most]
        if odd:
            found = ", ".join(map(str, sorted({task.retries for task in odd})))
            yield Violation(
                _at(dag, odd),
                f"{_named(odd)} of the DAG {dag.id}: retries {found}; {least} to {most} are allowed.",
                about=dag.id,
            )


def _at(dag: Dag, tasks: list[Task]) -> Location:
    """Where to look: at the DAG when all its tasks are meant, else at the first of them."""
    return dag.at if len(tasks) == len(dag.tasks) else min(tasks, key=lambda task: task.at.line).at


def _named(tasks: list[Task]) -> str:
    names = ", ".join(task.id for task in tasks[:_SHOWN])
    more = f" and {len(tasks) - _SHOWN} more" if len(tasks) > _SHOWN else ""
    return f"Task{'s' * (len(tasks) > 1)} {names}{more}"
