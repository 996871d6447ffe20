"""What a PostgreSQL server says no with, in our words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_platform import errors

if TYPE_CHECKING:
    import psycopg

TOO_MANY_CONNECTIONS = "53300"
"""SQLSTATE, of a server, a database or a role."""

NO_DATABASE = "3D000"
"""SQLSTATE of a database that does not exist."""

_OTHER_LOGIN = "password authentication failed"
_BAD_LOGIN = (
    f"{_OTHER_LOGIN}|no password supplied|no pg_hba.conf entry"
    "|authentication method requirement|server requested"
)
_BAD_DATABASE = (
    "not permitted to log in|permission denied for database|not currently accepting connections"
    "|cannot connect to invalid database"
)
_FULL = "too many (connections|clients)|remaining connection slots"

_WHERE = r"^connection failed: (connection to server at .*?, port \d+ failed: )?(FATAL: )?"

RERUN = "What was done so far stands; run this again."


class NotReachable(errors.PreflightError):
    """No PostgreSQL server answers there that could be used."""


class LoginRefused(errors.RefusedError):
    """The server does not let this role in with this password."""


class WrongPassword(LoginRefused):
    """The role has another password, or does not exist."""


class NotAllowed(errors.RefusedError):
    """The role may not do that, or may not enter that database."""


class StatementError(errors.StepError):
    """The server said no."""

    def __init__(self, message: str, *, state: str, hint: str = "") -> None:
        """Make the error.

        Args:
            message: What it said, and about what.
            state: Its SQLSTATE: 53300 for too many connections, 55006 for a database that is in use; ""
                when the connection was lost.
            hint: The remedy.
        """
        super().__init__(message, hint=hint)
        self.state = state


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Errors of statements as ours; `where` is the server.

    Raises:
        NotAllowed: The role that we logged in as may not do that.
        StatementError: Anything else, a lost connection too.
    """
    import psycopg  # noqa: PLC0415

    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(
            f"{where}: {_said(error)}.",
            hint="Log in as a superuser, or as the role with CREATEROLE and CREATEDB that made the tenants' roles.",
        ) from error
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        raise StatementError(
            f"{where}: a statement did not end in time: {_said(error)}.",
            state=str(error.sqlstate),
            hint=f"Look at what the server is busy with. {RERUN}",
        ) from error
    except psycopg.Error as error:
        # Class 57P: the server shut down, or an administrator ended the session.
        if error.sqlstate is None or error.sqlstate.startswith("57P"):
            message = f"{where}: the connection was lost: {_said(error)}."
            raise StatementError(message, state="", hint=RERUN) from error
        raise StatementError(f"{where}: {_said(error)}.", state=error.sqlstate, hint=RERUN) from error


def of_login(where: str, user: str, database: str, said: str) -> errors.PlatformError:
    """The error for a login that failed. libpq hands over a text without a code, so the text decides.

    Servers and libpq speak English unless a server's `lc_messages` is another; then it is `NotReachable`
    with what was said.

    Args:
        where: The server.
        user: The role.
        database: The database.
        said: What libpq says.
    """
    # libpq asks back whether the server runs; the remedy says what to do about that.
    said = " ".join(said.partition("\tIs the server")[0].split())
    cause = re.sub(_WHERE, "", said).strip().rstrip(".")
    if re.search(_BAD_LOGIN, cause):
        refused = WrongPassword if re.search(_OTHER_LOGIN, cause) else LoginRefused
        return refused(
            f"{where} does not let role {user} in: {cause}.",
            hint="Mend the role's password, or in the server's pg_hba.conf the ways in which it may log in.",
        )
    if re.search(_BAD_DATABASE, cause):
        return NotAllowed(
            f"{where} does not let role {user} into database {database}: {cause}.",
            hint="The role needs LOGIN, and CONNECT on that database.",
        )
    if re.search(_FULL, cause):
        return StatementError(
            f"{where} takes no more connections of role {user}: {cause}.",
            state=TOO_MANY_CONNECTIONS,
            hint="Stop what holds them, or raise the role's limit or the server's max_connections.",
        )
    if re.search(r"^database .* does not exist", cause):
        return StatementError(f"{where}: {cause}.", state=NO_DATABASE, hint="Name one that exists.")
    return not_reachable(where, f"{cause}.", "Start it, or fix its address, port or TLS settings.")


def not_reachable(where: str, cause: str, remedy: str) -> NotReachable:
    """The error for a server that cannot be used."""
    fault = errors.Fault(f"PostgreSQL at {where}", cause, remedy)
    return NotReachable(f"PostgreSQL at {where} cannot be used.", [fault])


def _said(error: psycopg.Error) -> str:
    said = error.diag.message_primary or " ".join(str(error).split())
    detail = error.diag.message_detail
    return (f"{said} ({' '.join(detail.split())})" if detail else said).rstrip(".")
