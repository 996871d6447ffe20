"""Each rule: facts in, findings out."""

import pytest

from airflow_platform.rules import catalogue, facts, source
from airflow_platform.rules.facts import Place, Problem, Work
from tests.rules.conftest import dag, file, findings, task

CASES = {
    "a good file": ([file()], {}, []),
    "an import error": (
        [file(dags=(), errors=(Problem(Place("b.py", 3), "ValueError: no"),))],
        {},
        [("dags/b.py", 3, "import-error", "ValueError: no", ())],
    ),
    "an import that ended its process": (
        [file(dags=(), ended="it was ended by SIGSEGV", ended_at=Place("a.py", 4))],
        {},
        [("dags/a.py", 4, "import-ended", "Its import told nothing: it was ended by SIGSEGV.", ())],
    ),
    "an import that was given up": (
        [file(dags=(), ended="late", ended_at=Place("a.py", 4), cpu=99)],
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
                    Work(kind, Place("a.py", line), "what")
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
        [file(name, work=(Work("sleep", Place("shared.py", 2), "what"),)) for name in ("a.py", "b.py")],
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
                "The DAG a runs every 59 s; 60 must lie between two runs.",
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
        {"sources": {"shared.py": source.Source(connections=(source.Connection("warehouse", 4),))}},
        [
            (
                "dags/shared.py",
                4,
                "connection-unknown",
                "The connection warehouse is not there for dev/y, prod/x.",
                ("dev/y", "prod/x"),
            )
        ],
    ),
    "modules that are not there": (
        [
            file(needs=("shared.py",), missing=("lost", "lost.too")),
            file(
                "b.py",
                dags=(),
                missing=("lost",),
                errors=(Problem(Place("b.py", 1), "No module named lost"),),
            ),
        ],
        {
            "sources": {
                "a.py": source.Source((source.Import("os", 1), source.Import("lost", 9))),
                "b.py": source.Source((source.Import("lost", 1),)),
                "shared.py": source.Source(
                    (
                        source.Import("lost.too", 3),
                        source.Import("lost.too", 4, kind="optional"),
                        source.Import("lost", 5, level=1),
                        source.Import("lost", 6, kind="typing"),
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


FORGED = {
    "nothing": {},
    "a list": {"dags": {}},
    "a number for a text": {"dags": [], "errors": [{"file": 1, "line": 1, "message": "x"}]},
    "line 0": {"errors": [{"file": "a.py", "line": 0, "message": "x"}]},
    "a truth for a line": {"errors": [{"file": "a.py", "line": True, "message": "x"}]},
    "a text without end": {"ended": "x" * 10_000},
    "no message": {"errors": [{"file": "a.py", "line": 1}]},
    "a DAG that is none": {"dags": ["x"]},
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_no_fact_is_refused(name):
    whole = {key: [] for key in ("dags", "errors", "work", "missing", "needs", "asked")} | {"cpu": 0.1}
    told = FORGED[name] if name in ("nothing", "a text without end") else {**whole, **FORGED[name]}
    with pytest.raises((facts.NoFacts, KeyError)):
        facts.Imported.from_json("a.py", told)


def test_a_place_outside_the_folder_is_the_first_line_of_the_file():
    away = Place("../../etc/passwd", 9)
    imported = facts.Imported(
        "a.py",
        dags=(dag("a", task(file="/etc/passwd"), file="b.py"),),
        errors=(Problem(away, "x"),),
        work=(Work("sleep", away, "x"),),
        ended_at=away,
    )
    placed = facts.placed(imported, {"a.py", "b.py"})
    assert placed.dags[0].at == Place("b.py", 5)
    assert {placed.dags[0].tasks[0].at, placed.errors[0].at, placed.work[0].at, placed.ended_at} == {
        Place("a.py", 1)
    }
