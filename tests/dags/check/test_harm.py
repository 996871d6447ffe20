"""Files that would harm whoever imports them: each costs only itself, and is found with file and line."""

import time

from tests.dags.check.conftest import DAG, dag, found
from tests.dags.check.real import as_root, real

pytestmark = real

HARM = {
    "loops.py": (
        """# airflow dag
while True: pass
""",
        [("import-timeout", 2)],
    ),
    "hangs_in_c.py": (
        """# airflow dag
import re
re.match(r"(a+)+$", "a" * 60 + "b")
""",
        [("import-timeout", 3)],
    ),
    "allocates.py": (
        """# airflow dag

held = b"x" * 2 * 1024**3
""",
        [("import-memory", 3)],
    ),
    "grows.py": (
        """# airflow dag
held = []
while True:
    held.append(b'x' * 50_000_000)
""",
        [("import-memory", 4)],
    ),
    "exits.py": (
        """# airflow dag
import os
os._exit(0)
""",
        [("process-at-import", 3)],
    ),
    "exits_natively.py": (
        """# airflow dag
import posix
posix._exit(0)
""",
        [("import-ended", 1)],
    ),
    "raises_exit.py": (
        """# airflow dag
import sys
sys.exit(3)
""",
        [("import-error", 3)],
    ),
    "crashes.py": (
        """# airflow dag
import ctypes
ctypes.string_at(0)
""",
        [("import-ended", 3)],
    ),
    "aborts.py": (
        """# airflow dag
import os
os.abort()
""",
        [("import-ended", 3)],
    ),
    "kills_the_worker.py": (
        """# airflow dag
import os
os.kill(os.getppid(), 9)
""",
        [("process-at-import", 3)],
    ),
    "forks.py": (
        """# airflow dag
import os
if os.fork() == 0:
    while True: pass
""",
        [("process-at-import", 3)],
    ),
    "starts_a_thread.py": (
        """# airflow dag
import threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
""",
        [("no-dags", 1)],
    ),
    "closes.py": (
        """# airflow dag
import os
os.closerange(3, 1000)
""",
        [("import-ended", 1)],
    ),
    "writes_everywhere.py": (
        """# airflow dag
import os
for number in range(3, 50):
    try:
        os.write(number, b'[' * 1000 + b'\\n')
    except OSError:
        pass
os.closerange(3, 1000)
""",
        [("import-ended", 1)],
    ),
    "changes_airflow.py": (
        """# airflow dag
import airflow.models.dag, airflow.sdk
airflow.sdk.DAG = airflow.sdk.task = None
def never(*a, **k): raise SystemExit
import json; json.dumps = never
""",
        [("import-ended", 4)],
    ),
}
"""Texts of DAG files, and what is found: rule and line."""


def test_each_costs_only_itself_and_is_found(repository):
    files = {name: text for name, (text, _) in HARM.items()}
    began = time.monotonic()
    checked = repository.check(
        {**files, "good.py": dag("good"), "other.py": dag("other")},
        import_deadline=3,
        import_seconds=100,
        import_memory=256,  # A busy machine takes longer than the deadline to hand out a GB.
    )
    assert time.monotonic() - began < 90
    wanted = {name: rules for name, (_, rules) in HARM.items()}
    assert {name: [each[:2] for each in found(checked, name)] for name in HARM} == wanted
    assert found(checked, "good.py") == found(checked, "other.py") == []
    assert sorted(checked.ids) == ["good", "other"]
    assert {each.path for each in checked.files} == {*HARM, "good.py", "other.py"}


def test_an_import_that_came_to_a_bad_end_is_tried_again(repository):
    repository.check({"bad.py": "# airflow dag\nimport os\nos.abort()\n", "good.py": dag("good")})
    assert repository.check().imported == 1


def test_what_is_printed_is_nowhere(repository, shared_cache, capfd):
    text = "# airflow dag\nimport os, sys\nprint('canary-1')\nsys.stderr.write('canary-2')\nos.write(2, b'canary-3')\n"
    repository.check({"prints.py": text})
    told = capfd.readouterr()
    assert "canary" not in told.out + told.err + "".join(repository.told)
    for path in shared_cache.glob("dag-checks/**/*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes(), path


def test_a_file_finds_nothing_of_its_callers_environment(repository, monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "canary-token")
    text = "# airflow dag\nimport os\nraise ValueError(str(sorted(os.environ.items())))\n"
    checked = repository.check({"looks.py": text})
    (finding,) = checked.findings
    assert "AIRFLOW_HOME" in finding.message
    assert "canary" not in finding.message


@as_root
def test_as_root_a_file_reads_nothing_of_roots(repository, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("canary")
    secret.chmod(0o600)
    for opened in (str(secret), "/etc/shadow"):
        checked = repository.check({"reads.py": f"# airflow dag\n\nopen({opened!r}).read()\n"})
        (finding,) = checked.findings
        assert (finding.rule, finding.line) == ("import-error", 3)
        assert "PermissionError" in finding.message


def test_what_a_file_leaves_in_its_directory_is_gone_for_the_next(repository):
    text = "# airflow dag\nimport os\nseen = os.listdir()\nopen('left', 'w').write('x')\nraise ValueError(seen)\n"
    checked = repository.check({f"leaves_{number}.py": text for number in range(6)})
    assert {each.message for each in checked.findings} == {"ValueError: []"}


def test_a_name_that_would_steer_a_terminal_is_told_without_harm(repository):
    checked = repository.check(
        {"odd.py": DAG.replace("{name}", "a\\x1b[31mb").replace("{{", "{").replace("}}", "}")}
    )
    (finding,) = checked.findings
    assert finding.rule == "import-error"
    assert "\x1b" not in str(finding)
