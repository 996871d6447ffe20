"""What a worker reports is not trusted."""

import pytest

from airflow_platform.dags.check import facts
from airflow_platform.dags.check.facts import Location

TASK = {
    "id": "t",
    "at": {"file": "/etc/passwd", "line": 3},
    "owner": "o",
    "retries": 1,
    "pool": "p",
    "connections": [],
}
DAG = {
    "id": "a", "at": {"file": "b.py", "line": 5}, "tags": [], "catchup": False, "schedule": "", "interval": None,
    "tasks": [TASK],
}  # fmt: skip
AWAY = {"file": "../../etc/passwd", "line": 9}

FORGED = {
    "nothing": {},
    "a mapping for a list": {"cpu": 0.1, "dags": {}},
    "a number for a text": {"cpu": 0.1, "errors": [{"at": {"file": 1, "line": 1}, "message": "x"}]},
    "a truth for a line": {"cpu": 0.1, "errors": [{"at": {"file": "a.py", "line": True}, "message": "x"}]},
    "no message": {"cpu": 0.1, "errors": [{"at": {"file": "a.py", "line": 1}}]},
    "a DAG that is none": {"cpu": 0.1, "dags": ["x"]},
    "a number without end": {"cpu": 1e300},
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_no_fact_is_an_import_without_an_answer(name):
    assert facts.read("a.py", FORGED[name], {"a.py"}).ended == "what it answered does not describe DAGs"


def test_a_place_outside_the_folder_is_the_first_line_of_the_file():
    told = {
        "cpu": 0.1,
        "dags": [DAG],
        "errors": [{"at": AWAY, "message": "x"}],
        "ended_at": {"file": "a.py", "line": 0},
    }
    read = facts.read("a.py", told, {"a.py", "b.py"})
    assert read.dags[0].at == Location("b.py", 5)
    assert {read.dags[0].tasks[0].at, read.errors[0].at, read.ended_at} == {Location("a.py", 1)}


def test_what_would_steer_a_terminal_is_not_taken_in():
    words = "\x1b]0;title\x07\x1b[2J\nnext"
    work = {"kind": "sleep", "at": {"file": "a.py", "line": 1}, "what": words + "x" * 5000}
    read = facts.read(
        "a.py", {"cpu": 0.1, "work": [work], "reads": ["odd\x1b.txt"], "ended": words}, {"a.py"}
    )
    assert read.work[0].what.startswith("?]0;title??[2J?nextx")
    assert len(read.work[0].what) == 1000
    assert read.ended == "?]0;title??[2J?next"
    assert read.reads == ("odd\x1b.txt",)  # The name of a file: it is looked up, not shown.
