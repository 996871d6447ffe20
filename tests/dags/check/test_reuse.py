"""What is kept of a check, and when it is not good enough any more; with the real Airflow."""

import concurrent.futures

import pytest

from airflow_platform import errors
from airflow_platform.dags.check import worker_client
from airflow_platform.testing import specs as made
from tests.dags.check.conftest import ANALYTICS, dag, found
from tests.dags.check.real import real

pytestmark = real


def test_an_unchanged_version_starts_no_worker(repository, shared_cache, monkeypatch):
    first = repository.check({"one.py": dag("one"), "two.py": "# airflow dag\nraise ValueError\n"})
    monkeypatch.setattr(worker_client, "Worker", None)
    again = repository.check()
    assert (first.imported, again.imported) == (2, 0)
    assert (again.files, again.findings) == (first.files, first.findings)
    assert again.commit != first.commit
    assert list((shared_cache / "dag-checks" / "trees").iterdir()) == []


CHANGES = {
    "its own text": (
        {"uses.py": "import helper\nopen(__file__.replace('uses.py', 'data.txt'))\n#\n" + dag("uses")},
        1,
    ),
    "a module that it imports": ({"helper.py": "import deep\nvalue = 2\n"}, 1),
    "a module that that one imports": ({"deep.py": "value = 2\n"}, 1),
    "a file that is no Python": ({"data.txt": "2"}, 2),
    "a module that it would import now": ({"later.py": "value = 1\n"}, 1),
    "a module that it would import by a name that it makes up": ({"teams/b.py": "value = 1\n"}, 1),
    "Python in a folder that it listed": ({"conf/b.py": ""}, 1),
    "nothing that it needs": ({"unrelated.py": "value = 1\n"}, 0),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_costs_what_it_touches(repository, what):
    uses = (
        "import helper, os\nfrom pathlib import Path\nhere = Path(__file__).parent\n"
        "(here / 'data.txt').read_text()\nlist((here / 'conf').iterdir())\n"
        "try:\n    import later\nexcept ImportError:\n    pass\n"
        "import importlib\nfor name in 'ab':\n    try:\n        importlib.import_module(f'teams.{name}')\n"
        "    except ModuleNotFoundError:\n        pass\n"
    )
    files = {
        "uses.py": uses + dag("uses"),
        "other.py": dag("other"),
        "helper.py": "import deep\n",
        "deep.py": "",
        "data.txt": "1",
        "conf/a.json": "{}",
        "teams/a.py": "",
    }
    repository.check(files)
    change, imported = CHANGES[what]
    assert repository.check(change).imported == imported


def test_other_rules_and_tenants_need_no_import_and_other_values_do(repository):
    repository.check({"one.py": dag("one")})
    assert repository.check({}, least_retries=3).imported == 0
    assert found(repository.check({}, least_retries=3)) == [("retries-policy", 5, "error")]
    more_pools = made.environment("sandbox", ANALYTICS.model_copy(update={"pools": ()}), "finance")
    assert repository.check({}, more_pools).imported == 0
    other = made.environment("sandbox", made.tenant("analytics", variables={"orders_schema": "OTHER"}))
    assert repository.check({}, other).imported == 1
    assert repository.check({}, import_memory=512).imported == 1


def test_results_that_were_cut_or_changed_are_made_again(repository, shared_cache):
    first = repository.check(
        {"one.py": dag("one"), "helper.py": "", "bad.py": "# airflow dag\nimport helper\n1/0\n"}
    )
    kept = [path for path in (shared_cache / "dag-checks" / "results").rglob("*") if path.is_file()]
    assert len(kept) == 4  # A version, two imports, the packages.
    for damage in (b"", b"{}", b"\0" * 100, None):
        for path in kept:
            text = path.read_bytes()
            path.write_bytes(text[: len(text) // 2] if damage is None else damage)
        again = repository.check()
        assert (again.files, again.findings, again.imported) == (first.files, first.findings, 2)
        assert repository.check().imported == 0


def test_results_that_cannot_be_written_are_an_error_that_names_the_place(repository, shared_cache):
    results = shared_cache / "dag-checks" / "results"
    results.write_text("in the way")
    try:
        with pytest.raises(errors.StateError, match="results"):
            repository.check({"one.py": dag("one")})
    finally:
        results.unlink()


def test_two_at_once_come_to_the_same(repository):
    repository.write({f"dag_{number}.py": dag(f"dag_{number}") for number in range(3)})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: repository.look(), range(2))
    assert (first.files, first.findings) == (second.files, second.findings)
    assert sorted(first.ids) == ["dag_0", "dag_1", "dag_2"]
