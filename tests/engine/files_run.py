"""A program that runs steps on a world of files, and may be killed at any moment.

    python files_run.py '<order as JSON>'     runs one order and prints what it came to
    python files_run.py                       reads orders, one a line; runs each in a fork

An order: directory, steps (name, scope, requires, fails, program), tenants, goal, kill [node, phase].
"""

import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow_platform import errors
from airflow_platform.engine import phases, run
from airflow_platform.engine.local_store import LocalStore
from airflow_platform.engine.order import Order
from airflow_platform.engine.report import Node
from airflow_platform.engine.step import Change, EnvironmentStep, Goal, NoChange, TenantContext, TenantStep
from airflow_platform.programs import programs
from airflow_platform.testing.reporters import RecordingReporter
from airflow_platform.testing.runs import Thing, outcomes

PHASES = {
    phases.Phase.BEFORE_BEGIN: "before-begun",
    phases.Phase.AFTER_BEGIN: "after-begun",
    phases.Phase.AFTER_EFFECT: "before-ended",
    phases.Phase.AFTER_END: "after-ended",
}


class Hitman:
    """Kills this process when it comes to a phase of a node, and writes down what it came to."""

    def __init__(self, directory, kill):
        self._trace = os.open(directory / "trace", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._kill = tuple(kill)

    def reached(self, node, phase):
        self.at(node, PHASES[phase])

    def at(self, node, phase):
        os.write(self._trace, f"{phase} {node}\n".encode())
        if (str(node), phase) == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)


class Files:
    """Mixed into both kinds of steps: two files a node, made one after the other."""

    def __init__(self, told, world, hitman):
        self.name, self.requires = told["name"], tuple(told.get("requires", ()))
        self.told, self.world, self.hitman = told, world, hitman

    def files(self, context):
        tenant = context.tenant.name if isinstance(context, TenantContext) else None
        node = Node(self.name, tenant)
        return node, [self.world / f"{tenant or 'environment'}.{self.name}.{part}" for part in (1, 2)]

    def observe(self, context):
        return [file.exists() for file in self.files(context)[1]]

    def plan(self, context, observed):
        wanted = context.goal is Goal.PRESENT
        if all(here is wanted for here in observed):
            return NoChange(context.goal.value)
        return Change(f"make it {context.goal.value}")

    def apply(self, context, change):
        node, (first, second) = self.files(context)
        self._make(first, context.goal)
        self.hitman.at(node, "middle")
        if str(node) in self.told.get("fails", ()):
            raise errors.StepError("It was told to fail.")
        if "program" in self.told:
            context.programs.run(self.told["program"], timeout=60, grace=self.told.get("grace", 10))
        self._make(second, context.goal)
        self.hitman.at(node, "after-effect")
        return {}

    def _make(self, file, goal):
        if goal is Goal.PRESENT:
            draft = self.world.with_name(f"draft.{file.name}")
            draft.write_text("made")
            draft.replace(file)
        else:
            file.unlink(missing_ok=True)


class OfEnvironment(Files, EnvironmentStep):
    pass


class OfTenant(Files, TenantStep):
    pass


def perform(told):
    directory = Path(told["directory"])
    world = directory / "world"
    world.mkdir(parents=True, exist_ok=True)
    hitman = Hitman(directory, told.get("kill", ("", "")))
    reporter = RecordingReporter()
    started = programs.Programs()
    store = LocalStore(
        directory / "state",
        "test",
        lock_timeout=told.get("lock_timeout", 0),
        programs=started,
        on_note=reporter.note,
        now=lambda: datetime.now(UTC) + timedelta(hours=told.get("skew", 0)),
    )
    steps = [
        (OfTenant if each.get("scope") == "tenant" else OfEnvironment)(each, world, hitman)
        for each in told["steps"]
    ]
    order = Order(
        task="up",
        environment=Thing("test"),
        tenants=[Thing(name) for name in told.get("tenants", ["a"])],
        goal=Goal(told.get("goal", "present")),
        steps=steps,
        store=store,
        reporter=reporter,
        programs=started,
    )
    try:
        with phases.watched(hitman.reached):
            report = run.execute(order)
    except errors.PlatformError as error:
        return {"exit_code": int(error.exit_code), "error": str(error), "notes": reporter.notes}
    reporter.verify()
    found = outcomes(report)
    return {"exit_code": report.exit_code, "outcomes": found, "notes": reporter.notes}


def serve():
    """Fork for each order before there is any thread; answer with its result, or with its signal."""
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, json.dumps(perform(json.loads(line))).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            answer = json.dumps({"signal": os.WTERMSIG(status)})
        print(answer, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        result = perform(json.loads(sys.argv[1]))
        print(json.dumps(result))
        sys.exit(result["exit_code"])
    serve()
