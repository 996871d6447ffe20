"""`inv promote` between real registries of two accounts, and within one."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.registry import small_images
from tests.registry.aws import NAMES, PROD, STAGE
from tests.registry.fault_proxy import MANIFEST, UPLOAD

PROMOTE = ("promote", "--from=stage", "--to=prod")


@pytest.fixture
def accounts(toolkit, proxies, aws, prefix):
    """prod in another account, with a profile for it; stage has the images."""
    profile = aws.profile_of(PROD)
    toolkit.declare("prod", PROD, host=proxies[1].host, prefix=prefix, profile=profile)
    aws.make_repositories(prefix, profile_name=profile)
    assert toolkit.run("push", "--env=stage").code == 0
    return proxies


@pytest.fixture
def shared(toolkit, proxy, aws, prefix):
    """prod has repositories of its own in the registry of stage; stage has the images."""
    toolkit.declare("prod", STAGE, host=proxy.host, prefix=f"{prefix}-prod")
    aws.make_repositories(f"{prefix}-prod")
    assert toolkit.run("push", "--env=stage").code == 0
    return proxy


def digests(toolkit, environment):
    record = json.loads((toolkit.pushed / f"{environment}.json").read_text())
    return {name: image["digest"] for name, image in record["images"].items()}


def test_another_account_gets_every_byte_once_and_the_same_digests(toolkit, accounts, images) -> None:
    stage, prod = accounts
    result = toolkit.run(*PROMOTE)
    assert (result.code, result.document["status"]) == (0, "promoted")
    assert digests(toolkit, "prod") == digests(toolkit, "stage")
    moved = sum(result.images[name]["bytes_moved"] for name in NAMES)
    stage.wait_until_over()
    assert moved == prod.bytes_written()
    assert moved == sum(each.received for each in stage.requests if "/blobs/sha256" in each.path)
    # The base's two layers are mounted, not sent again.
    assert prod.count("POST", "mount=.*from=.*airflow-base") >= 4
    assert result.images["scheduler"]["bytes_moved"] < 5_000


def test_promoting_again_asks_once_an_image(toolkit, accounts) -> None:
    toolkit.run(*PROMOTE)
    before = [len(each.requests) for each in accounts]
    again = toolkit.run(*PROMOTE)
    assert (again.code, set(again.steps.values())) == (0, {"unchanged"})
    assert [len(each.requests) - count for each, count in zip(accounts, before, strict=True)] == [
        0,
        len(NAMES),
    ]


def test_where_all_layers_are_there_no_byte_moves_and_three_requests_are_enough(
    toolkit, accounts, aws, prefix, proxies
) -> None:
    """As after a replication: the layers have come, the tag has not."""
    stage, prod = accounts
    toolkit.run(*PROMOTE)
    toolkit.retag("stage")
    before, written = len(stage.requests) + len(prod.requests), prod.bytes_written()
    result = toolkit.run(*PROMOTE)
    assert (result.code, result.steps["promote-worker"]) == (0, "changed")
    assert len(stage.requests) + len(prod.requests) - before == 3 * len(NAMES)
    assert prod.bytes_written() == written
    assert {(each["requests"], each["bytes_moved"]) for each in result.images.values()} == {(3, 0)}


def test_within_one_registry_layers_are_mounted(toolkit, shared) -> None:
    before = shared.bytes_written()
    result = toolkit.run(*PROMOTE)
    assert (result.code, shared.bytes_written() - before) == (0, 0)
    assert digests(toolkit, "prod") == digests(toolkit, "stage")


def test_environments_that_share_repositories_have_nothing_to_copy(toolkit, proxy, prefix) -> None:
    toolkit.declare("prod", STAGE, host=proxy.host, prefix=prefix)
    toolkit.run("push", "--env=stage")
    result = toolkit.run(*PROMOTE)
    reasons = {each["name"]: each["reason"] for each in result.document["steps"]}
    assert result.code == 0
    assert f"stage and prod share {proxy.host}/{prefix}" in reasons["registries"]
    assert result.steps["promote-scheduler"] == "unchanged"


def test_a_plan_shows_what_would_be_copied_and_copies_nothing(toolkit, accounts) -> None:
    result = toolkit.run(*PROMOTE, "--plan")
    assert (result.code, accounts[1].count("PUT|POST|PATCH", ".")) == (3, 0)
    for name, digest in digests(toolkit, "stage").items():
        assert f"{name}@{digest}" in result.error


def test_a_tag_that_means_something_else_is_an_error_and_nothing_is_promoted(
    toolkit, shared, images, client, prefix
) -> None:
    other = small_images.load(client, "worker", [small_images.layer(500)], tag=images["worker"].tag)
    toolkit.record({**images, "worker": other})
    toolkit.declare("other", STAGE, host=shared.host, prefix=f"{prefix}-prod")
    toolkit.run("push", "--env=other")
    there = digests(toolkit, "other")["worker"]
    toolkit.record(images)
    before = shared.count("PUT", MANIFEST)
    result = toolkit.run(*PROMOTE)
    assert (result.code, shared.count("PUT", MANIFEST) - before) == (4, 0)
    assert there in result.faults
    assert digests(toolkit, "stage")["worker"] in result.faults


def test_images_by_tag_are_promoted_without_a_record(toolkit, accounts, images) -> None:
    expected = digests(toolkit, "stage")
    (toolkit.pushed / "stage.json").unlink()
    toolkit.built.unlink()
    nothing = toolkit.run(*PROMOTE)
    assert nothing.code == 2
    assert "stage.json" in nothing.error
    words = [f"--image={name}:{image.tag}" for name, image in images.items()]
    assert toolkit.run(*PROMOTE, *words).code == 0
    assert digests(toolkit, "prod") == expected


def test_what_the_source_does_not_have_is_named(toolkit, accounts) -> None:
    result = toolkit.run(*PROMOTE, "--image=worker:nonsense")
    assert (result.code, accounts[1].count("PUT", ".")) == (4, 0)
    assert "worker:nonsense" in result.faults
    assert "inv push --env=stage" in result.faults


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--from=stage", "--to=stage"), "both say"),
        (("--from=stage", "--to=prodd"), "Did you mean prod"),
        (("--from=stage", "--to=prod", "--image=broker"), "--image=broker is none"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(toolkit, accounts, words, says) -> None:
    result = toolkit.run("promote", *words)
    assert result.code == 2
    assert says in " ".join(result.error.split())


def test_the_target_is_not_written_with_credentials_of_another_account(
    toolkit, accounts, proxies, prefix
) -> None:
    toolkit.declare("prod", PROD, host=proxies[1].host, prefix=prefix)
    result = toolkit.run(*PROMOTE)
    assert (result.code, accounts[1].requests) == (6, [])
    assert f"account {STAGE}" in result.faults


def test_the_source_may_be_read_with_the_targets_credentials(toolkit, accounts, aws) -> None:
    """ECR lets another account read where the repository's policy says so."""
    result = toolkit.run(
        *PROMOTE, AWS_PROFILE=f"account-{PROD}", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""
    )
    assert result.code == 0
    assert aws.issued[-1].startswith(PROD)
    assert aws.issued[-2].startswith(PROD)


