"""`push` and `promote`: images to an environment's registry, and from one registry to another's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from airflow_platform import errors
from airflow_platform.config import load, registry_record, specs
from airflow_platform.engine import run, step
from airflow_platform.engine.report import Outcome, Report, StepReport
from airflow_platform.images import registries
from airflow_platform.tasks.command_line import CommandLine

WORKERS = 4
"""Images that move at the same time; the engine sends five layers of each."""


def push(line: CommandLine) -> int:
    """Push the images to an environment's registry; the exit code."""
    spec = line.spec()
    registries.address(spec)
    with registries.push_steps(spec, line.runner) as steps:
        return _finish(line, _run(line, spec, steps, "pushed"))


def promote(line: CommandLine, source: str, images: Sequence[str]) -> int:
    """Copy the images of one environment's registry to that of `line.environment`; the exit code."""
    origin, spec = load.environment(source), line.spec()
    if origin == spec:
        raise errors.UsageError(f"--from and --to both say {spec.name}.", hint="Name two environments.")
    for each in (origin, spec):
        registries.address(each)
    wanted = _wanted(origin, registries.images(spec), images)
    with registries.promotion_steps(origin, spec, wanted, line.runner) as steps:
        return _finish(line, _run(line, spec, steps, "promoted"))


def _run(line: CommandLine, spec: specs.Environment, steps: Sequence[step.Step], reached: str) -> Report:
    store = registries.open_store(
        spec, line.runner, lock_timeout=line.lock_seconds, on_note=line.reporter.note
    )
    return run.execute(
        line.order(spec, (), steps, store, goal=step.Goal.PRESENT, reached=reached, workers=WORKERS)
    )


def _finish(line: CommandLine, report: Report) -> int:
    images = {
        each.name.partition("-")[2]: dict(each.outputs) for each in report.steps if "digest" in each.outputs
    }
    report = dataclasses.replace(report, data={"images": images} if images else None)
    return line.finish(report, notes=_notes(report))


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
) -> Mapping[str, registry_record.RecordedImage]:
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
            wanted[name] = registry_record.RecordedImage(tag, "")
        elif name in known:
            wanted[name] = known[name]
        else:
            raise errors.UsageError(
                f"Nothing is known here of the image {name} in {origin.name}.",
                hint=f"Hand over {registry_record.path(origin.name)} from where it was pushed, run "
                f"`inv push --env={origin.name}`, or name each image: --image={name}:TAG.",
            )
    return wanted
