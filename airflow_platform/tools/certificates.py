"""The certificates of one tenant's local services: a CA of its own, whose key is never written.

A directory of certificates holds:

    ca.pem        the tenant's CA; it signed one certificate and can sign no other
    server.pem    the server's certificate: localhost, 127.0.0.1, fakesnow, *.snowflakecomputing.com
    server.key    the server's private key, 0600
    bundle.pem    the CA and the machine's own CAs, for REQUESTS_CA_BUNDLE
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_platform import errors
from airflow_platform.tools import files

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CA = "ca.pem"
CERTIFICATE = "server.pem"
KEY = "server.key"
BUNDLE = "bundle.pem"
FILES = (CA, CERTIFICATE, KEY, BUNDLE)

NAMES = ("localhost", "fakesnow", "*.snowflakecomputing.com")
"""Host names that the server may be called by: on this machine, in a tenant's own network, and the last so
that a connection that names a Snowflake account can be led here by a proxy."""

ADDRESS = "127.0.0.1"

DAYS = 825
"""How long certificates are valid; macOS takes no server certificate of more (Apple HT210176)."""

CLOCK_SKEW = datetime.timedelta(hours=1)
"""Certificates are valid from so long ago, for machines whose clock was set back."""

_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, Red Hat, Amazon Linux
    "/etc/ssl/cert.pem",  # macOS, BSD
)


def create(
    directory: Path, *, tenant: str, now: datetime.datetime, system_bundle: Path | None = None
) -> None:
    """Make all files of a directory; each appears whole or not at all.

    The CA's key is gone when this returns: nobody can steal it, and renewing means calling this again.
    A crash in between leaves files that do not fit together, which `faults` reports.

    Args:
        directory: Where; it exists.
        tenant: Named in the certificates' subjects, for people.
        now: The current time, aware.
        system_bundle: The machine's own CAs; by default found by `find_system_bundle`.
    """
    from cryptography import x509  # noqa: PLC0415 - importing it takes 0.1 s, and few commands need it.
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name(f"airflow-platform CA of {tenant}")

    def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + datetime.timedelta(days=DAYS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    ca = _as_authority(builder(ca_name, ca_key)).sign(ca_key, hashes.SHA256())
    server = _as_server(builder(_name(f"services of {tenant}"), server_key), ca).sign(ca_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    key_pem = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    ca_pem = ca.public_bytes(pem)
    others = (system_bundle or find_system_bundle()).read_bytes()
    files.write(directory / KEY, key_pem, mode=0o600)
    files.write(directory / CERTIFICATE, server.public_bytes(pem), mode=0o644)
    files.write(directory / BUNDLE, ca_pem + b"\n" + others, mode=0o644)
    files.write(directory / CA, ca_pem, mode=0o644)


def faults(directory: Path, *, now: datetime.datetime, days: int = 30) -> tuple[str, ...]:
    """What is wrong with a directory's certificates; nothing, if they can serve for `days` more days.

    Looks for missing and unreadable files, a key, CA or bundle that does not fit the certificate,
    other names than `NAMES`, dates, and a key that others may read.
    """
    missing = [name for name in FILES if not (directory / name).is_file()]
    if missing:
        return tuple(f"{name} is missing" for name in missing)
    try:
        return tuple(_misfits(directory, now, now + datetime.timedelta(days=days)))
    except (ValueError, OSError) as error:
        return (f"a file cannot be read: {error}",)


def expiry(directory: Path) -> datetime.datetime:
    """When the first of a directory's certificates ends; they are there and can be read."""
    from cryptography import x509  # noqa: PLC0415

    found = [x509.load_pem_x509_certificate((directory / name).read_bytes()) for name in (CA, CERTIFICATE)]
    return min(each.not_valid_after_utc for each in found)


def find_system_bundle(environ: Mapping[str, str] | None = None) -> Path:
    """The machine's own CAs: what REQUESTS_CA_BUNDLE or SSL_CERT_FILE name, else the usual places.

    Raises:
        StateError: There are none.
    """
    environ = os.environ if environ is None else environ
    named = [environ.get(name, "") for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")]
    for candidate in [*named, *_SYSTEM_BUNDLES]:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise errors.StateError(
        "This machine has no file of certificate authorities.",
        hint="Install the package ca-certificates, or name the file in SSL_CERT_FILE.",
    )


def _misfits(directory: Path, now: datetime.datetime, until: datetime.datetime) -> Iterator[str]:
    from cryptography import exceptions, x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    ca_pem = (directory / CA).read_bytes()
    ca = x509.load_pem_x509_certificate(ca_pem)
    server = x509.load_pem_x509_certificate((directory / CERTIFICATE).read_bytes())
    key = serialization.load_pem_private_key((directory / KEY).read_bytes(), password=None)
    if key.public_key() != server.public_key():
        yield f"{KEY} is not the key of {CERTIFICATE}"
    if (directory / KEY).stat().st_mode & 0o077:
        yield f"{KEY} can be read by others"
    try:
        server.verify_directly_issued_by(ca)
    except (exceptions.InvalidSignature, ValueError, TypeError):
        yield f"{CERTIFICATE} was not signed by {CA}"
    if not (directory / BUNDLE).read_bytes().startswith(ca_pem):
        yield f"{BUNDLE} does not begin with {CA}"
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if set(names.get_values_for_type(x509.DNSName)) != set(NAMES):
        yield f"{CERTIFICATE} is for other names"
    for name, certificate in ((CA, ca), (CERTIFICATE, server)):
        if not certificate.not_valid_before_utc <= now:
            yield f"{name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
        if certificate.not_valid_after_utc < until:
            yield f"{name} is not valid after {certificate.not_valid_after_utc:%Y-%m-%d}"


def _name(text: str) -> x509.Name:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509 import oid  # noqa: PLC0415

    longest = 64  # RFC 5280, ub-common-name.
    return x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, text[:longest])])


def _as_authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415

    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
        _usage(key_cert_sign=True), critical=True
    )


def _as_server(builder: x509.CertificateBuilder, ca: x509.Certificate) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509 import oid  # noqa: PLC0415

    names = [x509.DNSName(name) for name in NAMES]
    address = x509.IPAddress(ipaddress.ip_address(ADDRESS))
    ca_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([*names, address]), critical=False)
        .add_extension(issuer, critical=False)
    )


def _usage(*, key_cert_sign: bool = False, digital_signature: bool = False) -> x509.KeyUsage:
    from cryptography import x509  # noqa: PLC0415

    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
