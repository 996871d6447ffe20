"""The command line: exit codes, the text of refusals, and what is left of Invoke's own flags."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.collection import Collection

from airflow_platform import errors
from airflow_platform.errors import Fault
from airflow_platform.tasks import program, task_decorator

calls: list[object] = []


def named(name: str, **help: str):
    return task_decorator.task_named(name, group="Tenants", help=help)


@named("tenant-up", env="Environment.", tenant="Tenant; may be repeated.", plan="Show.", json="As JSON.")
def tenant_up(context, env: str, tenant: tuple[str, ...] = (), plan: bool = False, json: bool = False):
    """Bring tenants up.

    The main job.
    """
    calls.append((env, tenant, plan))


@named("tenant-down", env="Environment.", json="As JSON.")
def tenant_down(context, env: str, json: bool = False):
    """Stop tenants."""
    raise errors.BusyError("Run 7 holds the lock.", hint="Wait for it.")


@named("doctor", json="As JSON.")
def doctor(context, json: bool = False):
    """Look at everything."""
    fault = Fault("port 18080", "Another program has it.", "Stop that program.")
    raise errors.PreflightError("1 check said no.", [fault])


@named("fleet", code="Exit code.")
def fleet(context, code: str = "0") -> int:
    """Answer with a code."""
    print("fleet")
    return int(code)


@named("broken")
def broken(context):
    """Have a defect."""
    raise KeyError("key")


@named("unreadable")
def unreadable(context):
    """Meet a file that the system does not let us have."""
    raise PermissionError(13, "Permission denied", "/somewhere/file")


@named("interrupted")
def interrupted(context):
    """Be interrupted."""
    raise KeyboardInterrupt


@named("terminated")
def terminated(context):
    """Be terminated in the middle of a run."""
    raise errors.Interrupted(15, "SIGTERM")


@named("traceback-wanted")
def traceback_wanted(context):
    """Say whether --traceback was given."""
    calls.append(task_decorator.wants_traceback(context))


@pytest.fixture
def inv(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs a command line; returns exit code, standard output and standard error."""
    for name in ("sandbox", "dev", "prod"):
        (tmp_path / f"{name}.toml").touch()
    monkeypatch.setenv("AIRFLOW_PLATFORM_ENVIRONMENTS", str(tmp_path))
    calls.clear()
    tasks = (
        tenant_up,
        tenant_down,
        doctor,
        fleet,
        broken,
        unreadable,
        interrupted,
        terminated,
        traceback_wanted,
    )

    def run(*words: str) -> tuple[int, str, str]:
        code = program.PlatformProgram(Collection(*tasks)).outcome(["inv", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_task_gets_its_flags(inv) -> None:
    assert inv("tenant-up", "--env=dev", "--tenant=a", "--tenant", "b", "--plan") == (0, "", "")
    assert calls == [("dev", ("a", "b"), True)]


def test_a_task_without_its_flags_gets_the_defaults(inv) -> None:
    assert inv("tenant-up", "--env=dev")[0] == 0
    assert calls == [("dev", (), False)]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["tenant-pu"], "There is no task tenant-pu. Did you mean tenant-up? `inv --list` shows all tasks."),
        (["zzz"], "There is no task zzz. `inv --list` shows all tasks."),
        (["--lst"], "inv takes no flag --lst. Did you mean --list?"),
        (["tenant-up", "--evn=dev"], "tenant-up takes no flag --evn. Did you mean --env?"),
        (
            ["tenant-up", "--env=dev", "-p"],
            "tenant-up takes no flag -p. `inv tenant-up --help` shows its flags.",
        ),
        (["-p", "tenant-up", "--env=dev"], "inv takes no flag -p."),
        (["-e", "tenant-up", "--env=dev"], "inv takes no flag -e."),
        (["tenant-up", "dev"], "tenant-up takes no argument dev."),
        (["tenant-up", "--env=dev", "--json=yes"], "tenant-up takes no argument yes."),
        (["tenant-up", "--env=dev", "--env=prod"], "tenant-up takes no argument prod."),
        (["tenant-up"], "tenant-up needs --env. Known environments: dev, prod, sandbox."),
        (["tenant-up", "--env="], "tenant-up needs --env. Known environments: dev, prod, sandbox."),
        (
            ["tenant-up", "--env"],
            "tenant-up: --env needs a value: --env=... Known environments: dev, prod, sandbox.",
        ),
        (["tenant-up", "--env", "--plan"], "tenant-up: --env needs a value: --env=..."),
        (["--help", "tenant-pu"], "There is no task tenant-pu. Did you mean tenant-up?"),
        (["--list", "nope"], "There is no task nope."),
        (["fleet", "--dry"], "fleet has no --plan, so --dry means nothing to it."),
        (["--print-completion-script=ksh"], "There are no completions for ksh. Name bash, zsh or fish."),
    ],
)
def test_bad_input_is_one_paragraph_and_exit_2_and_runs_nothing(inv, words: list[str], text: str) -> None:
    code, out, err = inv(*words)
    assert (code, out, calls) == (2, "", [])
    assert " ".join(err.split()).startswith(f"error: {text}")
    assert "Traceback" not in err
    assert all(len(line) <= 80 for line in err.splitlines())


