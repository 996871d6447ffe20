"""`inv push` against a real registry, with ECR's login from moto: what arrives, what is refused, what is told."""

from __future__ import annotations

import hashlib
import json
import urllib.request

import pytest

from tests.registry import data_plane, small_images
from tests.registry.aws import NAMES, PROD, STAGE

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def manifest_of(host, prefix, name, tag, password=f"{STAGE}-auth-token"):
    """What the registry itself has, and the digest that it says."""
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, f"http://{host}", "AWS", password)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    request = urllib.request.Request(
        f"http://{host}/v2/{prefix}/{name}/manifests/{tag}", headers={"Accept": MANIFEST}
    )
    with opener.open(request, timeout=10) as answer:
        return answer.read(), answer.headers["Docker-Content-Digest"]


def test_what_is_missing_is_pushed_and_digests_agree(
    toolkit, proxy, registries, images, prefix, client
) -> None:
    result = toolkit.run("push", "--env=stage")
    assert (result.code, result.document["status"]) == (0, "pushed")
    record = json.loads((toolkit.pushed / "stage.json").read_text())
    assert record["registry"] == f"{proxy.host}/{prefix}"
    for name, image in images.items():
        content, digest = manifest_of(registries[0], prefix, name, image.tag)
        assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert json.loads(content)["config"]["digest"] == image.id
        assert result.images[name]["digest"] == digest
        assert record["images"][name] == {"tag": image.tag, "digest": digest}
    assert small_images.names_of(client, proxy.host) == []


def test_the_base_goes_first_and_its_layers_once(toolkit, proxy) -> None:
    result = toolkit.run("push", "--env=stage")
    sent = {name: result.images[name]["layers_sent"] for name in NAMES}
    assert sent == {"airflow-base": 2, "scheduler": 1, "worker": 1}
    blobs = sum(result.images[name]["bytes_sent"] for name in NAMES)
    configurations = proxy.bytes_written() - blobs
    assert 0 < configurations < 3_000, "a configuration has some hundred bytes"


