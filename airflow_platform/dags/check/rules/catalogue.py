"""All rules: their names, how much each weighs, what to do about it. docs/operations.md lists the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_platform.dags.check.findings import Finding, Severity
from airflow_platform.dags.check.rules import import_time, policy, tenant_resources
from airflow_platform.dags.check.rules.subject import Subject, Violation, shown


@dataclass(frozen=True)
class Rule:
    """One rule."""

    name: str
    severity: Severity
    find: Callable[[Subject], Iterator[Violation]]
    remedy: str
    """What to do, in one sentence."""


_INTO_A_TASK = "Do it in a task: what stands at the top of a file is done again every few minutes."
_TEMPLATE = "Use a template, such as {{ var.value.NAME }}, or ask in a task: each import would cost a query."

RULES = (
    Rule(
        "import-error",
        "error",
        import_time.failed,
        "Fix that line; the message is Python's or Airflow's own.",
    ),
    Rule(
        "import-memory",
        "error",
        import_time.memory,
        "Load and compute less at the top of the file, or raise import_memory in [rules] of dags.toml.",
    ),
    Rule(
        "import-ended",
        "error",
        import_time.ended,
        "Look for what ends a process: native code that crashes, an exit, closed descriptors.",
    ),
    Rule("import-timeout", "error", import_time.endless, "Look for a loop or a wait at that line."),
    Rule(
        "import-slow",
        "warning",
        import_time.slow,
        "Import heavy packages in the tasks that use them; compute nothing, and wait for nothing, at the top.",
    ),
    Rule("network-at-import", "error", import_time.network, _INTO_A_TASK),
    Rule("process-at-import", "error", import_time.process, _INTO_A_TASK),
    Rule("sleep-at-import", "error", import_time.sleep, _INTO_A_TASK),
    Rule("variable-at-import", "error", import_time.variable, _TEMPLATE),
    Rule(
        "connection-at-import",
        "error",
        import_time.connection,
        "Use the hook in a task, or give its id to an operator.",
    ),
    Rule(
        "module-missing",
        "error",
        import_time.missing,
        "Add the package to images/airflow/requirements.in and run `scripts/nox -s lock`, or put the module under dags/.",
    ),
    Rule(
        "module-broken",
        "error",
        import_time.broken,
        "Fix that line: a task that imports the file would fail.",
    ),
    Rule("no-dags", "warning", import_time.empty, "Name it in dags/.airflowignore, if others import it."),
    Rule("dag-id-twice", "error", policy.same_id, "Give one of them another id."),
    Rule("owner-missing", "error", policy.owner, 'Add "owner" to default_args: the team to ask.'),
    Rule(
        "tenant-tag",
        "error",
        policy.tenant,
        "Add a tag tenant:NAME for each tenant that is to run it, or tenant:all.",
    ),
    Rule(
        "schedule-policy",
        "error",
        policy.schedule,
        "Keep to [rules] of dags.toml, or change what all keep to.",
    ),
    Rule(
        "retries-policy", "error", policy.retries, "Keep to [rules] of dags.toml, or change what all keep to."
    ),
    Rule(
        "connection-unknown",
        "error",
        tenant_resources.connection,
        "Declare it for that tenant in the environment's file, or tag the DAG for those that have it.",
    ),
    Rule(
        "pool-unknown",
        "error",
        tenant_resources.pool,
        "Declare it for that tenant in the environment's file, or use default_pool.",
    ),
    Rule(
        "executor-unknown",
        "error",
        tenant_resources.executor,
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
