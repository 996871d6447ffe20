"""What a fakesnow answers to SQL, asked from inside its own container: tests need no connector for that."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Mapping
from typing import Any

from airflow_platform import errors
from airflow_platform.tools.containers import engine_session

AUTHORITIES = "/run/fakesnow/authorities.pem"
"""Where the container has the authorities that its certificate is checked against."""

_QUERY = """
import json, os, sys
sql, database, schema, authorities = sys.argv[1:]
os.environ["REQUESTS_CA_BUNDLE"] = authorities
import snowflake.connector
def plain(value):
    return {"type": type(value).__name__, "text": str(value)}
with open("/run/fakesnow/password") as file:
    password = file.read()
try:
    with snowflake.connector.connect(
        host="localhost", port=8443, account="fakesnow", user="TEST", password=password,
        database=database, schema=schema, session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
    ) as connection:
        *_, last = connection.execute_string(sql)
        print(json.dumps(last.fetchall(), default=plain))
except snowflake.connector.errors.Error as error:
    raise SystemExit(" ".join(str(error).split()))
"""

_TYPES = {
    "Decimal": decimal.Decimal,
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "time": datetime.time.fromisoformat,
}


class QueryFailed(errors.StepError):
    """fakesnow refused a statement."""


def rows(
    engine: engine_session.Engine, container: str, sql: str, *, database: str, schema: str
) -> list[tuple[Any, ...]]:
    """The rows of a statement, or of the last of several.

    Args:
        engine: Where it runs.
        container: The name of fakesnow's container.
        sql: One statement or more, with semicolons between them.
        database: What names without one mean.
        schema: The same.

    Raises:
        QueryFailed: A statement was refused.
    """
    printed = {False: b"", True: b""}

    def keep(is_error: bool, data: bytes) -> None:
        printed[is_error] += data

    words = ("python", "-c", _QUERY, sql, database, schema, AUTHORITIES)
    if code := engine.containers.execute(container, words, on_output=keep):
        said = printed[True].decode(errors="replace").splitlines() or [f"exit code {code}"]
        raise QueryFailed(f"fakesnow refused a statement: {said[-1]}\n{sql.strip()}")
    answer = json.loads(printed[False].splitlines()[-1], object_hook=_typed)
    return [tuple(row) for row in answer]


def _typed(value: Mapping[str, Any]) -> Any:
    """A value for which JSON has no type; as text where we have none either."""
    if value.keys() != {"type", "text"}:
        return value
    return _TYPES.get(value["type"], str)(value["text"])  # type: ignore[operator]
