"""Connections, variables and pools of a tenant, written through Airflow's API."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from airflow_platform import errors, secrets
from airflow_platform.config import secret_references
from airflow_platform.engine import step
from airflow_platform.tenants import declared_objects as manifest
from airflow_platform.tenants.access import OpenAccess
from airflow_platform.tenants.contexts import TenantContext, TenantStep
from airflow_platform.tools.airflow import airflow_objects

Entry = airflow_objects.Connection | airflow_objects.Variable | airflow_objects.Pool


@dataclass(frozen=True)
class Observed:
    """Keys such as `connection/orders_api`: what differs or is missing, and what is ours but not wanted."""

    write: tuple[str, ...]
    delete: tuple[str, ...]
    digest: str
    """Of all that is wanted."""


class Memory(Protocol):
    """Where the step keeps between runs what it wrote: `{"connection/orders_api": digest}`, without secrets.

    A runtime brings it: a CI runner has no disk that stays.
    """

    def read(self, tenant: str) -> Mapping[str, str]:
        """What was written last; empty when nothing is known."""

    def write(self, tenant: str, digests: Mapping[str, str]) -> None:
        """Replace it, durably."""


class Settings(TenantStep):
    """Outputs: `digest` of all that is wanted, without revealing it.

    Airflow never shows a secret again. So that a changed one is noticed, its digest is kept, keyed
    with a key of the tenant's. What people added by hand is left alone.
    """

    name = "settings"

    def __init__(self, access: OpenAccess, memory: Memory, key: Callable[[str, str], secrets.Secret]) -> None:
        """Make the step.

        Args:
            access: Opens the way to a tenant's Airflow.
            memory: What it wrote before.
            key: A key or password of a tenant, by the tenant's name and its own.
        """
        self._access = access
        self._memory = memory
        self._key = key

    def check(self, context: TenantContext) -> Iterable[errors.Fault]:
        for reference in manifest.references(context.tenant):
            try:
                context.programs.mask.add(secret_references.resolve(reference))
            except errors.PreflightError as error:
                yield from error.faults()

    def observe(self, context: TenantContext) -> Observed:
        wanted = self._wanted(context)
        kept = self._memory.read(context.tenant.name)
        with self._access(context.tenant.name) as opened:
            found = _found(airflow_objects.Objects(opened.airflow.session))
        write = [
            key
            for key, entry in wanted.items()
            if key not in found
            or airflow_objects.differences(entry, found[key])
            or kept.get(key) != self._digest(context, entry)
        ]
        return Observed(
            write=tuple(write),
            delete=tuple(key for key in kept if key not in wanted),
            digest=step.digest({key: self._digest(context, entry) for key, entry in wanted.items()}),
        )

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        outputs = {"digest": observed.digest}
        if not observed.write and not observed.delete:
            return step.NoChange("connections, variables and pools are as declared", outputs)
        parts = [f"write {', '.join(observed.write)}"] if observed.write else []
        parts += [f"delete {', '.join(observed.delete)}"] if observed.delete else []
        details = {"write": list(observed.write), "delete": list(observed.delete), "outputs": outputs}
        return step.Change("; ".join(parts), details)

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        wanted, tenant = self._wanted(context), context.tenant.name
        # Before anything is written, so that what a killed run wrote is known to be ours.
        self._memory.write(tenant, {**dict.fromkeys(wanted, ""), **self._memory.read(tenant)})
        with self._access(tenant) as opened:
            objects = airflow_objects.Objects(opened.airflow.session)
            for key in change.details["write"]:
                context.programs.interruption.raise_if_requested()
                context.progress(f"writing {key}")
                _put(objects, wanted[key])
            for key in change.details["delete"]:
                _delete(objects, key)
        self._memory.write(tenant, {key: self._digest(context, entry) for key, entry in wanted.items()})
        outputs: step.Outputs = change.details["outputs"]
        return outputs

    def _wanted(self, context: TenantContext) -> dict[str, Entry]:
        tenant = context.tenant
        found = context.outputs("components")["snowflake"]
        password = self._key(tenant.name, "snowflake_password")
        context.programs.mask.add(password)
        local = manifest.LocalSnowflake(found["host"], found["port"], password) if found else None
        entries: tuple[Entry, ...] = (
            *manifest.connections(tenant, secret_references.resolve, local),
            *manifest.variables(tenant, secret_references.resolve),
            *manifest.pools(tenant),
        )
        return {_key(entry): entry for entry in entries}

    def _digest(self, context: TenantContext, entry: Entry) -> str:
        key = self._key(context.tenant.name, "api_secret_key").reveal().encode()
        text = json.dumps(
            {each.name: _plain(getattr(entry, each.name)) for each in fields(entry)}, sort_keys=True
        )
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]


def _key(entry: Entry) -> str:
    match entry:
        case airflow_objects.Connection():
            return f"connection/{entry.id}"
        case airflow_objects.Variable():
            return f"variable/{entry.key}"
        case _:
            return f"pool/{entry.name}"


def _found(objects: airflow_objects.Objects) -> dict[str, Entry]:
    entries: tuple[Entry, ...] = (*objects.connections(), *objects.variables(), *objects.pools())
    return {_key(entry): entry for entry in entries}


def _put(objects: airflow_objects.Objects, entry: Entry) -> None:
    match entry:
        case airflow_objects.Connection():
            objects.put_connection(entry)
        case airflow_objects.Variable():
            objects.put_variable(entry)
        case _:
            objects.put_pool(entry)


def _delete(objects: airflow_objects.Objects, key: str) -> None:
    kind, name = key.split("/", 1)
    {
        "connection": objects.delete_connection,
        "variable": objects.delete_variable,
        "pool": objects.delete_pool,
    }[kind](name)


def _plain(value: Any) -> Any:
    """The value with secrets in the open, for a keyed digest and nothing else."""
    if isinstance(value, secrets.Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
