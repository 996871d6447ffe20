"""fakesnow as one tenant's Snowflake: over TLS, kept on disk, for one password only.

    python server.py --port=18081 --database-directory=DIR --password-file=FILE
        --certificate=server.pem --key=server.key --database=ANALYTICS_DEV --schema=PUBLIC

It runs in fakesnow's own environment (requirements.lock) and changes fakesnow's server in five ways:

- Databases are files in a directory, and so are stages: fakesnow's own command keeps both in memory
  or in a temporary directory.
- A login needs the tenant's password, and is refused as Snowflake does it (390100). fakesnow takes any.
- A statement that fakesnow cannot do is answered with an error. fakesnow answers 500, which
  Snowflake's clients take for an outage and repeat for minutes.
- A file is put into a stage only with the address that a session was given. fakesnow lets anyone who
  reaches the port write there.
- `GET /health` answers 200 as soon as the server is ready.

SIGTERM and SIGINT end it within a second; a statement that is running is given up.
"""

from __future__ import annotations

import argparse
import contextvars
import gzip
import hmac
import json
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

HOST = "127.0.0.1"
"""Where it listens unless it is told: only a container, which others reach by its network, needs more."""

LOGIN_PATH = "/session/v1/login-request"
BUCKET_PATH = "/fs_bucket/"

WRONG_PASSWORD = "390100"  # noqa: S105 - the number of Snowflake's error, not a password.
UNSUPPORTED = "000002"
"""Snowflake's error number for "Unsupported feature"; SQLSTATE 0A000 says the same."""

SHUTDOWN_SECONDS = 1
"""How long a statement that is running may delay the end."""

INTERNAL_ERROR = 500

LONGEST_REASON = 500
"""Characters of a reason; some repeat the whole statement."""

_reasons: contextvars.ContextVar[list[str]] = contextvars.ContextVar("reasons")
"""Why the request that is being answered failed."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    host: str
    port: int
    database_directory: Path
    certificate: Path
    key: Path
    password_file: Path
    database: str | None
    schema: str | None


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; argparse ends the program when it does not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--host", default=HOST, help=f"the address to listen at; by default {HOST}")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-directory", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--database", help="created if it is missing")
    parser.add_argument("--schema", help="created in the database if it is missing")
    return Options(**vars(parser.parse_args(arguments)))


class Login:
    """Lets a login through that names the password; answers any other as Snowflake does."""

    def __init__(self, app: App, password: str) -> None:
        self._app = app
        self._password = password.encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != LOGIN_PATH:
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if self._is_right(scope, body):
            await self._app(scope, _replay(body), send)
        else:
            await _answer(send, failure(WRONG_PASSWORD, "Incorrect username or password was specified."))

    def _is_right(self, scope: MutableMapping[str, Any], body: bytes) -> bool:
        try:
            if dict(scope["headers"]).get(b"content-encoding") == b"gzip":
                body = gzip.decompress(body)
            given = json.loads(body)["data"]["PASSWORD"]
            return hmac.compare_digest(str(given).encode(), self._password)
        except (OSError, EOFError, ValueError, LookupError, TypeError):
            return False


class StageAddresses:
    """Lets a file be put only to an address that carries this server's own token."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._prefix = f"{BUCKET_PATH}{token}/"

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(BUCKET_PATH):
            path = scope["path"]
            if not hmac.compare_digest(path[: len(self._prefix)].encode(), self._prefix.encode()):
                await _answer(send, failure("403", "This address was not given out."), status=403)
                return
            scope = {**scope, "path": BUCKET_PATH + path[len(self._prefix) :]}
            scope.pop("raw_path", None)
        await self._app(scope, receive, send)


class FailAtOnce:
    """Turns an internal error into the answer that a failed statement gets.

    It wraps the whole application: Starlette's own handler of errors sits outermost in that one.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reasons: list[str] = []
        _reasons.set(reasons)
        failed = False

        async def hold_back(message: Message) -> None:
            nonlocal failed
            if message["type"] == "http.response.start":
                failed = message["status"] == INTERNAL_ERROR
            if not failed:
                await send(message)

        try:
            await self._app(scope, receive, hold_back)
        except Exception as error:
            if not failed:  # An answer has begun, or there was none to hold back.
                raise
            reasons.append(_describe(error))
        if failed:
            reason = "; ".join(reasons) or "an internal error without a reason"
            await _answer(send, failure(UNSUPPORTED, f"fakesnow cannot do this: {reason}", "0A000"))


class ReasonHandler(logging.Handler):
    """Keeps the exceptions that fakesnow logs while it answers: its answers do not name them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Note the exception for the request that is being answered, if there is one."""
        if record.exc_info and record.exc_info[1]:
            _reasons.get([]).append(_describe(record.exc_info[1]))


class Health:
    """Answers `GET /health`, without a login."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/health":
            await _answer(send, {"status": "healthy"})
        else:
            await self._app(scope, receive, send)


def failure(code: str, message: str, sql_state: str = "08001") -> dict[str, Any]:
    """What Snowflake's clients raise as an error with this number and message."""
    data = {"errorCode": code, "sqlState": sql_state}
    return {"data": data, "code": code, "message": message, "success": False}


def application(options: Options, password: str) -> App:
    """fakesnow's server with the changes that this module's docstring lists."""
    import fakesnow.server  # noqa: PLC0415 - the rest of this module is tested without fakesnow.
    from fakesnow.instance import FakeSnow  # noqa: PLC0415
    from fakesnow.transforms import stage  # noqa: PLC0415

    directory = options.database_directory.resolve()
    stages = directory / "stages"
    stages.mkdir(parents=True, exist_ok=True)
    stage.LOCAL_BUCKET_PATH = str(stages)
    instance = FakeSnow(db_path=directory)
    for file in sorted(directory.glob("*.db")):
        instance.connect(file.stem)  # fakesnow opens a database only when a session names it.
    instance.connect(options.database, options.schema)
    fakesnow.server.shared_fs = instance
    fakesnow.server.logger.addHandler(ReasonHandler())

    token = secrets.token_urlsafe(32)
    without_token = fakesnow.server.gcs_stage_info

    def with_token(*arguments: Any) -> Any:
        info = without_token(*arguments)
        address = info["presignedUrl"].replace(BUCKET_PATH, f"{BUCKET_PATH}{token}/", 1)
        return {**info, "presignedUrl": address}

    fakesnow.server.gcs_stage_info = with_token
    return Health(FailAtOnce(Login(StageAddresses(fakesnow.server.app, token), password)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes."""
    import uvicorn  # noqa: PLC0415

    options = parse(arguments)
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    password = options.password_file.read_text(encoding="utf-8").strip()
    if not password:
        raise SystemExit(f"{options.password_file} is empty: without a password anyone could log in.")
    uvicorn.run(
        application(options, password),
        host=options.host,
        port=options.port,
        ssl_certfile=options.certificate,
        ssl_keyfile=str(options.key),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        lifespan="off",
        access_log=False,
        log_config=None,
    )


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes) -> Receive:
    """A `receive` that gives a body that has been read already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _answer(send: Send, content: Any, *, status: int = 200) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_REASON]


if __name__ == "__main__":
    main()
