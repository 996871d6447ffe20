"""What the server puts around fakesnow, without fakesnow: each layer with a small application inside."""

import asyncio
import gzip
import importlib.util
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).parents[2] / "images" / "fakesnow" / "server.py"
LOGIN = "/session/v1/login-request"
QUERY = "/queries/v1/query-request"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("fakesnow_server", SERVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up.
    spec.loader.exec_module(module)
    return module


server = _load()


class Inner:
    """An application that answers 200 `{}`, and remembers what reached it."""

    def __init__(self, status: int = 200, body: bytes = b"{}", error: Exception | None = None) -> None:
        self.status = status
        self.body = body
        self.error = error
        self.paths: list[str] = []
        self.received = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        self.received = (await receive())["body"]
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.body})
        if self.error:
            raise self.error


def ask(app: Callable[..., Awaitable[None]], path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """One request in two parts; the status and the JSON of the answer."""
    parts = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:], "more_body": False},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(app({"type": "http", "path": path, "headers": named}, receive, send))  # type: ignore[arg-type]
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1, "one answer, no more"
    answer = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    return starts[0]["status"], json.loads(answer)


def login(password: Any) -> bytes:
    return json.dumps({"data": {"LOGIN_NAME": "u", "PASSWORD": password}}).encode()


def test_the_right_password_reaches_fakesnow_with_the_whole_body():
    inner = Inner()
    assert ask(server.Login(inner, "right"), LOGIN, login("right")) == (200, {})
    assert inner.received == login("right")


def test_a_compressed_login_is_read():
    inner = Inner()
    body = gzip.compress(login("right"))
    assert ask(server.Login(inner, "right"), LOGIN, body, content_encoding="gzip") == (200, {})
    assert inner.received == body


@pytest.mark.parametrize(
    "body",
    [
        login("wrong"),
        login(""),
        login(None),
        login({"a": 1}),
        login("ri\u00fcht"),
        b"{}",
        b"[]",
        b"not json",
        json.dumps({"data": {"TOKEN": "right"}}).encode(),
    ],
)
def test_any_other_login_is_refused_as_snowflake_does(body):
    inner = Inner()
    status, answer = ask(server.Login(inner, "right"), LOGIN, body)
    assert (status, answer["success"], answer["code"]) == (200, False, "390100")
    assert answer["message"] == "Incorrect username or password was specified."
    assert inner.paths == []


def test_a_broken_compressed_login_is_refused():
    _, answer = ask(server.Login(Inner(), "right"), LOGIN, b"\x1f\x8bnonsense", content_encoding="gzip")
    assert answer["code"] == "390100"


def test_other_requests_pass_the_login():
    inner = Inner()
    assert ask(server.Login(inner, "right"), QUERY)[0] == 200
    assert inner.paths == [QUERY]


def test_a_file_is_put_only_with_the_token():
    inner = Inner()
    app = server.StageAddresses(inner, "t0ken")
    assert ask(app, "/fs_bucket/t0ken/DB/S/STAGE/file.csv")[0] == 200
    assert inner.paths == ["/fs_bucket/DB/S/STAGE/file.csv"]


@pytest.mark.parametrize(
    "path", ["/fs_bucket/DB/S/file", "/fs_bucket/t0ke/x", "/fs_bucket/", "/fs_bucket/t0ken"]
)
def test_a_file_without_the_token_is_refused(path):
    inner = Inner()
    assert ask(server.StageAddresses(inner, "t0ken"), path)[0] == 403
    assert inner.paths == []


def test_what_works_passes_unchanged():
    assert ask(server.FailAtOnce(Inner(body=b'{"success": true}')), QUERY) == (200, {"success": True})


def test_an_internal_error_becomes_a_failed_statement():
    class Failing(Inner):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            error = ValueError("Unsupported expression type Undrop")
            logger.error("sql_text=... Unhandled exception", exc_info=error)
            await super().__call__(scope, receive, send)

    logger = logging.getLogger("test.fakesnow")
    handler = server.ReasonHandler()
    logger.addHandler(handler)
    try:
        status, answer = ask(server.FailAtOnce(Failing(500, b'{"message": "Unhandled"}')), QUERY)
    finally:
        logger.removeHandler(handler)
    assert (status, answer["success"], answer["code"]) == (200, False, "000002")
    assert answer["data"] == {"errorCode": "000002", "sqlState": "0A000"}
    assert answer["message"].endswith("ValueError: Unsupported expression type Undrop")


def test_an_error_that_starlette_raises_again_is_the_reason():
    inner = Inner(500, b"<html>traceback</html>", error=KeyError("SESSION_PARAMETERS"))
    status, answer = ask(server.FailAtOnce(inner), LOGIN)
    assert status == 200
    assert "KeyError: 'SESSION_PARAMETERS'" in answer["message"]
    assert "html" not in answer["message"]


def test_an_error_after_an_answer_is_not_hidden():
    with pytest.raises(KeyError):
        ask(server.FailAtOnce(Inner(error=KeyError("late"))), QUERY)


def test_reasons_do_not_pass_from_one_request_to_the_next():
    app = server.FailAtOnce(Inner(500))
    first = ask(server.FailAtOnce(Inner(500, error=ValueError("first"))), QUERY)[1]["message"]
    second = ask(app, QUERY)[1]["message"]
    assert "first" in first
    assert second.endswith("an internal error without a reason")


def test_a_long_reason_is_cut():
    app = server.FailAtOnce(Inner(500, error=ValueError("x" * 10_000)))
    assert len(ask(app, QUERY)[1]["message"]) < 600


def test_health_needs_no_login():
    inner = Inner()
    app = server.Health(server.Login(inner, "right"))
    assert ask(app, "/health") == (200, {"status": "healthy"})
    assert inner.paths == []


def test_the_command_line_must_be_whole(capsys):
    with pytest.raises(SystemExit):
        server.parse(["--port=1"])
    assert "--password-file" in capsys.readouterr().err


def test_the_command_line():
    options = server.parse(
        [
            "--port=1",
            "--database-directory=/d",
            "--certificate=/c",
            "--key=/k",
            "--password-file=/p",
            "--database=A",
        ]
    )
    assert (options.port, options.database_directory, options.database) == (1, Path("/d"), "A")
    assert options.schema is None
    assert options.host == "127.0.0.1", "only who runs it in a container lets others reach it"
