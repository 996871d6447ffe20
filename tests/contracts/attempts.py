"""What a DAG of a tenant could try, run inside one of its containers: `python -c … ` with ATTEMPTS as JSON.

The names of attempts are keys; the answer, on standard output, says what became of each: "" for one that
got through, otherwise why it did not.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import urllib.request
from pathlib import Path
from typing import Any

SECRETS = Path("/run/airflow")


def reach(host: str, port: int) -> str:
    """Open a TCP connection."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return ""
    except OSError as error:
        return f"{type(error).__name__}: {error}"


def connect(database: str, user: str, password: str, query: str = "SELECT 1") -> str:
    """Log in to the metadata database's server; what is left out is as in the tenant's own address."""
    import psycopg2

    address = (SECRETS / "environment/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN").read_text().partition("://")[2]
    given = {"dbname": database, "user": user, "password": password}
    try:
        connection = psycopg2.connect(
            f"postgresql://{address}",
            connect_timeout=5,
            **{name: value for name, value in given.items() if value},
        )
    except psycopg2.OperationalError as error:
        return str(error)
    try:
        connection.cursor().execute(query)
    except psycopg2.Error as error:
        return str(error)
    finally:
        connection.close()
    return ""


def write(path: str) -> str:
    """Make a file."""
    try:
        Path(path).write_text("")
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def read(path: str) -> str:
    """Read a file, or the names in a directory."""
    try:
        Path(path).read_bytes() if Path(path).is_file() else list(Path(path).iterdir())
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def become(user: int) -> str:
    """Change the user id."""
    try:
        os.setuid(user)
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def log_in(host: str, port: int, password: str) -> dict[str, Any]:
    """Log in to a fakesnow; what it answers."""
    trust = ssl.create_default_context(cafile=str(SECRETS / "authorities.pem"))
    data = {"LOGIN_NAME": "AIRFLOW", "PASSWORD": password, "SESSION_PARAMETERS": {}}
    request = urllib.request.Request(
        f"https://{host}:{port}/session/v1/login-request",
        data=json.dumps({"data": data}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


KINDS = {"reach": reach, "connect": connect, "write": write, "read": read, "become": become, "log in": log_in}


def main() -> None:
    """Make all attempts, each once."""
    asked = json.loads(os.environ["ATTEMPTS"])
    print(json.dumps({name: KINDS[kind](*arguments) for name, (kind, *arguments) in asked.items()}))


if __name__ == "__main__":
    main()
