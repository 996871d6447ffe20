"""A PostgreSQL server in memory, as far as the step `database-role` asks; it refuses what it was not told about.

It passes the same contract as the real one: `tests/steps/database_role_contract.py`.
"""

from __future__ import annotations

import dataclasses

import pytest

from airflow_platform import secrets
from airflow_platform.tools.postgresql import catalog, postgresql_server, server_errors, tenant_databases


class Postgresql:
    """One server; `administrator` is whom it lets in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.administrator = postgresql_server.Server(
            "127.0.0.1", 5432, "postgres", secrets.Secret("the-admin's")
        )
        self.passwords: dict[str, secrets.Secret] = {}
        self.found: dict[str, catalog.Described] = {}
        self.stopped = False
        self.calls: list[str] = []
        self._shared = ("postgres", "template1")
        monkeypatch.setattr(catalog, "describe", self.describe)
        monkeypatch.setattr(tenant_databases, "bring", self.bring)
        monkeypatch.setattr(tenant_databases, "take_away", self.take_away)

    def describe(
        self, server: postgresql_server.Server, name: str, password: secrets.Secret | None
    ) -> catalog.Described:
        self._enter("describe", server, name)
        found = self.found.get(name, catalog.Described())
        if found.role is not None:
            fits = password is not None and self.passwords.get(name) == password
            found = dataclasses.replace(found, role=dataclasses.replace(found.role, password_fits=fits))
        return dataclasses.replace(found, shared=self._shared)

    def bring(
        self, server: postgresql_server.Server, name: str, *, password: secrets.Secret, mark: str, limit: int
    ) -> None:
        self._enter("bring", server, name)
        tenant_databases.require_ours(self.describe(server, name, password), name, mark)
        self._shared = ()
        self.passwords[name] = password
        self.found[name] = catalog.Described(
            role=role(mark=mark, limit=limit),
            database=catalog.Database(owner=name, is_open=True, half_dropped=False, guests=()),
        )

    def take_away(self, server: postgresql_server.Server, name: str, *, mark: str) -> None:
        self._enter("take_away", server, name)
        tenant_databases.require_ours(self.describe(server, name, None), name, mark)
        self.found.pop(name, None)

    def limit(self, name: str, limit: int) -> None:
        """Somebody changes a role's limit."""
        found = self.found[name]
        assert found.role is not None
        changed = dataclasses.replace(found.role, limit=limit)
        self.found[name] = dataclasses.replace(found, role=changed)

    def _enter(self, call: str, server: postgresql_server.Server, name: str) -> None:
        self.calls.append(f"{call} {name}")
        if self.stopped:
            raise server_errors.not_reachable(str(server), "Connection refused.", "Start it.")
        assert server == self.administrator, f"a stranger asks to {call} {name}"
        assert name.startswith("sandbox_"), f"nobody spoke of {name}"


def role(*, mark: str, limit: int) -> catalog.Role:
    """A role as it must be."""
    return catalog.Role(
        mark=mark,
        attributes=(),
        can_log_in=True,
        expires=False,
        limit=limit,
        member_of=(),
        members=(),
        guest_of=(),
        administered=True,
        password_fits=True,
    )
