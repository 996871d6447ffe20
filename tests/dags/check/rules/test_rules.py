"""Each rule: facts in, findings out."""

import dataclasses

import pytest

from airflow_platform.dags.check import source
from airflow_platform.dags.check.connection_ids import Connection, Constant, Elsewhere
from airflow_platform.dags.check.facts import Location, Problem, Work
from airflow_platform.dags.check.import_statements import Import
from airflow_platform.dags.check.rules import catalogue
from tests.dags.check.rules.conftest import TENANTS, dag, file, findings, subject_of, task

NO_MEMORY = (
    "MemoryError: ",
    "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 GiB",
    "ValueError: MemoryError",
)

CASES = {
    "a good file": ([file()], {}, []),
    "an import error": (
        [file(dags=(), errors=(Problem(Location("b.py", 3), "ValueError: no"),))],
        {},
        [("dags/b.py", 3, "import-error", "ValueError: no", ())],
    ),
    "an import that ended its process": (
        [file(dags=(), ended="it was ended by SIGSEGV", ended_at=Location("a.py", 4))],
        {},
        [("dags/a.py", 4, "import-ended", "Its import gave no result: it was ended by SIGSEGV.", ())],
    ),
    "an import that was given up": (
        [file(dags=(), ended="late", ended_at=Location("a.py", 4), cpu=99)],
        {"import_deadline": 7},
        [("dags/a.py", 4, "import-timeout", "Its import had not ended after 7 s.", ())],
    ),
    "a slow import": (
        [file(cpu=2.55)],
        {"import_seconds": 2.5},
        [("dags/a.py", 1, "import-slow", "Its import takes 2.5 s of processor time; 2.5 are allowed.", ())],
    ),
    "an import just within the limit": ([file(cpu=2.5)], {"import_seconds": 2.5}, []),
    "work of each kind": (
        [
            file(
                work=tuple(
                    Work(kind, Location("a.py", line), "what")
                    for line, kind in enumerate(("network", "process", "sleep", "variable", "connection"), 1)
                )
            )
        ],
        {},
        [
            ("dags/a.py", 1, "network-at-import", "It uses the network while it is imported: what.", ()),
            (
                "dags/a.py",
                2,
                "process-at-import",
                "It starts or ends a process while it is imported: what.",
                (),
            ),
            ("dags/a.py", 3, "sleep-at-import", "It waits while it is imported: what.", ()),
            (
                "dags/a.py",
                4,
                "variable-at-import",
                "It asks Airflow's database while it is imported: what.",
                (),
            ),
            (
                "dags/a.py",
                5,
                "connection-at-import",
                "It asks Airflow's database while it is imported: what.",
                (),
            ),
        ],
    ),
    "work in a module that two files import is told once": (
        [file(name, work=(Work("sleep", Location("shared.py", 2), "what"),)) for name in ("a.py", "b.py")],
        {},
        [("dags/shared.py", 2, "sleep-at-import", "It waits while it is imported: what.", ())],
    ),
    "a file without DAGs": (
        [file(dags=())],
        {},
        [("dags/a.py", 1, "no-dags", "dags/a.py makes no DAG, and Airflow looks for one.", ())],
    ),
    "an id in two files": (
        [file("a.py", dag("same", line=3)), file("b.py", dag("same", line=7, file="b.py"))],
        {},
        [("dags/b.py", 7, "dag-id-twice", "The DAG same is also made in dags/a.py:3.", ())],
    ),
    "no owner at all": (
        [file("a.py", dag("a", task(owner="airflow"), task("two", owner="")))],
        {},
        [("dags/a.py", 5, "owner-missing", "The DAG a has no owner. Its tasks: Airflow's default.", ())],
    ),
    "no owner of some tasks": (
        [
            file(
                "a.py",
                dag(
                    "a",
                    task(),
                    task("two", line=12, owner="airflow"),
                    task("three", line=11, owner="airflow"),
                ),
            )
        ],
        {},
        [
            (
                "dags/a.py",
                11,
                "owner-missing",
                "The DAG a has no owner. Tasks two, three: Airflow's default.",
                (),
            )
        ],
    ),
    "no tag": (
        [file("a.py", dag(tags=("orders",)))],
        {},
        [("dags/a.py", 5, "tenant-tag", "The DAG a has no tag tenant:NAME.", ())],
    ),
    "a tag of nobody": (
        [file("a.py", dag(tags=("tenant:x", "tenant:nobody", "tenant:none")))],
        {},
        [
            (
                "dags/a.py",
                5,
                "tenant-tag",
                "The DAG a is for nobody, none, and no environment declares that.",
                (),
            )
        ],
    ),
    "a tag of a tenant that is declared in an environment that is not looked at": (
        [file("a.py", dag(tags=("tenant:elsewhere",)))],
        {},
        [],
    ),
    "too often, and for the past": (
        [file("a.py", dag(interval=59.0, catchup=True))],
        {},
        [
            ("dags/a.py", 5, "schedule-policy", "The DAG a catches up on all runs since its start date.", ()),
            (
                "dags/a.py",
                5,
                "schedule-policy",
                "The DAG a runs every 59 s; 60 s must lie between two runs.",
                (),
            ),
        ],
    ),
    "as often as allowed": ([file("a.py", dag(interval=60.0, catchup=True))], {"catchup": True}, []),
    "by hand": ([file("a.py", dag(interval=None, schedule=""))], {}, []),
    "retries of some tasks": (
        [
            file(
                "a.py", dag("a", task(), *(task(f"t{n}", line=30 - n, retries=6 * (n % 2)) for n in range(4)))
            )
        ],
        {},
        [
            (
                "dags/a.py",
                27,
                "retries-policy",
                "Tasks t0, t1, t2 and 1 more of the DAG a: retries 0, 6; 1 to 5 are allowed.",
                (),
            )
        ],
    ),
    "retries of the smoke DAG": (
        [file("a.py", dag("smoke", task(retries=0)))],
        {"smoke": frozenset({"smoke"})},
        [],
    ),
    "a pool that one tenant has": (
        [file("a.py", dag("a", task(pool="big"), task("two", line=8, pool="big")))],
        {},
        [("dags/a.py", 8, "pool-unknown", "The pool big is not there for dev/y.", ("dev/y",))],
    ),
    "a pool that all tenants of the DAG have": (
        [file("a.py", dag("a", task(pool="big"), tags=("tenant:x",)))],
        {},
        [],
    ),
    "a pool that nobody has": (
        [file("a.py", dag("a", task(pool="lost"), tags=("tenant:x", "tenant:y")))],
        {},
        [("dags/a.py", 10, "pool-unknown", "The pool lost is not there for dev/x, dev/y, prod/x.", ())],
    ),
    "a connection that two tenants lack": (
        [file("a.py", dag("a", task(connections=("warehouse",)), task("two", connections=("warehouse",))))],
        {},
        [
            (
                "dags/a.py",
                10,
                "connection-unknown",
                "The connection warehouse is not there for dev/y, prod/x.",
                ("dev/y", "prod/x"),
            )
        ],
    ),
    "a connection in a text that DAGs of two files share": (
        [
            file(
                "a.py", dag("a", task(connections=("warehouse",)), tags=("tenant:x",)), needs=("shared.py",)
            ),
            file("b.py", dag("b", file="b.py", tags=("tenant:y",)), needs=("shared.py",)),
        ],
        {"sources": {"shared.py": source.Source(connections=(Connection("warehouse", 4),))}},
        [
            (
                "dags/shared.py",
                4,
                "connection-unknown",
                "The connection warehouse is not there for prod/x.",
                ("prod/x",),
            )
        ],
    ),
    "a connection in a shared text, and a tenant that it is not for": (
        [
            file("a.py", dag("a", tags=("tenant:x",)), needs=("shared.py",)),
            file(
                "b.py",
                dag("b", task(connections=("warehouse",)), file="b.py", tags=("tenant:y",)),
                needs=("shared.py",),
            ),
        ],
        {
            "sources": {"shared.py": source.Source(connections=(Connection("warehouse", 4),))},
            "tenants": TENANTS[:2],
        },
        [
            (
                "dags/a.py",
                10,
                "connection-unknown",
                "The connection warehouse is not there for dev/y.",
                ("dev/y",),
            )
        ],
    ),
    "a connection in a shared text, and a DAG of which one tenant has it": (
        [
            file("a.py", dag("a", tags=("tenant:x",)), needs=("shared.py",)),
            file("b.py", dag("b", file="b.py", tags=("tenant:all",)), needs=("shared.py",)),
        ],
        {
            "sources": {"shared.py": source.Source(connections=(Connection("warehouse", 4),))},
            "tenants": TENANTS[:2],
        },
        [],
    ),
    "a connection in a text that no tenant of its DAGs has": (
        [
            file("a.py", dag("a", tags=("tenant:x",)), needs=("shared.py",)),
            file("b.py", dag("b", file="b.py", tags=("tenant:y",)), needs=("shared.py",)),
        ],
        {"sources": {"shared.py": source.Source(connections=(Connection("lost", 4),))}},
        [
            (
                "dags/shared.py",
                4,
                "connection-unknown",
                "The connection lost is not there for dev/x, dev/y, prod/x.",
                (),
            )
        ],
    ),
    "a connection whose id another file has": (
        [file("a.py", dag("a", tags=("tenant:y",)), needs=("names.py",))],
        {
            "sources": {
                "a.py": source.Source(connections=(Connection("", 7, Elsewhere("names", name="WAREHOUSE")),)),
                "names.py": source.Source(constants=(Constant("WAREHOUSE", "warehouse"),)),
            }
        },
        [
            (
                "dags/a.py",
                7,
                "connection-unknown",
                "The connection warehouse is not there for dev/y.",
                ("dev/y",),
            )
        ],
    ),
    "an executor that one tenant has": (
        [
            file(
                "a.py",
                dag(
                    "a",
                    task(executor="CeleryExecutor"),
                    task("two", line=12, executor="airflow.executors.local_executor.LocalExecutor"),
                    task("three", line=14),
                ),
            )
        ],
        {
            "tenants": (
                *TENANTS[:2],
                dataclasses.replace(TENANTS[2], executor="CeleryExecutor"),
                dataclasses.replace(TENANTS[2], environment="eks", executor=""),
            )
        },
        [
            (
                "dags/a.py",
                10,
                "executor-unknown",
                "The executor CeleryExecutor is not there for dev/x, dev/y.",
                ("dev/x", "dev/y"),
            ),
            (
                "dags/a.py",
                12,
                "executor-unknown",
                "The executor airflow.executors.local_executor.LocalExecutor is not there for prod/x.",
                ("prod/x",),
            ),
        ],
    ),
    "one run after the other": (
        [file("a.py", dag(interval=0.0))],
        {},
        [
            (
                "dags/a.py",
                5,
                "schedule-policy",
                "The DAG a runs again as soon as it has ended; 60 s must lie between two runs.",
                (),
            )
        ],
    ),
    "one run after the other, where that is allowed": (
        [file("a.py", dag(interval=0.0))],
        {"interval": 0},
        [],
    ),
    "an import that needs too much memory": (
        [
            file(
                dags=(),
                errors=tuple(Problem(Location("a.py", line), text) for line, text in enumerate(NO_MEMORY, 1)),
            )
        ],
        {"import_memory": 99},
        [
            (
                "dags/a.py",
                1,
                "import-memory",
                "Its import needs more memory than the 99 MiB that it may have.",
                (),
            ),
            (
                "dags/a.py",
                2,
                "import-memory",
                "Its import needs more memory than the 99 MiB that it may have.",
                (),
            ),
            ("dags/a.py", 3, "import-error", "ValueError: MemoryError", ()),
        ],
    ),
    "an import that waits": (
        [file(cpu=1.0, waited=20.4)],
        {},
        [("dags/a.py", 1, "import-slow", "Its import waits 20 s for something; 5 are allowed.", ())],
    ),
    "an import that waits on a machine that is busy with it": ([file(cpu=1.9, waited=3.9)], {}, []),
    "an import that waits for its own threads, which work": (
        [file(cpu=10.0, waited=19.0)],
        {"import_seconds": 11},
        [],
    ),
    "a file that only functions import and that is no Python": (
        [
            file(name, broken=(Problem(Location("bad.py", 3), "SyntaxError: no"),))
            for name in ("a.py", "b.py")
        ],
        {},
        [("dags/bad.py", 3, "module-broken", "dags/bad.py cannot be imported: SyntaxError: no.", ())],
    ),
    "a module of the folder that is not there": (
        [file("pack/a.py", needs=("pack/deep/b.py", "pack/deep/maybe.py"), perhaps=("pack/deep/maybe.py",))],
        {
            "sources": {
                "pack/a.py": source.Source(
                    (
                        Import("", 2, 1, ("made",)),  # Its import went well.
                        Import("", 3, 1, ("gone", "deep"), late=True),
                        Import("lost.too", 4, 1, ("x",), late=True),
                        Import("", 5, 2, ("up",), late=True),
                    )
                ),
                "pack/deep/maybe.py": source.Source((Import("", 2, 2, ("lost",)),)),
                "pack/deep/b.py": source.Source(
                    (Import("", 2, 2, ("lost",)), Import("", 3, 2, ("x",), "optional"))
                ),
            },
            "paths": source.Tree(
                frozenset({"pack/a.py", "pack/deep/b.py", "up.py"}), frozenset({".", "pack", "pack/deep"})
            ),
        },
        [
            ("dags/pack/a.py", 3, "module-missing", "Nothing provides the module .gone.", ()),
            ("dags/pack/a.py", 4, "module-missing", "Nothing provides the module .lost.too.", ()),
            ("dags/pack/deep/b.py", 2, "module-missing", "Nothing provides the module ..lost.", ()),
        ],
    ),
    "a module that what an import has opened has made up": (
        [file(needs=("pack/b.py",), reads=("linked/b.py",))],
        {
            "sources": {
                "pack/b.py": source.Source(
                    (Import("", 1, 1, ("made",)), Import("", 2, 1, ("lost",), late=True))
                )
            },
            "paths": source.Tree(frozenset({"pack/b.py"}), frozenset({"pack", "linked"}), {"linked": "pack"}),
        },
        [("dags/pack/b.py", 2, "module-missing", "Nothing provides the module .lost.", ())],
    ),
    "modules that only what may fail lacks": (
        [file(needs=("maybe.py",), perhaps=("maybe.py",), reads=("maybe.py",), missing=("lost",))],
        {"sources": {"maybe.py": source.Source((Import("lost", 1), Import("lost", 2, late=True)))}},
        [],
    ),
    "modules that are not there": (
        [
            file(needs=("shared.py",), missing=("lost", "lost.too")),
            file(
                "b.py",
                dags=(),
                missing=("lost",),
                errors=(Problem(Location("b.py", 1), "No module named lost"),),
            ),
        ],
        {
            "sources": {
                "a.py": source.Source((Import("os", 1), Import("lost", 9, late=True))),
                "b.py": source.Source((Import("lost", 1),)),
                "shared.py": source.Source(
                    (
                        Import("lost.too", 3),
                        Import("lost.too", 4, kind="optional"),
                        Import("lost", 5, kind="elsewhere"),
                        Import("lost", 6, kind="typing"),
                    )
                ),
            }
        },
        [
            ("dags/a.py", 9, "module-missing", "Nothing provides the module lost.", ()),
            ("dags/b.py", 1, "import-error", "No module named lost", ()),
            ("dags/shared.py", 3, "module-missing", "Nothing provides the module lost.too.", ()),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_finds_what_it_must_and_no_more(name):
    files, surroundings, wanted = CASES[name]
    assert findings(*files, **surroundings) == wanted


def test_every_rule_has_a_case():
    told = {finding[2] for _, _, wanted in CASES.values() for finding in wanted}
    assert told == {rule.name for rule in catalogue.RULES}


def test_names_are_words_joined_by_hyphens_and_remedies_are_sentences():
    names = [rule.name for rule in catalogue.RULES]
    assert len(set(names)) == len(names)
    for rule in catalogue.RULES:
        assert rule.name.replace("-", "").isalpha()
        assert rule.name.islower()
        assert rule.remedy.endswith(".")


def test_what_a_finding_is_about_tells_those_of_one_rule_apart():
    files = file("a.py", dag("one", tags=()), dag("two", tags=(), catchup=True, interval=1.0))
    looked_at = subject_of(files)
    assert sorted((each.rule, each.about) for each in catalogue.findings(looked_at)) == [
        ("schedule-policy", "two catchup"),
        ("schedule-policy", "two interval"),
        ("tenant-tag", "one"),
        ("tenant-tag", "two"),
    ]
