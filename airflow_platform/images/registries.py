"""Which registry an environment has, and the steps that bring images there.

Pushing and promoting are about registries, not about where tenants run, so every environment with a registry
can, whatever its runtime. Lock and journal are on this machine: who pushes the same image from elsewhere at
the same time writes the same bytes under the same tag, or is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from airflow_platform import errors
from airflow_platform.config import built_images, components, paths, registry_record, specs
from airflow_platform.engine import local_store, step, store
from airflow_platform.images import promoted_images, push_record, pushed_images
from airflow_platform.programs import programs
from airflow_platform.tools.containers import pushes
from airflow_platform.tools.registry.registry import Address, Registry


def address(spec: specs.Environment) -> Address:
    """Where an environment's images are.

    Raises:
        UsageError: It has no registry.
    """
    settings = spec.registry or specs.Registry()
    account = settings.account or (spec.eks.account if spec.eks else None)
    region = settings.region or (spec.eks.region if spec.eks else None)
    if account is None or region is None or (spec.registry is None and spec.runtime != "eks"):
        raise errors.UsageError(
            f"Environment {spec.name} has no registry: runtime {spec.runtime} runs the images of this machine.",
            hint="Name an environment of the runtime eks, or add a table [registry] with account and region.",
        )
    host = settings.host or f"{account}.dkr.ecr.{region}.amazonaws.com"
    return Address(account, region, host, settings.prefix, settings.profile)


def images(spec: specs.Environment) -> tuple[str, ...]:
    """The images that its registry should have, the base first."""
    names = (spec.registry or specs.Registry()).images
    return tuple(sorted(names, key=lambda name: name != components.BASE_IMAGE))


def known_in(spec: specs.Environment) -> dict[str, registry_record.RecordedImage]:
    """The images that an environment's registry is known to have, or should have of what was built here.

    Raises:
        StateError: A record cannot be read.
    """
    record = registry_record.read(spec.name)
    if record is not None and record.registry == str(address(spec)):
        return dict(record.images)
    made = built_images.read(paths.project().built_images)
    return (
        {name: registry_record.RecordedImage(image.tag, "") for name, image in made.images.items()}
        if made
        else {}
    )


@contextlib.contextmanager
def push_steps(spec: specs.Environment, runner: programs.Programs) -> Iterator[tuple[step.Step, ...]]:
    """The steps of a push; connections are closed at the end.

    Raises:
        UsageError: The environment has no registry.
        StateError: The record of what was built cannot be read.
    """
    wanted, made = images(spec), built_images.read(paths.project().built_images)
    found = made.images if made else {}
    with _opened(address(spec), runner) as registry:
        connect = pushes.way_to(spec.docker.host)
        yield (
            pushed_images.RegistryForPush(
                registry, wanted=wanted, images=found, connect=connect, host=spec.docker.host
            ),
            *(
                pushed_images.PushedImage(found[name], registry, connect=connect).after(
                    pushed_images.RegistryForPush.name,
                    *map(pushed_images.name_of, _before(name, wanted)),
                )
                for name in wanted
                if name in found
            ),
            *_record(registry, pushed_images.name_of, [name for name in wanted if name in found]),
        )


@contextlib.contextmanager
def promotion_steps(
    source: specs.Environment,
    target: specs.Environment,
    wanted: Mapping[str, registry_record.RecordedImage],
    runner: programs.Programs,
) -> Iterator[tuple[step.Step, ...]]:
    """The steps of a promotion; connections are closed at the end.

    Raises:
        UsageError: One of the environments has no registry.
    """
    there, here = address(source), address(target)
    with contextlib.ExitStack() as stack:
        # The account of the target may be allowed to read the source; the reverse is for nobody.
        registry = stack.enter_context(_opened(here, runner))
        original = registry
        if there != here:
            accepted = () if there.profile else (here.account,)
            original = stack.enter_context(_opened(there, runner, accepted=accepted))
        names = sorted(wanted, key=lambda name: name != components.BASE_IMAGE)
        yield (
            promoted_images.RegistriesForPromotion(
                original, registry, names=(source.name, target.name), wanted=wanted
            ),
            *(
                promoted_images.PromotedImage(name, original, registry, after=_before(name, names)).after(
                    promoted_images.RegistriesForPromotion.name,
                    *map(promoted_images.name_of, _before(name, names)),
                )
                for name in names
            ),
            *_record(registry, promoted_images.name_of, names),
        )


def open_store(
    spec: specs.Environment,
    runner: programs.Programs,
    *,
    lock_timeout: float,
    on_note: Callable[[str], None],
) -> store.Store:
    """Lock and journal of an environment's registry."""
    return local_store.LocalStore(
        paths.state(spec.name), spec.name, lock_timeout=lock_timeout, programs=runner, on_note=on_note
    )


@contextlib.contextmanager
def _opened(where: Address, runner: programs.Programs, *, accepted: Sequence[str] = ()) -> Iterator[Registry]:
    with contextlib.closing(
        Registry(where, accepted=accepted, sleep=runner.interruption.sleep, on_secret=runner.mask.add)
    ) as registry:
        yield registry


def _before(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """The base, for the components that are made from it and go with it."""
    base = components.BASE_IMAGE  # The others add next to nothing to its layers.
    return (base,) if name in components.IMAGES and base in names else ()


def _record(registry: Registry, name_of: Callable[[str], str], names: Sequence[str]) -> tuple[step.Step, ...]:
    where = str(registry.address)
    steps = {name: name_of(name) for name in names}
    return (push_record.ImageRecord(registry=where, steps=steps).after(*steps.values()),)
