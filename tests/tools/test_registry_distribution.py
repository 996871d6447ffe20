"""Manifests and blobs: what is believed of a registry, and how blobs get from one to another."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest

from airflow_platform import errors, secrets
from airflow_platform.tools.registry import answers, copying, distribution
from airflow_platform.tools.registry.session import Credentials, Session
from tests.tools import scripted_server

DOCKER, OCI = distribution.MANIFESTS


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def described(content):
    return {"digest": digest_of(content), "size": len(content)}


def manifest_of(config=b"{}", layers=(b"one", b"two")):
    document = {"config": described(config), "layers": [described(each) for each in layers]}
    return json.dumps(document).encode()


def blob_of(content):
    return distribution.Blob(digest_of(content), len(content))


class Login:
    def credentials(self):
        return Credentials("AWS", secrets.Secret("password"))


@pytest.fixture
def server():
    with scripted_server.running() as made:
        yield made


@pytest.fixture
def other():
    """A second registry."""
    with scripted_server.running() as made:
        yield made


def opened(server):
    return contextlib.closing(Session(server.host, Login(), sleep=lambda seconds: None))


@pytest.fixture
def session(server):
    with opened(server) as made:
        yield made


@pytest.fixture
def target(other):
    with opened(other) as made:
        yield made


CONTENT = manifest_of()
TAGGED = "/v2/p/base/manifests/1"


def test_a_manifest_is_known_by_the_digest_of_its_bytes(server, session):
    headers = {"Content-Type": OCI, "Docker-Content-Digest": digest_of(CONTENT)}
    server.will("GET", TAGGED, body=CONTENT, headers=headers)
    found = distribution.manifest(session, "p/base", "1")
    assert (found.content, found.digest, found.media_type) == (CONTENT, digest_of(CONTENT), OCI)
    assert found.config == blob_of(b"{}")
    assert found.layers == (blob_of(b"one"), blob_of(b"two"))
    accepted = server.asked[0].headers["Accept"]
    assert all(each in accepted for each in (*distribution.MANIFESTS, *distribution.LISTS))


def test_layers_that_are_the_same_are_one_blob():
    found = distribution.Manifest(manifest_of(layers=(b"empty", b"one", b"empty")), DOCKER)
    assert found.blobs == (blob_of(b"empty"), blob_of(b"one"), blob_of(b"{}"))


def test_an_image_is_known_by_its_configuration_or_where_containerd_keeps_it_by_its_manifest():
    found = distribution.Manifest(CONTENT, DOCKER)
    assert found.is_of(digest_of(b"{}"))
    assert found.is_of(digest_of(CONTENT))
    assert not found.is_of(digest_of(b"one"))


def test_what_is_not_there_is_none(server, session):
    server.will("GET", TAGGED, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
    assert distribution.manifest(session, "p/base", "1") is None


@pytest.mark.parametrize(
    ("reference", "said"),
    [("1", digest_of(b"else")), (digest_of(b"else"), digest_of(CONTENT)), (digest_of(b"else"), None)],
)
def test_content_that_is_not_what_its_digest_says_is_refused(server, session, reference, said):
    headers = {"Content-Type": DOCKER} | ({"Docker-Content-Digest": said} if said else {})
    server.will("GET", f"/v2/p/base/manifests/{reference}", body=CONTENT, headers=headers)
    with pytest.raises(answers.RegistryError, match=r"digest is .*, not "):
        distribution.manifest(session, "p/base", reference)


@pytest.mark.parametrize("media_type", [*distribution.LISTS, "text/html", ""])
def test_what_is_no_image_is_refused(server, session, media_type):
    server.will("GET", TAGGED, body=CONTENT, headers={"Content-Type": media_type})
    with pytest.raises(answers.RegistryError, match="is no image but"):
        distribution.manifest(session, "p/base", "1")


def test_a_manifest_is_written_byte_by_byte(server, session):
    server.will("PUT", TAGGED, 201, headers={"Docker-Content-Digest": digest_of(CONTENT)})
    distribution.put_manifest(session, "p/base", "1", distribution.Manifest(CONTENT, OCI))
    (asked,) = server.asked
    assert (asked.body, asked.headers["Content-Type"]) == (CONTENT, OCI)


def test_a_registry_that_writes_something_else_is_an_error(server, session):
    server.will("PUT", TAGGED, 201, headers={"Docker-Content-Digest": "sha256:0"})
    with pytest.raises(answers.RegistryError, match="wrote sha256:0 instead of"):
        distribution.put_manifest(session, "p/base", "1", distribution.Manifest(CONTENT, OCI))


BLOB = b"0123456789" * 300_000
PLACE = f"/v2/p/base/blobs/{digest_of(BLOB)}"


def read(session, blob):
    return b"".join(distribution.read_blob(session, "p/base", blob))


def test_a_blob_is_read_from_where_the_registry_sends_us(server, other, session):
    server.will("GET", PLACE, 307, headers={"Location": f"http://{other.host}/bucket"})
    other.will("GET", "/bucket", body=BLOB)
    assert read(session, blob_of(BLOB)) == BLOB
    assert session.traffic("p/base").bytes_read == len(BLOB)
    assert "Authorization" not in other.asked[0].headers


def test_a_registry_that_sends_us_round_and_round_is_an_error(server, session):
    for _ in range(4):
        server.will("GET", PLACE, 307, headers={"Location": PLACE})
    with pytest.raises(answers.RegistryError, match="answered 307"):
        read(session, blob_of(BLOB))


def test_a_read_that_is_cut_goes_on_from_the_last_piece(server, session):
    server.will("GET", PLACE, body=BLOB, cut_after=2_500_000)
    server.will("GET", PLACE, 206, body=BLOB[2 * 1024**2 :])
    assert read(session, blob_of(BLOB)) == BLOB
    assert server.asked[1].headers["Range"] == f"bytes={2 * 1024**2}-"


def test_a_read_that_never_gets_on_is_an_error(server, session):
    for _ in range(3):
        server.will("GET", PLACE, body=BLOB, cut_after=1_000)
    with pytest.raises(answers.NotReachable):
        read(session, blob_of(BLOB))


@pytest.mark.parametrize("content", [BLOB[:-1] + b"x", BLOB + b"more"])
def test_a_blob_that_was_altered_is_refused(server, session, content):
    server.will("GET", PLACE, body=content)
    with pytest.raises(answers.RegistryError, match="is something else"):
        read(session, blob_of(BLOB))


UPLOADS = "/v2/q/base/blobs/uploads/"


def mount(digest, repository):
    return f"{UPLOADS}?mount={digest.replace(':', '%3A')}&from={repository.replace('/', '%2F')}"


def copy(session, target, *layers, mounts=()):
    content = distribution.Manifest(manifest_of(config=layers[0], layers=layers[1:]), DOCKER)
    news = []
    count = copying.copy_missing(
        (session, "p/base"), (target, "q/base"), content, mounts=mounts, progress=news.append
    )
    return count, news


def test_blobs_that_are_there_do_not_move(other, session, target):
    for content in (b"two", b"one"):
        other.will("HEAD", f"/v2/q/base/blobs/{digest_of(content)}")
    assert copy(session, target, b"one", b"two") == (0, [])
    assert target.traffic("q/base").bytes_written == 0


def test_a_blob_of_a_neighbour_is_taken_over_without_a_byte(other, session, target):
    other.will("HEAD", f"/v2/q/base/blobs/{digest_of(b'two')}", 404)
    other.will("HEAD", f"/v2/q/base/blobs/{digest_of(b'one')}")
    other.will("POST", mount(digest_of(b"two"), "q/other"), 202, headers={"Location": f"{UPLOADS}unused"})
    other.will("POST", mount(digest_of(b"two"), "q/base0"), 201)
    assert copy(session, target, b"one", b"two", mounts=("q/other", "q/base0"))[0] == 1
    assert target.traffic("q/base").bytes_written == 0


def test_a_blob_that_nobody_has_there_is_read_and_written(server, other, session, target):
    other.will("HEAD", f"/v2/q/base/blobs/{digest_of(BLOB)}", 404)
    other.will("HEAD", f"/v2/q/base/blobs/{digest_of(b'one')}")
    other.will("POST", mount(digest_of(BLOB), "q/other"), 202, headers={"Location": f"{UPLOADS}7?state=s"})
    server.will("GET", PLACE, body=BLOB)
    other.will("PUT", f"{UPLOADS}7?state=s&digest={digest_of(BLOB).replace(':', '%3A')}", 201)
    count, news = copy(session, target, b"one", BLOB, mounts=("q/other",))
    assert (count, news) == (1, ["layer 1 of 1: 3.0 MB"])
    assert other.asked[-1].body == BLOB
    assert target.traffic("q/base").bytes_written == len(BLOB)


def will_upload(server, other, content, status, *, number=1):
    server.will("GET", f"/v2/p/base/blobs/{digest_of(content)}", body=content)
    other.will("POST", UPLOADS, 202, headers={"Location": f"{UPLOADS}{number}"})
    other.will("PUT", f"{UPLOADS}{number}?digest={digest_of(content).replace(':', '%3A')}", status)


@pytest.mark.parametrize("status", [500, 404, 416])
def test_an_upload_that_failed_or_ended_is_begun_anew(server, other, session, target, status):
    other.will("HEAD", f"/v2/q/base/blobs/{digest_of(b'two')}", 404)
    other.will("HEAD", f"/v2/q/base/blobs/{digest_of(b'one')}")
    will_upload(server, other, b"two", 500 if status == 500 else status)
    if status == 500:
        # A fault over there is answered by the session itself, which reads the layer again for it.
        server.will("GET", f"/v2/p/base/blobs/{digest_of(b'two')}", body=b"two")
        other.will("PUT", f"{UPLOADS}1?digest={digest_of(b'two').replace(':', '%3A')}", 201)
    else:
        will_upload(server, other, b"two", 201, number=2)
    assert copy(session, target, b"one", b"two")[0] == 1


def test_an_upload_that_the_registry_finds_wrong_is_an_error(server, other, session, target):
    other.will("HEAD", f"/v2/q/base/blobs/{digest_of(b'two')}", 404)
    other.will("HEAD", f"/v2/q/base/blobs/{digest_of(b'one')}")
    will_upload(server, other, b"two", 400)
    with pytest.raises(answers.RegistryError, match="answered 400"):
        copy(session, target, b"one", b"two")


def test_an_end_of_the_run_ends_a_read(server, other):
    stopped = []

    def sleep(seconds):
        if stopped:
            raise errors.Interrupted(2, "SIGINT")

    server.will("GET", PLACE, body=BLOB)
    with contextlib.closing(Session(server.host, Login(), sleep=sleep)) as session:
        pieces = distribution.read_blob(session, "p/base", blob_of(BLOB))
        next(pieces)
        stopped.append(True)
        with pytest.raises(errors.Interrupted):
            next(pieces)
