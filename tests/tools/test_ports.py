"""Ports on 127.0.0.1: free, taken on any address, and chosen."""

import socket

import pytest

from airflow_platform.tools import ports


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "127.0.0.2"])
def test_a_port_that_somebody_listens_on_is_taken_on_whatever_address(address):
    with socket.create_server((address, 0)) as listener:
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
    assert ports.is_free(port)


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_a_listener_on_ipv6_counts():
    try:
        listener = socket.create_server(("::", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with listener:
        assert not ports.is_free(listener.getsockname()[1])


def test_a_machine_without_ipv6_still_has_free_ports(monkeypatch):
    real = socket.socket

    def without(family, *arguments):
        if family is socket.AF_INET6:
            raise OSError("Address family not supported")
        return real(family, *arguments)

    port = free_port()
    monkeypatch.setattr(socket, "socket", without)
    assert ports.is_free(port)


def test_a_port_that_was_used_a_moment_ago_is_free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()
            assert client.recv(1) == b""
    assert ports.is_free(port)


def test_the_first_free_ones_are_chosen(monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda port: port != 2)
    assert ports.choose(range(1, 9), taken={3}, count=2) == (1, 4)
    assert ports.choose(range(1, 4), taken={3}, count=2) == (1,)
    assert ports.choose([], taken=(), count=2) == ()
    asked = []
    monkeypatch.setattr(ports, "is_free", lambda port: asked.append(port) or True)
    ports.choose(range(1, 9), taken=(), count=2)
    assert asked == [1, 2], "no more are looked at than needed"