def test_a_missing_flag_of_the_second_task_stops_the_first(inv) -> None:
    assert inv("tenant-up", "--env=dev", "tenant-down")[0] == 2
    assert calls == []


def test_without_environments_the_message_says_where_they_would_be(inv, tmp_path: Path) -> None:
    for path in tmp_path.glob("*.toml"):
        path.unlink()
    assert "There is none yet in" in inv("tenant-up")[2]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["tenant-down", "--env=dev"], 5, "error: Run 7 holds the lock. Wait for it.\n"),
        (
            ["doctor"],
            4,
            "error: 1 check said no.\nport 18080: Another program has it. Stop that program.\n",
        ),
        (["interrupted"], 130, "error: Interrupted by SIGINT. It is safe to run the same command again.\n"),
        (["terminated"], 143, "error: Interrupted by SIGTERM. It is safe to run the same command again.\n"),
    ],
)
def test_an_error_is_a_paragraph_and_its_exit_code(inv, words: list[str], code: int, text: str) -> None:
    assert inv(*words) == (code, "", text)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_what_a_task_returns_is_the_exit_code(inv, code: int) -> None:
    assert inv("fleet", f"--code={code}") == (code, "fleet\n", "")


def test_a_code_other_than_0_ends_the_command_line(inv) -> None:
    assert inv("fleet", "--code=3", "tenant-up", "--env=dev")[0] == 3
    assert calls == []


def test_a_defect_is_called_one_and_its_traceback_is_shown_on_request(inv) -> None:
    code, _, err = inv("broken")
    assert (code, "Traceback" in err) == (1, False)
    assert "This is a defect of the toolkit" in " ".join(err.split())
    code, _, err = inv("broken", "--traceback")
    assert (code, "Traceback" in err, "raise KeyError" in err) == (1, True, True)
    assert "Traceback" in inv("--traceback", "doctor")[2]


def test_a_file_that_the_system_refuses_is_no_defect_of_ours(inv) -> None:
    code, _, err = inv("unreadable")
    said = " ".join(err.split())
    assert (code, "defect" in said, "Traceback" in said) == (1, False, False)
    assert "error: /somewhere/file: Permission denied. Free some space or fix the permissions" in said
    assert "raise PermissionError" in inv("unreadable", "--traceback")[2]


def test_files_are_made_so_that_tenants_can_reach_them(checkout: Path) -> None:
    script = (
        "import os, sys; from airflow_platform.tasks import __main__; sys.argv = ['inv', '--version']\n"
        "try: __main__.main()\nexcept SystemExit: print(oct(os.umask(0)))"
    )
    result = run_door(checkout, 'umask 077; "$PYTHON" -c "$SCRIPT"', SCRIPT=script)
    assert result.stdout.splitlines()[-1] == "0o22"


def test_a_task_can_ask_for_traceback(inv) -> None:
    inv("traceback-wanted", "--traceback")
    inv("traceback-wanted")
    assert calls == [True, False]


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("tenant-down --env=dev --json", (5, "tenant-down", "dev", "Run 7 holds the lock.")),
        ("doctor --json", (4, "doctor", None, "Another program has it.")),
        (
            "tenant-up --json --env dev --nope",
            (2, "tenant-up", "dev", "tenant-up takes no flag --nope."),
        ),
        ("nope --json", (2, "nope", None, "There is no task nope.")),
    ],
)
def test_with_json_an_error_is_the_report(inv, words: str, about: tuple[object, ...]) -> None:
    code, out, err = inv(*words.split())
    report = json.loads(out)
    assert code == report["exit_code"]
    assert (code, report["task"], report["environment"], report["faults"][0]["cause"]) == about
    assert err.startswith("error: ")


