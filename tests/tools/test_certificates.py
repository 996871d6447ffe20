"""A tenant's certificates: what is written, what a TLS client makes of it, and what is found wrong."""

import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.tools import certificates

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def system_bundle(tmp_path: Path) -> Path:
    path = tmp_path / "system.pem"
    path.write_text("# the machine's own CAs\n")
    return path


@pytest.fixture
def directory(tmp_path: Path, system_bundle: Path) -> Path:
    path = tmp_path / "certificates"
    path.mkdir()
    certificates.create(path, tenant="analytics", now=NOW, system_bundle=system_bundle)
    return path


def test_what_is_made_has_no_faults(directory: Path) -> None:
    assert certificates.faults(directory, now=NOW) == ()
    assert sorted(path.name for path in directory.iterdir()) == sorted(certificates.FILES)


def test_only_the_server_key_is_a_secret_and_it_is_private(directory: Path) -> None:
    with_keys = [path.name for path in directory.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert with_keys == ["server.key"]
    assert (directory / "server.key").stat().st_mode & 0o777 == 0o600


def test_the_bundle_holds_the_ca_and_the_machines_own(directory: Path) -> None:
    bundle = (directory / "bundle.pem").read_bytes()
    assert bundle.startswith((directory / "ca.pem").read_bytes())
    assert b"the machine's own CAs" in bundle


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "acme-dev.snowflakecomputing.com"])
def test_a_strict_client_accepts_the_server(directory: Path, name: str) -> None:
    assert handshake(directory, directory / "ca.pem", name) is None


def test_a_client_of_another_tenant_does_not(tmp_path: Path, directory: Path, system_bundle: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    certificates.create(other, tenant="finance", now=NOW, system_bundle=system_bundle)
    failure = handshake(directory, other / "ca.pem", "localhost")
    assert isinstance(failure, ssl.SSLCertVerificationError)


def test_other_names_are_not_accepted(directory: Path) -> None:
    failure = handshake(directory, directory / "ca.pem", "example.org")
    assert isinstance(failure, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("name", certificates.FILES)
def test_a_missing_file_is_told(directory: Path, name: str) -> None:
    (directory / name).unlink()
    assert certificates.faults(directory, now=NOW) == (f"{name} is missing",)


@pytest.mark.parametrize("name", certificates.FILES)
def test_a_file_of_another_tenant_is_told(
    tmp_path: Path, directory: Path, system_bundle: Path, name: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    certificates.create(other, tenant="finance", now=NOW, system_bundle=system_bundle)
    (other / name).replace(directory / name)
    assert certificates.faults(directory, now=NOW) != ()


@pytest.mark.parametrize("name", [certificates.CA, certificates.CERTIFICATE, certificates.KEY])
def test_a_cut_file_is_told(directory: Path, name: str) -> None:
    path = directory / name
    path.write_bytes(path.read_bytes()[:100])
    (fault,) = certificates.faults(directory, now=NOW)
    assert "cannot be read" in fault


def test_a_key_that_others_may_read_is_told(directory: Path) -> None:
    (directory / "server.key").chmod(0o640)
    assert certificates.faults(directory, now=NOW) == ("server.key can be read by others",)


def test_an_end_that_comes_near_is_told(directory: Path) -> None:
    later = NOW + datetime.timedelta(days=certificates.DAYS - 10)
    assert certificates.faults(directory, now=later, days=5) == ()
    assert [fault.split(" is ")[0] for fault in certificates.faults(directory, now=later)] == [
        "ca.pem",
        "server.pem",
    ]


def test_a_clock_that_was_set_back_an_hour_is_no_fault(directory: Path) -> None:
    an_hour = datetime.timedelta(minutes=59)
    assert certificates.faults(directory, now=NOW - an_hour) == ()
    assert certificates.faults(directory, now=NOW - 3 * an_hour) != ()


def test_making_them_again_replaces_all(directory: Path, system_bundle: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    certificates.create(directory, tenant="analytics", now=NOW, system_bundle=system_bundle)
    assert certificates.faults(directory, now=NOW) == ()
    assert all(path.read_bytes() != before[path.name] for path in directory.iterdir())


def test_a_full_disk_leaves_the_old_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (directory / "server.key").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(errors.StateError, match="No space"):
        certificates.create(directory, tenant="a", now=NOW, system_bundle=directory / "ca.pem")
    assert (directory / "server.key").read_bytes() == before
    assert len(list(directory.iterdir())) == len(certificates.FILES)


def test_the_machines_own_cas_are_those_that_it_names(tmp_path: Path, system_bundle: Path) -> None:
    environ = {"REQUESTS_CA_BUNDLE": str(tmp_path / "gone"), "SSL_CERT_FILE": str(system_bundle)}
    assert certificates.find_system_bundle(environ) == system_bundle


def test_a_machine_without_cas_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_SYSTEM_BUNDLES", ())
    with pytest.raises(errors.StateError, match="no file of certificate authorities"):
        certificates.find_system_bundle({})


def handshake(directory: Path, ca: Path, name: str) -> Exception | None:
    """Connect by that name, as strictly as Python 3.13 does; what the client says against it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "server.pem", directory / "server.key")
    client = ssl.create_default_context(cafile=str(ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=name).close()
    except ssl.SSLError as error:
        return error
    finally:
        ours.close()
        thread.join()
    return None
