"""The end of a run: summary, tables, faults, and the document with its schema."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import pytest

from airflow_platform import errors
from airflow_platform.engine.report import Outcome, Report, StepReport, TenantReport
from airflow_platform.errors import ExitCode, Fault
from airflow_platform.reporting import document, faults, looks, output, summary, tables

REPORT = Report(
    task="tenant-up",
    environment="sandbox",
    status="failed",
    exit_code=1,
    faults=(
        Fault(
            "finance/smoke",
            "The DAG platform_smoke failed in task load; its last lines:\n    SQL compilation error",
            "Read `inv tenant-logs --env=sandbox --tenant=finance --component=scheduler` and run this again.",
        ),
    ),
    steps=(StepReport("packages", Outcome.UNCHANGED, "Airflow 3.3.2 is installed", 0.1),),
    tenants=(
        TenantReport(
            "analytics",
            "healthy",
            (
                StepReport("keys", Outcome.UNCHANGED, "there", 0.01),
                StepReport("components", Outcome.CHANGED, "started 5 processes", 12.3456),
            ),
            {"url": "http://127.0.0.1:18080", "password_file": "/state/password"},
        ),
        TenantReport(
            "finance",
            "failed",
            (StepReport("smoke", Outcome.FAILED, "the DAG failed", 3.0, traceback="Traceback: …\n"),),
        ),
    ),
)


def test_summary_golden() -> None:
    commands = ["scripts/inv tenant-status --env=sandbox"]
    assert summary.text_of(REPORT, looks.Look(), next_commands=commands) == (
        "\n"
        "tenant-up sandbox: failed (steps: 1 changed, 2 unchanged, 1 failed)\n"
        "\n"
        "analytics: healthy\n"
        "  url            http://127.0.0.1:18080\n"
        "  password file  /state/password\n"
        "\n"
        "finance: failed\n"
        "  failed     smoke  the DAG failed\n"
        "\n"
        "What went wrong:\n"
        "  ✗ finance/smoke: The DAG platform_smoke failed in task load; its last lines:\n"
        "        SQL compilation error\n"
        "    → Read `inv tenant-logs --env=sandbox --tenant=finance\n"
        "      --component=scheduler` and run this again.\n"
        "\n"
        "Next:\n"
        "  scripts/inv tenant-status --env=sandbox\n"
    )


def test_summary_in_ascii_and_with_tracebacks() -> None:
    text = summary.text_of(REPORT, looks.Look(symbols=looks.ASCII), tracebacks=True)
    assert "  x finance/smoke" in text
    assert "    -> Read" in text
    assert "Traceback: …" in text


def test_summary_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    summary.show(REPORT)
    captured = capsys.readouterr()
    assert (captured.out, captured.err.startswith("\ntenant-up sandbox: failed")) == ("", True)


def test_table_golden() -> None:
    rows: list[list[object]] = [["analytics", "healthy", True, ["a", "b"]], ["finance", None, False, 3]]
    assert tables.table(["tenant", "status", "protected", "dags"], rows) == (
        "TENANT     STATUS   PROTECTED  DAGS\n"
        "analytics  healthy  yes        a, b\n"
        "finance    -        no         3\n"
    )


def test_a_table_wraps_its_last_column_where_there_is_a_width() -> None:
    text = tables.table(
        ["thing", "remedy"], [["port", "Stop the program that has it, then run this again."]], width=40
    )
    assert text == (
        "THING  REMEDY\n"
        "port   Stop the program that has it,\n"
        "       then run this again.\n"
    )  # fmt: skip
    assert tables.table(["thing", "remedy"], [], width=10) == "THING  REMEDY\n"


def test_answers_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    tables.write(["name"], [["dev"]])
    tables.write_details({"url": "http://127.0.0.1", "tenants": ("a", "b")})
    assert capsys.readouterr().out == "NAME\ndev\nurl      http://127.0.0.1\ntenants  a, b\n"


def test_a_reader_that_left_is_no_failure(tmp_path: Path) -> None:
    class Left(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            raise OSError

    output.answer("text", Left())


ERRORS = [
    errors.UsageError("No flag -p.", hint="Look."),
    errors.ConfigurationError(
        "2 faults.", [Fault("a.toml", "Broken.", "Mend."), Fault("b", "Broken.", "Mend.")]
    ),
    errors.BusyError("Somebody."),
    errors.RefusedError("No."),
    errors.PreflightError("No.", [Fault("disk", "Full.", "")]),
    errors.Interrupted(1, "SIGHUP"),
    errors.Interrupted(2, "SIGINT"),
    errors.Interrupted(15, "SIGTERM"),
    errors.PlatformError("It broke."),
]


def of(error: errors.PlatformError) -> Report:
    code = error.code if isinstance(error, errors.Interrupted) else int(error.exit_code)
    return document.of_error(error, code=code, task="tenant-up", environment=None)


@pytest.mark.parametrize(
    "report",
    [REPORT, Report("env-list", None, "done", 0, data=[{"name": "dev"}]), *(of(error) for error in ERRORS)],
    ids=lambda report: report.status,
)
def test_real_envelopes_follow_the_schema(
    report: Report, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = json.loads((checkout / "docs" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    document.write(report)
    jsonschema.validate(json.loads(capsys.readouterr().out), schema, cls=jsonschema.Draft202012Validator)


def test_the_schema_knows_every_exit_code_and_outcome(checkout: Path) -> None:
    schema = json.loads((checkout / "docs" / "report.schema.json").read_text())
    assert schema["properties"]["exit_code"]["enum"] == [code.value for code in ExitCode]
    statuses = schema["$defs"]["step"]["properties"]["status"]["enum"]
    assert sorted(statuses) == sorted(outcome.value for outcome in Outcome)


def test_an_envelope_has_no_traceback() -> None:
    assert "Traceback" not in json.dumps(REPORT.to_json())


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ERRORS[0], "error: No flag -p. Look."),
        (ERRORS[1], "error: 2 faults.\na.toml: Broken. Mend.\nb: Broken. Mend."),
        (
            errors.ProgramError("git", 128, ("fatal: no",), hint="Run git init."),
            "error: git exited 128; its last lines:\n      fatal: no\nRun git init.",
        ),
        (
            errors.StepError("word " * 20, hint="Remedy."),
            "error: " + "word " * 14 + "word\n  " + "word " * 5 + " Remedy.",
        ),
    ],
)
def test_errors_for_people(error: errors.PlatformError, text: str) -> None:
    assert faults.describe(error).split() == text.split()
    assert max(len(line) for line in faults.describe(error).splitlines()) <= 80
