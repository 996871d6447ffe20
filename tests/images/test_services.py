"""The metadata database, the broker and the stand-in for Snowflake, each as an unprivileged container."""

from __future__ import annotations

import ssl
import time
import urllib.request
import uuid

import pytest

from tests.images import conftest

PASSWORD = 'pass "word" \\ $1'
SECRET = "/run/secret/password"


@pytest.fixture
def database(images, containers):
    def start(*arguments, **options):
        return containers.start(
            images.images["metadata-database"].id,
            *arguments,
            **{
                "files": {SECRET: PASSWORD},
                "environment": {
                    "POSTGRES_PASSWORD_FILE": SECRET,
                    "POSTGRES_USER": "owner",
                    "POSTGRES_DB": "Meta data",
                },
                **options,
            },
        )

    return start


def healthy(container, timeout=60):
    conftest.wait_until(lambda: conftest.is_healthy(container), "it is healthy", timeout)


def psql(container, password, query="SELECT 1", *, host="127.0.0.1", user="owner", database="Meta data"):
    command = ["psql", "-h", host, "-U", user, "-d", database, "-Atc", query]
    code, output = container.exec_run(command, environment={"PGPASSWORD": password})
    return code, output.decode().strip()


def test_the_database_is_made_once_with_its_owner(database, client):
    volume = client.volumes.create(labels=conftest.LABELS)
    mount = {volume.name: {"bind": "/var/lib/postgresql/data", "mode": "rw"}}
    first = database(volumes=mount)
    healthy(first)
    assert psql(first, PASSWORD, "CREATE TABLE t AS SELECT 1 AS n; SELECT n FROM t")[1].endswith("1")
    assert psql(first, PASSWORD, "SHOW password_encryption") == (0, "scram-sha-256")
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'Meta data'"
    assert psql(first, PASSWORD, owner) == (0, "owner")
    first.stop(timeout=30)
    assert first.wait()["StatusCode"] == 0
    assert "database system is shut down" in first.logs().decode()
    second = database(volumes=mount, files=None, environment={})
    healthy(second)
    assert psql(second, PASSWORD, "SELECT n FROM t") == (0, "1")
    second.remove(force=True, v=True)
    first.remove(force=True, v=True)
    volume.remove()


def test_the_database_asks_for_the_password(database):
    container = database()
    healthy(container)
    code, said = psql(container, "wrong")
    assert code != 0
    assert "password authentication failed" in said
    assert PASSWORD not in str(container.attrs)


def test_the_database_takes_settings_of_the_server(database):
    container = database("postgres", "-c", "max_connections=17")
    healthy(container)
    assert psql(container, PASSWORD, "SHOW max_connections") == (0, "17")


def test_a_database_without_a_password_does_not_start(database):
    code, said = conftest.ran(database(files=None, environment={}))
    assert code != 0
    assert "POSTGRES_PASSWORD_FILE" in said


@pytest.mark.parametrize("after", [0.3, 0.6, 1.0, 1.5])
def test_a_database_that_is_killed_while_it_is_made_is_made_by_the_next_start(database, after):
    container = database()
    time.sleep(after)
    container.kill()
    container.start()
    healthy(container)
    assert psql(container, PASSWORD)[0] == 0
    assert conftest.executed(container, "ls", "/var/lib/postgresql/data") == (0, "pgdata\n")


def test_the_database_works_as_testcontainers_has_it(images, monkeypatch):
    from testcontainers.community.postgres import PostgresContainer

    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    monkeypatch.setenv("TC_HOST", "127.0.0.1")
    made = PostgresContainer(
        images.images["metadata-database"].reference, username="u", password="p", dbname="d"
    )
    made.ports = {"5432/tcp": ("127.0.0.1", None)}
    network = made.get_docker_client().client.networks.create(
        f"test-{uuid.uuid4().hex[:8]}", labels=conftest.LABELS
    )
    made.with_kwargs(network=network.name, labels=conftest.LABELS)
    try:
        with made as container:
            code, said = container.exec(["psql", "-U", "u", "-d", "d", "-Atc", "SELECT 1"])
            assert (code, said.decode().strip()) == (0, "1")
    finally:
        network.remove()


@pytest.fixture
def broker(images, containers):
    def start(**options):
        return containers.start(
            images.images["broker"].id,
            **{"files": {SECRET: PASSWORD}, "environment": {"REDIS_PASSWORD_FILE": SECRET}, **options},
        )

    return start


def redis(container, *words, password=PASSWORD):
    code, output = container.exec_run(
        ["redis-cli", "--no-auth-warning", *words], environment={"REDISCLI_AUTH": password}
    )
    return code, output.decode().strip()


def test_the_broker_asks_for_the_password_and_keeps_nothing(broker):
    container = broker()
    healthy(container)
    assert redis(container, "SET", "a", "1") == (0, "OK")
    assert "NOAUTH" in redis(container, "GET", "a", password="wrong")[1]
    assert redis(container, "CONFIG", "GET", "save")[1] == "save"
    assert redis(container, "CONFIG", "GET", "appendonly")[1].endswith("no")
    assert "word" not in str(container.top())
    container.restart(timeout=10)
    healthy(container)
    assert redis(container, "GET", "a") == (0, "")


def test_a_broker_without_a_password_does_not_start(broker):
    code, said = conftest.ran(broker(files=None, environment={}))
    assert code != 0
    assert "REDIS_PASSWORD_FILE" in said


def test_the_stand_in_for_snowflake_serves_over_tls(images, containers):
    key, certificate = tls()
    container = containers.start(
        images.images["fakesnow"].id,
        "--database=ANALYTICS",
        "--schema=PUBLIC",
        files={
            "/run/fakesnow/password": "word",
            "/run/fakesnow/server.pem": certificate,
            "/run/fakesnow/server.key": key,
        },
    )
    healthy(container, 90)
    container.reload()
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    context = ssl.create_default_context(cadata=certificate)
    context.check_hostname = False
    with urllib.request.urlopen(
        f"https://{network['IPAddress']}:8443/health", context=context, timeout=10
    ) as answer:
        assert answer.status == 200
    container.stop(timeout=20)
    assert container.wait()["StatusCode"] in (0, 143)


def tls():
    """A key and a certificate for nobody in particular."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fakesnow")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode(), made.public_bytes(serialization.Encoding.PEM).decode()
