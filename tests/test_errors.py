"""Errors: the text that people read, the faults of a report, the exit code."""

from __future__ import annotations

import signal

import pytest

from airflow_platform import errors
from airflow_platform.errors import ExitCode, Fault

FAULTS = (
    Fault("prod.toml, tenants.0.name", "It is missing.", "Add it."),
    Fault("port 18080", "Another program has it.", "Stop that program."),
)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.PlatformError("It broke.", hint="Mend it."), 1, "It broke. Mend it."),
        (errors.PlatformError("It broke."), 1, "It broke."),
        (errors.UsageError("No flag -p."), 2, "No flag -p."),
        (
            errors.ConfigurationError("prod.toml has 2 faults.", FAULTS),
            2,
            (
                "prod.toml has 2 faults.\n"
                "  prod.toml, tenants.0.name: It is missing. Add it.\n"
                "  port 18080: Another program has it. Stop that program."
            ),
        ),
        (
            errors.PreflightError("Not ready.", FAULTS[1:], hint="Then run it again."),
            4,
            "Not ready. Then run it again.\n  port 18080: Another program has it. Stop that program.",
        ),
        (errors.BusyError("Run 7 holds the lock."), 5, "Run 7 holds the lock."),
        (errors.RefusedError("No credentials."), 6, "No credentials."),
        (errors.StateError("The disk is full."), 1, "The disk is full."),
        (errors.StepError("No heartbeat."), 1, "No heartbeat."),
        (
            errors.ProgramError("git", 128, ("fatal: not a repository",), hint="Run git init."),
            1,
            "git exited 128; its last lines:\n    fatal: not a repository Run git init.",
        ),
        (errors.ProgramError("git", 1, ()), 1, "git exited 1 and printed nothing."),
        (errors.ProgramError("git", -9, ()), 1, "git was ended by signal 9 and printed nothing."),
        (errors.ProgramMissing("git", hint="Install git."), 1, "git was not found. Install git."),
        (
            errors.ProgramTimeout("git", 1.5, ("Cloning",)),
            1,
            "git did not end within 1.5 s and was stopped; its last lines:\n    Cloning",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_text_and_exit_code(error: errors.PlatformError, code: int, text: str) -> None:
    assert (int(error.exit_code), str(error)) == (code, text)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_an_interruption_exits_with_the_code_of_its_signal(number: signal.Signals) -> None:
    error = errors.Interrupted(number, number.name)
    assert ExitCode(error.code) == 128 + number
    assert str(error) == f"Interrupted by {number.name}. It is safe to run the same command again."


def test_an_error_is_one_fault_and_a_list_of_faults_is_each_of_them() -> None:
    (fault,) = errors.StepError("No heartbeat.", hint="Look.").faults()
    assert (fault.cause, fault.remedy) == ("No heartbeat.", "Look.")
    assert errors.PreflightError("Not ready.", FAULTS).faults() == FAULTS


def test_a_fault_as_text_and_as_json() -> None:
    assert str(FAULTS[1]) == "port 18080: Another program has it. Stop that program."
    assert FAULTS[1].to_json() == {
        "thing": "port 18080",
        "cause": "Another program has it.",
        "remedy": "Stop that program.",
    }
