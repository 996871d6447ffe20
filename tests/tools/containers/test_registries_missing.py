"""Whether a registry did not answer, or said no: words that an engine uses, in whatever names are around them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_platform.programs import programs
from airflow_platform.tools.containers import engine, images

NO = [
    ("registry.corp/geofence:1", "manifest for registry.corp/geofence:1 not found: manifest unknown"),
    ("registry.corp/eof:1", "manifest for registry.corp/eof:1 not found: manifest unknown"),
    ("eof", "pull access denied for eof, repository does not exist or may require 'docker login'"),
    ("registry.corp/x509:1@sha256:aa", "repository registry.corp/x509 not found: name unknown"),
    ("registry.corp:5000/connection/refused:1", "manifest unknown"),
]
NOBODY = [
    ("registry.corp/base:1", 'Get "https://registry.corp/v2/": EOF'),
    ("registry.corp/base:1", 'Get "https://registry.corp/v2/": unexpected EOF'),
    ("registry.corp/base:1", 'Get "https://registry.corp/v2/": dial tcp: lookup registry.corp: no such host'),
    (
        "registry.corp/base:1",
        'Get "https://registry.corp/v2/": x509: certificate signed by unknown authority',
    ),
    ("base", 'Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout'),
]


def pull(reference, said):
    def events(name, **named):
        return iter([{"status": f"Pulling from {name}", "id": "1"}, {"errorDetail": {"message": said}}])

    client = SimpleNamespace(api=SimpleNamespace(pull=events), close=lambda: None)
    images.Images(client, programs.Interruption()).pull(reference, platform="amd64", progress=print)


@pytest.mark.parametrize(("reference", "said"), NO)
def test_a_registry_that_says_no_answers(reference, said):
    with pytest.raises(engine.EngineError, match=r"not found|denied|unknown"):
        pull(reference, said)


@pytest.mark.parametrize(("reference", "said"), NOBODY)
def test_nobody_answers(reference, said):
    with pytest.raises(images.RegistryMissing, match="No registry answers"):
        pull(reference, said)
