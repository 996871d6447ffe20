"""Requests to a registry: login, what is asked again, how long is waited, what errors say."""

from __future__ import annotations

import contextlib
import email.utils
import time

import pytest

from airflow_platform import errors, secrets
from airflow_platform.errors import ExitCode
from airflow_platform.tools.registry import answers
from airflow_platform.tools.registry.session import (
    ATTEMPTS,
    Credentials,
    Question,
    Session,
    Traffic,
    is_local,
)
from tests.tools import scripted_server

PATH = "/v2/p/scheduler/tags"
EXPIRED = b'{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate."}]}'


class Login:
    """Numbered passwords."""

    def __init__(self) -> None:
        self.number = 1
        self.now = Credentials("AWS", secrets.Secret("password-1"))

    def credentials(self):
        return self.now

    def renew(self, refused):
        assert refused is self.now
        self.number += 1
        self.now = Credentials("AWS", secrets.Secret(f"password-{self.number}"))
        return self.now


@pytest.fixture
def server():
    with scripted_server.running() as made:
        yield made


@pytest.fixture
def waited():
    """Seconds that were slept."""
    return []


@pytest.fixture
def login():
    return Login()


@pytest.fixture
def session(server, login, waited):
    with contextlib.closing(Session(server.host, login, sleep=waited.append)) as made:
        yield made


def question(**fields):
    return Question("GET", "p/scheduler/tags", "p/scheduler", "ecr:DoThis", **fields)


def test_credentials_go_along_and_requests_are_counted(server, session):
    server.will("GET", PATH, body=b"yes")
    assert session.ask(question(), good=(200,)).data == b"yes"
    assert server.asked[0].headers["Authorization"] == "Basic QVdTOnBhc3N3b3JkLTE="
    assert session.traffic("p/scheduler") == Traffic(requests=1)
    assert session.traffic("p/other") == Traffic()


@pytest.mark.parametrize(("status", "body"), [(401, b""), (403, EXPIRED)])
def test_a_login_that_is_refused_is_renewed_once(server, session, login, waited, status, body):
    server.will("GET", PATH, status, body)
    server.will("GET", PATH)
    session.ask(question(), good=(200,))
    assert (login.number, waited) == (2, [])
    assert server.asked[1].headers["Authorization"] != server.asked[0].headers["Authorization"]


@pytest.mark.parametrize(("status", "body"), [(401, b""), (403, EXPIRED)])
def test_a_login_that_is_refused_twice_is_exit_6(server, session, login, status, body):
    server.will("GET", PATH, status, body)
    server.will("GET", PATH, status, body)
    with pytest.raises(errors.RefusedError, match="not even a new one") as caught:
        session.ask(question(), good=(200,))
    assert (caught.value.exit_code, caught.value.untouched, login.number) == (ExitCode.REFUSED, True, 2)


def test_what_is_forbidden_names_repository_and_action(server, session, login):
    server.will("GET", PATH, 403, b'{"errors":[{"code":"DENIED","message":"requested access denied"}]}')
    with pytest.raises(errors.RefusedError) as caught:
        session.ask(question(), good=(200,))
    assert caught.value.message == (
        f"{server.host}/p/scheduler: these credentials may not do ecr:DoThis: requested access denied."
    )
    assert "Allow ecr:DoThis" in caught.value.hint
    assert login.number == 1


def test_the_action_that_ecr_names_counts_more(server, session):
    server.will("GET", PATH, 403, b"not authorized to perform: ecr:PutImage on resource x")
    with pytest.raises(errors.RefusedError, match="may not do ecr:PutImage: not authorized"):
        session.ask(question(), good=(200,))


def test_faults_over_there_are_asked_again_with_doubled_waits(server, session, waited):
    for status in (500, 502, 503, 504):
        server.will("GET", PATH, status)
    server.will("GET", PATH)
    session.ask(question(), good=(200,))
    assert waited == [0.5, 1.0, 2.0, 4.0]


def test_they_are_not_asked_for_ever(server, session, waited):
    for _ in range(ATTEMPTS):
        server.will("GET", PATH, 503, b"<html>down   for\nrepair</html>")
    with pytest.raises(answers.RegistryError, match="answered 503: <html>down for repair</html>") as caught:
        session.ask(question(), good=(200,))
    assert (caught.value.status, caught.value.hint) == (503, "Try again in some minutes.")
    assert len(waited) == ATTEMPTS - 1


