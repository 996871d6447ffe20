"""What a tenant's metadata database holds besides DAGs: connections, variables and pools.

Airflow answers `***` for passwords and for values whose names look like secrets, so what was
written cannot be read back: `differences` compares only what Airflow shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_platform import secrets
from airflow_platform.tools.airflow import airflow_session as sessions
from airflow_platform.tools.airflow.airflow_session import quoted

MASKED = "***"
"""What Airflow shows in place of a secret."""


@dataclass(frozen=True)
class Connection:
    """One connection. As read, `password` and secret values of `extra` are masked."""

    id: str
    type: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    schema: str | None = None
    password: secrets.Secret | None = None
    """To write: the password. As read: None, or a Secret of `***`."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Values may be `Secret`, also inside."""
    description: str | None = None


@dataclass(frozen=True)
class Variable:
    """One variable. As read, the value is `***` when the key looks like that of a secret."""

    key: str
    value: str | secrets.Secret
    description: str | None = None


@dataclass(frozen=True)
class Pool:
    """One pool. As read, with the slots in use."""

    name: str
    slots: int
    description: str | None = None
    include_deferred: bool = False
    """Whether a deferred task keeps its slot."""
    occupied: int = field(default=0, compare=False)
    """Slots in use; not written."""


class Objects:
    """Lists, writes and deletes them.

    `put_…` creates or replaces; `delete_…` says whether there was something to delete.
    """

    def __init__(self, session: sessions.Session) -> None:
        self._session = session

    def connections(self) -> tuple[Connection, ...]:
        """All connections of the metadata database; not those in environment variables."""
        path = "/api/v2/connections"
        entries = self._session.entries(path, "connections", order_by="connection_id")
        return tuple(_connection(entry) for entry in entries)

    def put_connection(self, connection: Connection) -> None:
        """Create or replace a connection.

        Airflow keeps the password of a connection that is overwritten without one, so such a
        connection is deleted first: for an instant it does not exist.
        """
        if connection.password is None:
            self._forget_password(connection.id)
        extra = json.dumps(_revealed(connection.extra)) if connection.extra else None
        self._put(
            "/api/v2/connections",
            {
                "connection_id": connection.id,
                "conn_type": connection.type,
                "host": connection.host,
                "port": connection.port,
                "login": connection.login,
                "schema": connection.schema,
                "password": _revealed(connection.password),
                "extra": extra,
                "description": connection.description,
            },
        )

    def delete_connection(self, connection_id: str) -> bool:
        """Delete a connection."""
        return self._delete(f"/api/v2/connections/{quoted(connection_id)}")

    def variables(self) -> tuple[Variable, ...]:
        """All variables of the metadata database."""
        return tuple(
            Variable(entry["key"], entry["value"], entry["description"])
            for entry in self._session.entries("/api/v2/variables", "variables", order_by="key")
        )

    def put_variable(self, variable: Variable) -> None:
        """Create or replace a variable."""
        self._put(
            "/api/v2/variables",
            {
                "key": variable.key,
                "value": _revealed(variable.value),
                "description": variable.description,
            },
        )

    def delete_variable(self, key: str) -> bool:
        """Delete a variable."""
        return self._delete(f"/api/v2/variables/{quoted(key)}")

    def pools(self) -> tuple[Pool, ...]:
        """All pools, Airflow's own `default_pool` among them."""
        return tuple(
            Pool(
                name=entry["name"],
                slots=entry["slots"],
                description=entry["description"],
                include_deferred=entry["include_deferred"],
                occupied=entry["occupied_slots"],
            )
            for entry in self._session.entries("/api/v2/pools", "pools")
        )

    def put_pool(self, pool: Pool) -> None:
        """Create or replace a pool."""
        self._put(
            "/api/v2/pools",
            {
                "name": pool.name,
                "slots": pool.slots,
                "description": pool.description,
                "include_deferred": pool.include_deferred,
            },
        )

    def delete_pool(self, name: str) -> bool:
        """Delete a pool; Airflow refuses to delete `default_pool`."""
        return self._delete(f"/api/v2/pools/{quoted(name)}")

    def _put(self, path: str, entity: Mapping[str, Any]) -> None:
        """Create or overwrite one entity: Airflow's bulk call is the only one that does both."""
        action = {"action": "create", "entities": [entity], "action_on_existence": "overwrite"}
        answer = self._session.call("PATCH", path, body={"actions": [action]})
        if faults := answer["create"]["errors"]:
            told = "; ".join(str(fault.get("error", fault)) for fault in faults)
            raise sessions.AirflowError(f"PATCH {path} at {self._session.url} refused: {told}")

    def _delete(self, path: str) -> bool:
        try:
            self._session.call("DELETE", path)
        except sessions.NotFound:
            return False
        return True

    def _forget_password(self, connection_id: str) -> None:
        path = f"/api/v2/connections/{quoted(connection_id)}"
        try:
            has_password = self._session.get(path)["password"] is not None
        except sessions.NotFound:
            return
        if has_password:
            self._session.call("DELETE", path)


def differences(wanted: Connection | Variable | Pool, found: Connection | Variable | Pool) -> tuple[str, ...]:
    """Names of the fields in which two objects of one kind differ, as far as Airflow shows.

    A masked value counts as equal to any secret; an empty text counts as none.
    """
    names = [name for name, spec in wanted.__dataclass_fields__.items() if spec.compare]
    return tuple(name for name in names if not _equal(getattr(wanted, name), getattr(found, name, None)))


def _equal(wanted: Any, found: Any) -> bool:
    if isinstance(found, secrets.Secret):
        found = found.reveal()
    if found == MASKED and wanted:
        return True
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return wanted.keys() == found.keys() and all(_equal(wanted[key], found[key]) for key in wanted)
    return (_revealed(wanted) or None) == (found or None)


def _revealed(value: Any) -> Any:
    """The value with every secret in it in the open, for the call that hands it to Airflow."""
    if isinstance(value, secrets.Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: _revealed(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_revealed(inner) for inner in value]
    return value


def _connection(entry: Mapping[str, Any]) -> Connection:
    return Connection(
        id=entry["connection_id"],
        type=entry["conn_type"],
        host=entry["host"],
        port=entry["port"],
        login=entry["login"],
        schema=entry["schema"],
        password=None if entry["password"] is None else secrets.Secret(entry["password"]),
        extra=_extra(entry["extra"]),
        description=entry["description"],
    )


def _extra(text: str | None) -> Mapping[str, Any]:
    """The extra as Airflow shows it; what is no JSON object is kept as text."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {"": text}
    return value if isinstance(value, dict) else {"": text}