def test_an_unchanged_push_asks_once_an_image_and_needs_no_engine(toolkit, proxy, aws) -> None:
    toolkit.run("push", "--env=stage")
    before, logins = len(proxy.requests), len(aws.issued)
    again = toolkit.run("push", "--env=stage", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert (again.code, set(again.steps.values())) == (0, {"unchanged"})
    assert len(proxy.requests) - before == len(NAMES)
    assert len(aws.issued) - logins == 1


def test_a_plan_names_what_is_missing_and_sends_nothing(toolkit, proxy) -> None:
    result = toolkit.run("push", "--env=stage", "--plan")
    assert (result.code, result.steps["push-scheduler"]) == (3, "pending")
    assert proxy.bytes_written() == 0
    assert proxy.count("PUT|POST|PATCH", ".") == 0
    assert not toolkit.pushed.exists()


def test_progress_names_layers(toolkit, proxy) -> None:
    proxy.pace = 0.3
    result = toolkit.run("push", "--env=stage")
    assert "push-airflow-base  started" in result.error
    assert "of 2 layers" in result.error
    assert result.code == 0


def test_a_tag_with_other_content_is_an_error_with_both_digests_and_nothing_is_pushed(
    toolkit, proxy, images, client, prefix
) -> None:
    toolkit.run("push", "--env=stage")
    before, digest = proxy.bytes_written(), json.loads((toolkit.pushed / "stage.json").read_text())
    other = small_images.load(client, "scheduler", [small_images.layer(500)], tag=images["scheduler"].tag)
    newer = small_images.load(client, "worker", [small_images.layer(500)], tag=f"2-{prefix}")
    toolkit.record({**images, "scheduler": other, "worker": newer})
    result = toolkit.run("push", "--env=stage")
    assert result.code == 4
    assert digest["images"]["scheduler"]["digest"] in result.faults
    assert images["scheduler"].id in result.faults
    assert other.id in result.faults
    assert proxy.bytes_written() == before
    client.api.remove_image(newer.reference)


def test_the_same_content_that_was_pushed_by_somebody_else_is_no_conflict(
    toolkit, client, proxy, aws
) -> None:
    toolkit.run("push", "--env=stage")
    (toolkit.pushed / "stage.json").unlink()
    result = toolkit.run("push", "--env=stage")
    assert result.steps == {
        "registry": "unchanged", **{f"push-{name}": "unchanged" for name in NAMES}, "record": "changed",
    }  # fmt: skip


def test_a_set_that_was_half_pushed_is_completed(toolkit, proxy) -> None:
    proxy.fail("PUT", "scheduler/manifests", status=400, times=99, body=b"{}")
    first = toolkit.run("push", "--env=stage")
    assert first.code == 1
    assert first.steps["push-airflow-base"] == "changed"
    assert first.steps["push-scheduler"] == "failed"
    assert not (toolkit.pushed / "stage.json").exists()
    proxy.faults.clear()
    second = toolkit.run("push", "--env=stage")
    assert (second.code, second.steps["push-airflow-base"]) == (0, "unchanged")
    assert second.images["scheduler"]["layers_sent"] == 0, "its layers had arrived"


def test_repositories_that_do_not_exist_are_all_named(toolkit, aws, proxy, prefix, images) -> None:
    import boto3

    client = boto3.Session(region_name="eu-central-1").client("ecr")
    for name in ("scheduler", "worker"):
        client.delete_repository(repositoryName=f"{prefix}/{name}")
    result = toolkit.run("push", "--env=stage")
    assert result.code == 4
    assert f"repositories {prefix}/scheduler, {prefix}/worker" in result.faults
    assert "inv apply" in result.faults
    assert proxy.bytes_written() == 0


def test_tags_that_can_be_overwritten_are_told(toolkit, aws, prefix, proxy) -> None:
    toolkit.declare("stage", STAGE, host=proxy.host, prefix=f"{prefix}-open")
    aws.make_repositories(f"{prefix}-open", mutability="MUTABLE")
    result = toolkit.run("push", "--env=stage")
    assert result.code == 0
    assert "could be overwritten" in " ".join(result.error.split())


def test_credentials_of_another_account_are_refused(toolkit, proxy, prefix) -> None:
    toolkit.declare("stage", PROD, host=proxy.host, prefix=prefix)
    result = toolkit.run("push", "--env=stage")
    assert result.code == 6
    assert STAGE in result.faults
    assert PROD in result.faults
    assert proxy.requests == []


def test_without_credentials_it_is_not_authenticated(toolkit, proxy) -> None:
    result = toolkit.run("push", "--env=stage", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert (result.code, proxy.requests) == (6, [])
    assert "no usable credentials" in result.faults


def test_an_aws_that_does_not_answer_is_told(toolkit, proxy) -> None:
    result = toolkit.run("push", "--env=stage", AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_MAX_ATTEMPTS="1")
    assert result.code == 4
    assert "does not answer" in result.faults


def test_without_an_engine_nothing_is_pushed(toolkit, proxy) -> None:
    result = toolkit.run("push", "--env=stage", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert (result.code, proxy.bytes_written()) == (4, 0)
    assert "Docker engine" in result.faults


def test_an_image_that_was_altered_or_removed_after_the_build_is_refused(
    toolkit, client, images, proxy
) -> None:
    client.api.remove_image(images["worker"].reference)
    name, _, tag = images["scheduler"].reference.rpartition(":")
    client.api.tag(images["airflow-base"].id, name, tag)
    result = toolkit.run("push", "--env=stage")
    assert (result.code, proxy.bytes_written()) == (4, 0)
    assert "no such image any more" in result.faults
    assert "was altered" in result.faults
    client.api.tag(images["airflow-base"].id, *images["worker"].reference.rsplit(":", 1))


def test_what_was_not_built_is_named(toolkit, proxy, images) -> None:
    toolkit.record({name: images[name] for name in NAMES[:2]})
    result = toolkit.run("push", "--env=stage")
    assert (result.code, proxy.requests) == (4, [])
    assert "images worker" in result.faults
    assert "inv build" in result.faults


def test_a_name_that_the_engine_had_for_something_else_is_left_as_it_was(
    toolkit, client, images, proxy, prefix
) -> None:
    client.api.tag(images["worker"].id, f"{proxy.host}/{prefix}/scheduler", images["scheduler"].tag)
    reference = f"{proxy.host}/{prefix}/scheduler:{images['scheduler'].tag}"
    assert toolkit.run("push", "--env=stage").code == 0
    assert client.api.inspect_image(reference)["Id"] == images["worker"].id
    client.api.remove_image(reference)


def test_the_token_is_nowhere(toolkit, aws, proxy) -> None:
    result = toolkit.run("push", "--env=stage")
    state = b"".join(path.read_bytes() for path in toolkit.directory.rglob("*") if path.is_file())
    for token in aws.issued:
        assert token not in result.error + json.dumps(result.document)
        assert token.encode() not in state


@pytest.fixture
def plain_registry(tmp_path):
    """A registry with nothing before it, which takes the token that moto gives."""
    directory = tmp_path / "plain"
    directory.mkdir()
    with data_plane.running(directory, f"{STAGE}-auth-token") as host:
        yield host


def test_motos_own_token_opens_a_registry_without_a_proxy(
    toolkit, plain_registry, prefix, aws, monkeypatch
) -> None:
    monkeypatch.setattr(aws, "plain", True)
    toolkit.declare("stage", STAGE, host=plain_registry, prefix=prefix)
    assert toolkit.run("push", "--env=stage").code == 0