@pytest.mark.parametrize("sizes", [(6_000_000, 200_000)])
def test_a_read_that_is_cut_mid_layer_goes_on_from_there(toolkit, accounts, sizes) -> None:
    stage, prod = accounts
    stage.fail("GET", "/blobs/sha256", cut_answer_after=4_000_000)
    result = toolkit.run(*PROMOTE)
    assert result.code == 0
    cut, rest = [each for each in stage.requests if each.method == "GET" and each.received > 1_000_000]
    assert cut.path == rest.path
    assert rest.received < 3_100_000, "what came since the last whole piece of 1 MiB comes again"
    assert prod.bytes_written() < 6_300_000, "and nothing is written twice"


def test_a_write_that_is_cut_mid_layer_is_begun_again(toolkit, accounts) -> None:
    prod = accounts[1]
    prod.fail("PUT", UPLOAD, cut_request_after=100_000)
    result = toolkit.run(*PROMOTE)
    assert result.code == 0
    assert digests(toolkit, "prod") == digests(toolkit, "stage")
    assert result.images["airflow-base"]["bytes_moved"] >= prod.bytes_written()


def test_a_token_that_expires_mid_copy_is_renewed(toolkit, accounts, aws) -> None:
    accounts[1].fail("PUT", UPLOAD, before=aws.expire)
    logins = len(aws.issued)
    result = toolkit.run(*PROMOTE)
    assert result.code == 0
    assert len(aws.issued) - logins in (3, 4), "either registry once, and again where it was still asked"


def test_what_may_not_be_written_is_exit_6_with_the_action(toolkit, accounts, prefix) -> None:
    accounts[1].fail("PUT", MANIFEST, status=403, body=b"no", times=99)
    result = toolkit.run(*PROMOTE)
    assert result.code == 6
    assert f"{prefix}/airflow-base" in result.faults
    assert "ecr:PutImage" in result.faults


def test_a_registry_that_fails_for_a_moment_is_asked_again(toolkit, accounts) -> None:
    accounts[1].fail("PUT", "airflow-base/manifests", status=503, headers={"Retry-After": "1"})
    accounts[1].fail("POST", UPLOAD, status=500)
    accounts[0].fail("GET", MANIFEST, status=429, headers={"Retry-After": "1"})
    assert toolkit.run(*PROMOTE).code == 0


def test_a_layer_that_is_not_what_its_digest_says_is_refused(toolkit, accounts) -> None:
    accounts[0].alter = True
    result = toolkit.run(*PROMOTE)
    assert result.code == 1
    assert accounts[1].count("PUT", MANIFEST) == 1, "the first try, which told that layers are missing"


@pytest.mark.parametrize("sizes", [(6_000_000, 200_000)])
def test_after_a_kill_layers_that_arrived_are_not_sent_again(toolkit, accounts, sizes) -> None:
    prod = accounts[1]
    prod.pace = 0.05
    process = toolkit.start(*PROMOTE)
    deadline = time.monotonic() + 30
    while not any(each.status == 201 and each.sent > 5_000_000 for each in prod.requests):
        assert time.monotonic() < deadline, "the first layer never arrived"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    prod.pace = 0
    prod.wait_until_over()
    before = prod.bytes_written()
    result = toolkit.run(*PROMOTE)
    assert result.code == 0
    assert prod.bytes_written() - before < 300_000