def test_dry_is_plan(inv) -> None:
    assert inv("-R", "tenant-up", "--env=dev")[0] == 0
    assert inv("tenant-up", "--env=dev", "--dry")[0] == 0
    assert calls == [("dev", (), True)] * 2


def test_list_groups_tasks(inv) -> None:
    code, out, err = inv("--list")
    assert (code, err) == (0, "")
    assert out.startswith("Tenants:\n\n")
    assert "  tenant-up          Bring tenants up.\n" in out
    assert inv("-l")[1] == out


def test_help_of_a_task(inv) -> None:
    code, out, _ = inv("tenant-up", "--help")
    assert (code, calls) == (0, [])
    assert out.startswith(
        "Usage: inv tenant-up --env=... [--flag=value ...]\n\nBring tenants up.\n\nThe main job.\n"
    )
    assert "  --tenant=...   Tenant; may be repeated.\n" in out
    assert "  --plan         Show.\n" in out
    assert inv("--help", "tenant-up")[1] == out
    assert inv("tenant-up", "-h")[1] == out


def test_help_version_and_nothing(inv) -> None:
    assert inv("--version")[:2] == (0, "airflow-platform 0.1.0\n")
    code, out, _ = inv("--help")
    assert (code, "--traceback" in out, "tenant-up" in out) == (0, True, True)
    assert inv()[:2] == (0, out)


def test_only_four_short_flags_are_left(inv) -> None:
    _, out, _ = inv("--help")
    short = {word.rstrip(",") for word in out.split() if word.startswith("-") and not word.startswith("--")}
    assert short == {"-h", "-l", "-R", "-V"}


def test_completion(inv) -> None:
    assert "inv" in inv("--print-completion-script=bash")[1]
    assert "tenant-up" in inv("--complete", "--", "inv ten")[1].split()
    assert "--env" in inv("--complete", "--", "inv tenant-up --")[1].split()


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: named("Up")(lambda context: None), "a name is"),
        (lambda: named("up")(no_docstring), "a docstring"),
        (lambda: named("up", count="Number.")(with_number), "count is 'int'"),
        (lambda: named("up")(with_flag), "exactly its parameters"),
        (lambda: named("up", flag="A.", other="B.")(with_flag), "exactly its parameters"),
        (lambda: named("up", names="Names.")(with_open_list), "needs the default"),
    ],
)
def test_a_bad_declaration_is_refused_at_import(declare, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        declare()


def no_docstring(context) -> None: ...


def with_number(context, count: int = 1) -> None:
    """Count."""


def with_flag(context, flag: bool = False) -> None:
    """Flag."""


def with_open_list(context, names: tuple[str, ...]) -> None:
    """Names."""


def run_door(checkout: Path, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(checkout), "PYTHON": sys.executable, **environ},
        capture_output=True,
        text=True,
        cwd=checkout,
        timeout=20,
        check=False,
    )


def test_a_reader_that_leaves_early_causes_no_traceback(checkout: Path) -> None:
    script = "set -o pipefail; $PYTHON -P -m airflow_platform.tasks --help | head -1"
    result = run_door(checkout, script)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_full_disk_under_the_answer_is_said(checkout: Path) -> None:
    result = run_door(checkout, "$PYTHON -P -m airflow_platform.tasks --help >/dev/full")
    assert result.returncode == 1
    assert "No space left" in result.stderr
    assert "Traceback" not in result.stderr


def test_invokes_own_debugging_stays_off(checkout: Path) -> None:
    script = "$PYTHON -P -m airflow_platform.tasks --debug --list"
    result = run_door(checkout, script, INVOKE_DEBUG="1")
    assert (result.returncode, result.stderr) == (0, "")


def test_stock_invoke_finds_the_same_tasks(checkout: Path) -> None:
    result = run_door(checkout, "$PYTHON -m invoke --list")
    assert result.returncode == 0, result.stderr
