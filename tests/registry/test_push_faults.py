"""`inv push` when the registry or the network fails: what is tried again, what is told, what is sent twice."""

from __future__ import annotations

import signal
import time

import pytest

from tests.registry import small_images
from tests.registry.fault_proxy import MANIFEST, UPLOAD

EXPIRED = (
    b'{"errors":[{"code":"DENIED","message":"Your authorization token has expired. '
    b'Reauthenticate and try again."}]}'
)
DENIED = (
    b'{"errors":[{"code":"DENIED","message":"User: arn:aws:iam::123456789012:user/ci is not authorized to '
    b'perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-central-1:123456789012:repository/x"}]}'
)
IMMUTABLE = (
    b'{"errors":[{"code":"TAG_INVALID","message":"The image tag \'1\' already exists in the \'x\' repository '
    b'and cannot be overwritten because the repository is immutable."}]}'
)


def test_a_token_that_expires_mid_push_is_renewed(toolkit, proxy, aws) -> None:
    proxy.fail("PUT", UPLOAD, before=aws.expire)
    logins = len(aws.issued)
    result = toolkit.run("push", "--env=stage")
    assert result.code == 0, result.error
    assert len(aws.issued) - logins == 2
    assert proxy.count("PUT", "airflow-base/manifests") == 1


def test_ecrs_own_words_for_an_expired_token_are_understood(toolkit, proxy, aws) -> None:
    proxy.fail("POST", UPLOAD, status=403, body=EXPIRED)
    logins = len(aws.issued)
    assert toolkit.run("push", "--env=stage").code == 0
    assert len(aws.issued) - logins == 2


def test_a_token_that_has_expired_before_the_check_is_renewed_too(toolkit, proxy, aws) -> None:
    proxy.fail("GET", MANIFEST, before=aws.expire)
    logins = len(aws.issued)
    assert toolkit.run("push", "--env=stage").code == 0
    assert len(aws.issued) - logins == 2, "three questions were refused at once, and one login is enough"


def test_a_login_that_is_not_taken_even_when_new_is_exit_6(toolkit, proxy, aws) -> None:
    proxy.fail("POST", UPLOAD, status=401, times=99)
    logins = len(aws.issued)
    result = toolkit.run("push", "--env=stage")
    assert (result.code, proxy.count("PUT", MANIFEST)) == (6, 0)
    assert len(aws.issued) - logins == 2
    assert "does not take the login" in result.faults


def test_what_may_not_be_pushed_is_exit_6_with_repository_and_action(toolkit, proxy, prefix) -> None:
    proxy.fail("POST", UPLOAD, status=403, body=DENIED, times=99)
    result = toolkit.run("push", "--env=stage")
    assert (result.code, proxy.count("PUT", MANIFEST)) == (6, 0)
    assert f"{proxy.host}/{prefix}/airflow-base" in result.faults
    assert "Allow ecr:InitiateLayerUpload" in result.faults


def test_what_may_not_be_read_is_exit_6_with_the_action(toolkit, proxy, prefix) -> None:
    proxy.fail("GET", "scheduler/manifests", status=403, body=b"no")
    result = toolkit.run("push", "--env=stage")
    assert (result.code, proxy.bytes_written()) == (6, 0)
    assert f"{prefix}/scheduler" in result.faults
    assert "ecr:BatchGetImage" in result.faults


def test_once_an_image_has_arrived_a_refusal_is_a_failed_step(toolkit, proxy) -> None:
    proxy.fail("POST", f"scheduler{UPLOAD}", status=403, body=DENIED, times=99)
    result = toolkit.run("push", "--env=stage")
    assert (result.code, result.steps["push-airflow-base"]) == (1, "changed")


def test_too_many_requests_are_waited_for_as_the_registry_asks(toolkit, proxy) -> None:
    proxy.fail("GET", "scheduler/manifests", status=429, headers={"Retry-After": "1"}, times=2)
    result = toolkit.run("push", "--env=stage")
    assert result.code == 0
    assert proxy.count("GET", "scheduler/manifests") >= 4


