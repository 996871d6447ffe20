"""What is kept of a check, and when it is not good enough any more; with the real Airflow."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.supervisor import linux
from airflow_platform.testing import specs as made
from airflow_platform.tools import cache, parsing_worker
from tests.parsing.caches import wait_for, workers
from tests.parsing.conftest import ANALYTICS, dag, found
from tests.parsing.real import real

pytestmark = real


def test_an_unchanged_version_asks_no_worker(empty_repository, own_cache):
    first = empty_repository.check({"one.py": dag("one"), "two.py": "# airflow dag\nraise ValueError\n"})
    parsing_worker.end_all(own_cache / "dag-checks" / "workers")
    again = empty_repository.check()
    assert (first.anew, again.anew) == (2, 0)
    assert (again.files, again.findings) == (first.files, first.findings)
    assert again.commit != first.commit
    assert workers(own_cache) == []
    assert list((own_cache / "dag-checks" / "trees").iterdir()) == []


CHANGES = {
    "its own text": (
        {"uses.py": "import helper\nopen(__file__.replace('uses.py', 'data.txt'))\n#\n" + dag("uses")},
        1,
    ),
    "a module that it imports": ({"helper.py": "import deep\nvalue = 2\n"}, 1),
    "a module that that one imports": ({"deep.py": "value = 2\n"}, 1),
    "a file that it reads": ({"data.txt": "2"}, 1),
    "a module that it would import now": ({"later.py": "value = 1\n"}, 1),
    "a file that it asked for": ({"maybe.txt": "there"}, 1),
    "a module that it would import by a name that it makes up": ({"teams/b.py": "value = 1\n"}, 1),
    "a file whose size it asked for": ({"sized.txt": "longer"}, 1),
    "a file in a folder that it listed": ({"conf/b.json": "{}"}, 1),
    "nothing that it needs": ({"unrelated.py": "value = 1\n", "text.md": "x"}, 0),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_costs_what_it_touches(repository, what):
    uses = (
        "import helper, os\nfrom pathlib import Path\nhere = Path(__file__).parent\n"
        "(here / 'data.txt').read_text()\n(here / 'maybe.txt').exists()\nlist((here / 'conf').iterdir())\n"
        "try:\n    import later\nexcept ImportError:\n    pass\n"
        "import importlib\nfor name in 'ab':\n    try:\n        importlib.import_module(f'teams.{name}')\n"
        "    except ModuleNotFoundError:\n        pass\n"
        "os.path.getsize(here / 'sized.txt')\n"
    )
    files = {
        "uses.py": uses + dag("uses"),
        "other.py": dag("other"),
        "helper.py": "import deep\n",
        "deep.py": "",
        "data.txt": "1",
        "conf/a.json": "{}",
        "teams/a.py": "",
        "sized.txt": "1",
    }
    repository.check(files)
    change, anew = CHANGES[what]
    assert repository.check(change).anew == anew


def test_other_rules_and_tenants_need_no_import_and_other_values_do(repository):
    repository.check({"one.py": dag("one")})
    assert repository.check({}, least_retries=3).anew == 0
    assert found(repository.check({}, least_retries=3)) == [("retries-policy", 5, "error")]
    more_pools = made.environment("sandbox", ANALYTICS.model_copy(update={"pools": ()}), "finance")
    assert repository.check({}, more_pools).anew == 0
    other = made.environment("sandbox", made.tenant("analytics", variables={"orders_schema": "OTHER"}))
    assert repository.check({}, other).anew == 1
    assert repository.check({}, import_memory=512).anew == 1


def test_results_that_were_cut_or_changed_are_made_again(repository, shared_cache):
    first = repository.check(
        {"one.py": dag("one"), "helper.py": "", "bad.py": "# airflow dag\nimport helper\n1/0\n"}
    )
    kept = [path for path in (shared_cache / "dag-checks" / "results").rglob("*") if path.is_file()]
    assert len(kept) == 7  # A version, two imports, three texts, the packages.
    for damage in (b"", b"{}", b"\0" * 100, None):
        for path in kept:
            text = path.read_bytes()
            path.write_bytes(text[: len(text) // 2] if damage is None else damage)
        again = repository.check()
        assert (again.files, again.findings, again.anew) == (first.files, first.findings, 2)
        assert repository.check().anew == 0


def test_results_that_cannot_be_written_are_an_error_that_names_the_place(repository, shared_cache):
    results = shared_cache / "dag-checks" / "results"
    results.write_text("in the way")
    try:
        with pytest.raises(errors.StateError, match="results"):
            repository.check({"one.py": dag("one")})
    finally:
        results.unlink()


def test_two_at_once_share_a_worker_and_come_to_the_same(empty_repository, own_cache):
    commit = {f"dag_{number}.py": dag(f"dag_{number}") for number in range(6)}
    empty_repository.write(commit)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        checked = list(pool.map(lambda _: in_another_process(empty_repository), range(3)))
    assert checked == ["dag_0,dag_1,dag_2,dag_3,dag_4,dag_5 0"] * 3
    assert len(workers(own_cache)) == 1


def in_another_process(repository):
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from tests.parsing.conftest import Repository\n"
        "from airflow_platform import programs; from airflow_platform.tools import git\n"
        "from airflow_platform.config import dag_rules\n"
        "from airflow_platform.dag_checks import commits, standards; from tests.parsing.conftest import SANDBOX\n"
        "against = standards.of([SANDBOX], dag_rules.Rules(), ['analytics'])\n"
        "place = Path(sys.argv[1]); runner = programs.Programs()\n"
        "checked = commits.check(git.resolve(runner, place, 'HEAD', 'dags'), against, runner=runner,"
        " progress=lambda text: None, checkout=place)\n"
        "print(','.join(sorted(checked.ids)), len(checked.findings))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, repository.place],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_caller_that_is_killed_leaves_no_import_behind(empty_repository, own_cache):
    empty_repository.check({"good.py": dag("good")})
    (worker,) = workers(own_cache)
    empty_repository.write({"loops.py": "# airflow dag\nwhile True: pass\n"})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        caller = pool.submit(in_another_process, empty_repository)
        wait_for(lambda: linux.descendants(worker))
        (calling,) = [
            each
            for each in linux.descendants(os.getpid())
            if str(empty_repository.place) in linux.title(each.pid)
        ]
        os.kill(calling.pid, signal.SIGKILL)
        with pytest.raises(AssertionError):
            caller.result()
    wait_for(lambda: not linux.descendants(worker))
    assert workers(own_cache) == [worker]


def test_a_worker_that_is_killed_takes_its_imports_with_it(empty_repository, own_cache):
    empty_repository.check({"good.py": dag("good")})
    (worker,) = workers(own_cache)
    empty_repository.write({"loops.py": "# airflow dag\nwhile True: pass\n"})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        caller = pool.submit(in_another_process, empty_repository)
        wait_for(lambda: looping(worker))
        importing = linux.descendants(worker)
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: all(linux.process(each.pid) != each for each in importing))
        wait_for(lambda: workers(own_cache) and looping(workers(own_cache)[0]))
        os.kill(workers(own_cache)[0], signal.SIGKILL)
        assert caller.result() == "good 1"


def looping(worker):
    """Whether a file is imported that loops: a listing is soon over."""
    ticks = os.sysconf("SC_CLK_TCK")
    for each in linux.descendants(worker):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each.pid}/stat").read_text().rpartition(")")[2].split()
            if int(fields[11]) > ticks // 2:
                return True
    return False


def test_in_ci_no_worker_is_left(empty_repository, own_cache, monkeypatch):
    monkeypatch.setenv("CI", "true")
    assert empty_repository.check({"good.py": dag("good")}).findings == ()
    wait_for(lambda: not workers(own_cache))


def test_the_cache_is_emptied_though_a_worker_waits(empty_repository, own_cache):
    empty_repository.check({"good.py": dag("good")})
    assert workers(own_cache)
    parsing_worker.end_all(own_cache / "dag-checks" / "workers")
    assert "dag-checks" in cache.prune(own_cache).names
    assert workers(own_cache) == []
