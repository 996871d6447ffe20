"""Streams that a signal ends."""

from __future__ import annotations

import datetime
import signal
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools import certificates
from airflow_platform.tools.containers import containers, follow

PRINTED = follow.HEADER.pack(1, 5) + b"hello" + follow.HEADER.pack(follow.STDERR, 2) + b"no"


class Response:
    """What a connection was taken over from."""

    closed = False

    def close(self):
        self.closed = True


@pytest.fixture(params=["plain", "TLS"])
def channel(request, tmp_path):
    """A connection as the library hands it out, and the socket at its other end."""
    near, far = socket.socketpair()
    near.settimeout(60)
    if request.param == "TLS":
        certificates.create(
            tmp_path, tenant="x", now=datetime.datetime.now(datetime.UTC), system_bundle=_empty(tmp_path)
        )
        server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
        server.load_cert_chain(tmp_path / certificates.CERTIFICATE, tmp_path / certificates.KEY)
        client.load_verify_locations(tmp_path / certificates.CA)
        with ThreadPoolExecutor() as pool:
            accepted = pool.submit(server.wrap_socket, far, server_side=True)
            made = client.wrap_socket(near, server_hostname="localhost")
            far = accepted.result()
    else:
        made = near.makefile("rb", buffering=0)
    made._response = Response()
    with near, far:
        yield made, far


def _empty(directory):
    path = directory / "system.pem"
    path.touch()
    return path


def test_what_a_program_prints_comes_by_its_stream_until_the_other_end_closes(channel):
    made, far = channel
    far.sendall(PRINTED)
    with follow.closing(made):
        followed = follow.items(follow.frames(made), programs.Interruption(), lambda: None, timeout=10)
        assert [next(followed), next(followed)] == [(False, b"hello"), (True, b"no")]
        assert follow._socket(made).gettimeout() is None, "a program may say nothing for long"
        far.shutdown(socket.SHUT_RDWR)
        assert list(followed) == []
    assert made._response.closed


def test_a_connection_is_cut_while_somebody_reads_it(channel):
    made, far = channel
    far.sendall(PRINTED)
    interruption = programs.Interruption()
    with follow.closing(made):
        followed = follow.items(follow.frames(made), interruption, lambda: follow.cut(made), timeout=10)
        next(followed)
        interruption.request(signal.SIGTERM)
        with pytest.raises(errors.Interrupted):
            next(followed)
    assert made._response.closed


def test_output_that_nobody_reads_any_more_is_no_fault_of_the_engine(channel):
    made, far = channel
    far.sendall(PRINTED)
    api = SimpleNamespace(
        exec_create=lambda name, command: {"Id": "1"}, exec_start=lambda made_, socket: made
    )

    def gone(is_error, data):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        containers.Containers(SimpleNamespace(api=api)).execute("x", ["airflow"], on_output=gone)
    assert made._response.closed


def test_items_come_in_order():
    assert list(follow.items(iter([1, 2, 3]), programs.Interruption(), lambda: None)) == [1, 2, 3]


def test_an_error_of_the_stream_is_raised_where_it_is_followed():
    def stream():
        yield 1
        raise ValueError("broken")

    followed = follow.items(stream(), programs.Interruption(), lambda: None)
    assert next(followed) == 1
    with pytest.raises(ValueError, match="broken"):
        next(followed)


def endless(fed):
    while not fed.is_set():
        yield 1


def test_a_signal_ends_a_stream_that_never_pauses():
    fed, interruption = threading.Event(), programs.Interruption()
    followed = follow.items(endless(fed), interruption, fed.set)
    assert next(followed) == 1
    interruption.request(signal.SIGTERM)
    with pytest.raises(errors.Interrupted):
        next(followed)
    assert fed.is_set()


@pytest.mark.parametrize("pauses", [True, False])
def test_a_stream_ends_in_time(pauses):
    fed = threading.Event()

    def stream():
        yield from endless(fed) if not pauses else ()
        assert fed.wait(10)

    with pytest.raises(follow.Late):
        list(follow.items(stream(), programs.Interruption(), fed.set, timeout=0.2))
    assert fed.is_set()


def test_a_signal_ends_it_and_stops_who_feeds_it():
    fed = threading.Event()

    def stream():
        yield 1
        assert fed.wait(10)

    interruption = programs.Interruption()
    followed = follow.items(stream(), interruption, fed.set)
    assert next(followed) == 1
    interruption.request(signal.SIGTERM)
    with pytest.raises(errors.Interrupted):
        next(followed)
    assert fed.is_set()
