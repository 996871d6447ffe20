"""The wiring of `push` and `promote`: environments, registries, reporter, engine, summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from airflow_platform import errors, programs
from airflow_platform.config import load, pushed, specs
from airflow_platform.engine import run, step
from airflow_platform.engine.order import Order
from airflow_platform.engine.report import Outcome, Report, StepReport
from airflow_platform.reporting import document, summary
from airflow_platform.runtimes import registries
from airflow_platform.tasks import flags, wiring
from airflow_platform.tasks.declaring import seconds

WORKERS = 4
"""Images that move at the same time; the engine sends five layers of each."""

Steps = Callable[[programs.Programs], AbstractContextManager[tuple[step.Step, ...]]]
"""Makes the steps of a run, and closes their connections at its end."""


@dataclasses.dataclass(frozen=True)
class Call:
    """What a command line says, apart from what it is about."""

    task: str
    plan: bool = False
    json: bool = False
    tracebacks: bool = False
    lock_timeout: str = flags.LOCK_SECONDS


def push(call: Call, environment: str) -> int:
    """Push the images to an environment's registry; the exit code."""
    spec = load.environment(environment)
    registries.address(spec)
    return _tell(call, _run(call, spec, lambda runner: registries.push_steps(spec, runner), "pushed"))


def promote(call: Call, source: str, target: str, images: Sequence[str]) -> int:
    """Copy the images of one environment's registry to another's; the exit code."""
    origin, spec = load.environment(source), load.environment(target)
    if origin == spec:
        raise errors.UsageError(f"--from and --to both say {target}.", hint="Name two environments.")
    for each in (origin, spec):
        registries.address(each)
    wanted = _wanted(origin, registries.images(spec), images)
    return _tell(
        call,
        _run(call, spec, lambda runner: registries.promotion_steps(origin, spec, wanted, runner), "promoted"),
    )


def _run(call: Call, spec: specs.Environment, make: Steps, reached: str) -> Report:
    reporter = wiring.reporter(json=call.json)
    runner = wiring.runner(spec.name)
    timeout = seconds(call.lock_timeout)
    with make(runner) as steps:
        return run.execute(
            Order(
                task=call.task,
                environment=spec,
                tenants=(),
                goal=step.Goal.PRESENT,
                steps=steps,
                store=registries.open_store(spec, runner, lock_timeout=timeout, on_note=reporter.note),
                reporter=reporter,
                programs=runner,
                reached=reached,
                planning=call.plan,
                workers=WORKERS,
            )
        )


def _tell(call: Call, report: Report) -> int:
    images = {
        each.name.partition("-")[2]: dict(each.outputs) for each in report.steps if "digest" in each.outputs
    }
    report = dataclasses.replace(report, data={"images": images} if images else None)
    if call.json:
        document.write(report)
    summary.show(report, notes=_notes(report), tracebacks=call.tracebacks)
    return report.exit_code


def _notes(report: Report) -> list[str]:
    """What was sent, image by image, and what a registry lets happen that it should not."""
    notes = [
        _moved(each) for each in report.steps if "digest" in each.outputs and each.status is Outcome.CHANGED
    ]
    open_ones = [name for each in report.steps for name in each.outputs.get("mutable", ())]
    if open_ones:
        notes.append(
            f"Tags of {', '.join(open_ones)} could be overwritten by whoever may push: have Terraform set "
            "image_tag_mutability to IMMUTABLE."
        )
    return notes


def _moved(report: StepReport) -> str:
    out, name = report.outputs, report.name.partition("-")[2]
    if "layers_sent" in out:
        what = f"{out['layers_sent']} of {out['layers']} layers sent, {out['bytes_sent'] / 1e6:.1f} MB"
    else:
        what = f"{out['layers_moved']} layers moved, {out['bytes_moved']} bytes, {out['requests']} requests"
    return f"{name}: {what}, {report.seconds:.1f} s, {out['digest'][:19]}"


def _wanted(
    origin: specs.Environment, names: Sequence[str], chosen: Sequence[str]
) -> Mapping[str, pushed.Image]:
    """What is promoted: the chosen images, or all that the target should have; as the source has them.

    Raises:
        UsageError: An image is not among them, or nothing is known of it.
    """
    known, wanted = registries.known_in(origin), {}
    for name, _, tag in (each.partition(":") for each in chosen or names):
        if name not in names:
            raise errors.UsageError(
                f"--image={name} is none of the images of these environments.",
                hint=f"There are: {', '.join(names)}.",
            )
        if tag and (name not in known or known[name].tag != tag):
            wanted[name] = pushed.Image(tag, "")
        elif name in known:
            wanted[name] = known[name]
        else:
            raise errors.UsageError(
                f"Nothing is known here of the image {name} in {origin.name}.",
                hint=f"Hand over {pushed.path(origin.name)} from where it was pushed, run "
                f"`inv push --env={origin.name}`, or name each image: --image={name}:TAG.",
            )
    return wanted
