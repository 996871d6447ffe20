"""Variables and connections while importing: what the tenants' specs say, and a note that somebody asked.

Airflow asks its supervisor for them; this stands in that supervisor's place, as it does in dag-processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    ConnectionResult,
    ErrorResponse,
    VariableKeysResult,
    VariableResult,
)

from airflow_platform.parsing.watching import Watch


class Answers:
    """The other end of Airflow's line to its supervisor."""

    def __init__(
        self, watch: Watch, variables: Mapping[str, str], connections: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._watch = watch
        self._variables = variables
        self._connections = connections

    def send(self, message: Any) -> Any:
        """Answer one request."""
        kind = type(message).__name__
        if "Variable" in kind:
            name = getattr(message, "key", "") or getattr(message, "prefix", "") or ""
            self._watch.found("variable", f"{_VERBS.get(kind, kind)} {name!r}")
        elif kind == "GetConnection":
            self._watch.found("connection", f"Connection {message.conn_id!r}")
        return self._answer(kind, message)

    async def asend(self, message: Any) -> Any:
        """The same, for coroutines."""
        return self.send(message)

    def _answer(self, kind: str, message: Any) -> Any:
        if kind == "GetVariable" and message.key in self._variables:
            return VariableResult(key=message.key, value=self._variables[message.key])
        if kind == "GetVariableKeys":
            keys = [key for key in self._variables if key.startswith(message.prefix or "")]
            return VariableKeysResult(keys=keys, total_entries=len(keys))
        if kind == "GetConnection" and message.conn_id in self._connections:
            known = {**_NOTHING, **self._connections[message.conn_id], "conn_id": message.conn_id}
            return ConnectionResult(**known)
        if kind == "MaskSecret":
            return None
        missing = ErrorType.CONNECTION_NOT_FOUND if kind == "GetConnection" else ErrorType.VARIABLE_NOT_FOUND
        return ErrorResponse(error=missing, detail={"message": "not there while importing"})


_NOTHING: dict[str, Any] = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
"""A connection of which nothing is known but its type. None has a password here."""

_VERBS = {"GetVariable": "Variable.get", "PutVariable": "Variable.set", "DeleteVariable": "Variable.delete"}


def install(answers: Answers) -> None:
    """Have Airflow ask here from now on."""
    task_runner.SUPERVISOR_COMMS = answers