def test_a_registry_that_asks_for_a_long_wait_is_an_error_at_once(toolkit, proxy) -> None:
    proxy.fail("GET", "scheduler/manifests", status=503, headers={"Retry-After": "600"})
    result = toolkit.run("push", "--env=stage")  # For which nobody waits 600 s.
    assert (result.code, "answered 503" in result.faults) == (4, True)


def test_faults_of_the_registry_while_pushing_are_tried_again(toolkit, proxy) -> None:
    proxy.fail("PUT", "scheduler/manifests", status=500)
    proxy.fail("PUT", "worker/manifests", status=429)
    result = toolkit.run("push", "--env=stage")
    assert result.code == 0, result.error
    assert result.images["scheduler"]["layers_sent"] == 0, "they had arrived with the first try"


def test_a_registry_that_stays_broken_is_an_error_that_says_so(toolkit, proxy) -> None:
    proxy.fail("PUT", "airflow-base/manifests", status=500, times=99)
    result = toolkit.run("push", "--env=stage")
    assert (result.code, result.steps["push-airflow-base"], result.steps["push-worker"]) == (
        1, "failed", "blocked",
    )  # fmt: skip
    assert "500" in result.faults
    assert proxy.count("PUT", MANIFEST) == 3


def test_a_connection_that_is_cut_mid_layer_is_taken_up_and_other_layers_are_not_sent_again(
    toolkit, proxy, images
) -> None:
    cut = proxy.fail("PATCH", UPLOAD, cut_request_after=100_000)
    result = toolkit.run("push", "--env=stage")
    assert (result.code, cut.met) == (0, 1)
    assert result.images["airflow-base"]["layers_sent"] == 2
    whole = sum(result.images[name]["bytes_sent"] for name in images)
    assert proxy.bytes_written() - whole < 100_000 + 65_536 + 5_000, "only the half of one layer came twice"


def test_a_tag_that_somebody_else_has_made_meanwhile_is_fine_when_it_is_the_same(toolkit, proxy) -> None:
    """The registry takes the manifest, and says that the tag exists: what a repeated request meets."""
    proxy.fail("PUT", "airflow-base/manifests", status=400, body=IMMUTABLE, passed_on=True)
    result = toolkit.run("push", "--env=stage")
    assert (result.code, result.steps["push-airflow-base"]) == (0, "changed"), result.error
    assert proxy.count("PUT", "airflow-base/manifests") == 1


def test_a_tag_that_is_refused_and_not_there_is_a_failed_step(toolkit, proxy) -> None:
    proxy.fail("PUT", "airflow-base/manifests", status=400, body=IMMUTABLE)
    result = toolkit.run("push", "--env=stage")
    assert result.code == 1
    assert "immutable" in result.faults
    assert toolkit.run("push", "--env=stage").code == 0


# More than the sockets of this machine hold by themselves: what those have, the engine takes for sent.
@pytest.mark.parametrize("sizes", [(24_000_000, 200_000)])
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name
)
def test_after_an_end_in_mid_push_layers_that_arrived_are_not_sent_again(
    toolkit, proxy, number, images, client, sizes
) -> None:
    proxy.pace = 0.1
    process = toolkit.start("push", "--env=stage")
    deadline = time.monotonic() + 30
    while proxy.count("PUT", UPLOAD) < 1:
        assert time.monotonic() < deadline, "the smaller layer never arrived"
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130}[number.name]
    assert proxy.count("PUT", UPLOAD) == 1, "it did not wait for the larger layer"
    proxy.wait_until_over()
    assert proxy.count("PUT", ".") == 1, "the engine has given up"
    proxy.pace = 0
    result = toolkit.run("push", "--env=stage")
    assert (result.code, result.steps["push-airflow-base"]) == (0, "changed")
    assert result.images["airflow-base"]["layers_sent"] == 1, "the larger one"
    left = small_images.names_of(client, proxy.host)
    if number is signal.SIGKILL:
        # Nobody can tell this name from one that a user gave to the same image, so it stays.
        client.api.remove_image(left.pop())
    assert left == []