def test_a_wait_that_is_asked_for_is_waited(server, session, waited):
    server.will("GET", PATH, 429, headers={"Retry-After": "7"})
    server.will(
        "GET", PATH, 503, headers={"Retry-After": email.utils.formatdate(time.time() + 30, usegmt=True)}
    )
    server.will("GET", PATH, 503, headers={"Retry-After": "soon"})
    server.will("GET", PATH)
    session.ask(question(), good=(200,))
    assert waited == [7.0, pytest.approx(30, abs=2), 2.0]


def test_a_long_wait_is_an_error_at_once(server, session, waited):
    server.will("GET", PATH, 429, headers={"Retry-After": "61"})
    with pytest.raises(answers.RegistryError, match="answered 429"):
        session.ask(question(), good=(200,))
    assert waited == []


def test_a_connection_that_is_cut_is_made_again_where_that_is_safe(server, session, waited):
    server.will("GET", PATH, body=b"yes", cut_after=1)
    server.will("GET", PATH, body=b"yes")
    assert session.ask(question(), good=(200,)).data == b"yes"
    assert waited == [0.5]


def test_a_connection_that_is_cut_is_an_error_where_it_is_not(server, session, waited):
    server.will("GET", PATH, body=b"yes", cut_after=1)
    with pytest.raises(answers.NotReachable, match="cannot be reached, or went away"):
        session.ask(question(repeatable=False), good=(200,))
    assert waited == []


def test_nobody_who_answers_is_told_as_such(login, waited):
    with (
        contextlib.closing(Session("127.0.0.1:1", login, sleep=waited.append)) as session,
        pytest.raises(answers.NotReachable, match=r"127\.0\.0\.1:1: .*[Cc]onnection refused"),
    ):
        session.ask(question(), good=(200,))
    assert len(waited) == ATTEMPTS - 1


def test_an_end_of_the_run_ends_the_wait(server, login):
    def sleep(seconds):
        raise errors.Interrupted(2, "SIGINT")

    server.will("GET", PATH, 503)
    with contextlib.closing(Session(server.host, login, sleep=sleep)) as session:
        with pytest.raises(errors.Interrupted):
            session.ask(question(), good=(200,))
        with pytest.raises(errors.Interrupted):
            session.raise_if_interrupted()


def test_another_host_is_shown_no_credentials(server, session):
    with scripted_server.running() as storage:
        storage.will("GET", "/bucket/layer?signature=1")
        session.ask(
            Question("GET", f"http://{storage.host}/bucket/layer?signature=1", "p/x", "a"), good=(200,)
        )
    assert "Authorization" not in storage.asked[0].headers


@pytest.mark.parametrize(
    ("body", "codes", "said"),
    [
        (
            b'{"errors":[{"code":"A","message":"a"},{"code":"B"},{"code":"A","message":"a"}]}',
            ("A", "B", "A"),
            "a; B",
        ),
        (b'{"errors":["odd"]}', (), ""),
        (b'{"error":"no"}', (), '{"error":"no"}'),
        (b"[]", (), "[]"),
        (b"\xff" * 400, (), "\ufffd" * 300),
    ],
)
def test_an_answer_of_any_shape_is_read(body, codes, said):
    assert answers.Refusal.of(400, body) == answers.Refusal(400, codes, said)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (answers.Refusal(400, ("TAG_INVALID",), "The image tag exists"), answers.Immutable),
        (
            answers.Refusal(400, (), "cannot be overwritten because the repository is immutable"),
            answers.Immutable,
        ),
        (answers.Refusal(400, ("MANIFEST_BLOB_UNKNOWN",), "blob unknown"), answers.RegistryError),
    ],
)
def test_refusals_become_errors_of_their_kind(refusal, kind):
    error = refusal.error("host", "p/x", "a")
    assert type(error) is kind
    assert error.exit_code is ExitCode.FAILED


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1:5000", True),
        ("localhost", True),
        ("127.8.9.1", True),
        ("1270.example.com", False),
        ("a.b", False),
    ],
)
def test_plain_http_is_for_this_machine(host, here):
    assert is_local(host) is here
    with contextlib.closing(Session(host, Login(), sleep=lambda seconds: None)) as session:
        assert session._base == f"{'http' if here else 'https'}://{host}"


@pytest.mark.parametrize(
    ("host", "proxied"), [("a.example.com", True), ("b.internal", False), ("127.0.0.1", False)]
)
def test_the_proxy_of_the_environment_is_used_except_where_it_should_not(monkeypatch, host, proxied):
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", ".internal")
    with contextlib.closing(Session(host, Login(), sleep=lambda seconds: None)) as session:
        assert (session._pool.proxy is not None) is proxied
