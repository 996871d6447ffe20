"""All rules: their names, how much each weighs, what to do about it. docs/operations.md lists the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_platform.rules import importing, owning, provision
from airflow_platform.rules.findings import Finding, Severity
from airflow_platform.rules.subject import Found, Subject, shown


@dataclass(frozen=True)
class Rule:
    """One rule."""

    name: str
    severity: Severity
    find: Callable[[Subject], Iterator[Found]]
    remedy: str
    """What to do, in one sentence."""


_INTO_A_TASK = "Do it in a task: what stands at the top of a file is done again every few minutes."
_TEMPLATE = "Use a template, such as {{ var.value.NAME }}, or ask in a task: each import would cost a query."

RULES = (
    Rule(
        "import-error", "error", importing.failed, "Mend that line; the message is Python's or Airflow's own."
    ),
    Rule(
        "import-memory",
        "error",
        importing.memory,
        "Load and compute less at the top of the file, or raise import_memory in [rules] of dags.toml.",
    ),
    Rule(
        "import-ended",
        "error",
        importing.ended,
        "Look for what ends a process: native code that crashes, an exit, closed descriptors.",
    ),
    Rule("import-timeout", "error", importing.endless, "Look for a loop or a wait at that line."),
    Rule(
        "import-slow",
        "warning",
        importing.slow,
        "Import heavy packages in the tasks that use them; compute nothing, and wait for nothing, at the top.",
    ),
    Rule("network-at-import", "error", importing.network, _INTO_A_TASK),
    Rule("process-at-import", "error", importing.process, _INTO_A_TASK),
    Rule("sleep-at-import", "error", importing.sleep, _INTO_A_TASK),
    Rule("variable-at-import", "error", importing.variable, _TEMPLATE),
    Rule(
        "connection-at-import",
        "error",
        importing.connection,
        "Use the hook in a task, or give its id to an operator.",
    ),
    Rule(
        "module-missing",
        "error",
        importing.missing,
        "Add the package to images/airflow/requirements.in and run `scripts/nox -s lock`, or put the module under dags/.",
    ),
    Rule(
        "module-broken",
        "error",
        importing.broken,
        "Mend that line: a task that imports the file would fail.",
    ),
    Rule("no-dags", "warning", importing.empty, "Name it in dags/.airflowignore, if others import it."),
    Rule("dag-id-twice", "error", owning.same_id, "Give one of them another id."),
    Rule("owner-missing", "error", owning.owner, 'Add "owner" to default_args: the team to ask.'),
    Rule(
        "tenant-tag",
        "error",
        owning.tenant,
        "Add a tag tenant:NAME for each tenant that is to run it, or tenant:all.",
    ),
    Rule(
        "schedule-policy",
        "error",
        owning.schedule,
        "Keep to [rules] of dags.toml, or change what all keep to.",
    ),
    Rule(
        "retries-policy", "error", owning.retries, "Keep to [rules] of dags.toml, or change what all keep to."
    ),
    Rule(
        "connection-unknown",
        "error",
        provision.connection,
        "Declare it for that tenant in the environment's file, or tag the DAG for those that have it.",
    ),
    Rule(
        "pool-unknown",
        "error",
        provision.pool,
        "Declare it for that tenant in the environment's file, or use default_pool.",
    ),
    Rule(
        "executor-unknown",
        "error",
        provision.executor,
        "Name none, or tag the DAG for tenants of environments that have it.",
    ),
)


def findings(subject: Subject) -> tuple[Finding, ...]:
    """All that all rules find, by file and line."""
    found = {
        Finding(
            shown(each.at.file),
            each.at.line,
            rule.name,
            each.message,
            rule.remedy,
            rule.severity,
            each.tenants,
            each.about,
        )
        for rule in RULES
        for each in rule.find(subject)
    }
    return tuple(sorted(found))
