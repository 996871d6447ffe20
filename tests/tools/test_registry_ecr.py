"""ECR's login and repositories, with boto3's client answering what each test says."""

from __future__ import annotations

import base64
import threading

import botocore.session
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)

from airflow_platform import errors
from airflow_platform.tools.registry import answers
from airflow_platform.tools.registry.ecr import Ecr, Repository
from airflow_platform.tools.registry.registry import Address, Registry

ACCOUNT, OTHER = "111111111111", "222222222222"


class Client:
    """Answers of ECR; what it was not told about is an AssertionError."""

    exceptions = botocore.session.Session().create_client("ecr", region_name="eu-central-1").exceptions

    def __init__(self) -> None:
        self.account = ACCOUNT
        self.logins = 0
        self.known = {"p/base": {"imageTagMutability": "IMMUTABLE"}}
        self.asked: list[list[str]] = []
        self.raised: Exception | None = None

    def get_authorization_token(self):
        if self.raised:
            raise self.raised
        self.logins += 1
        return {
            "authorizationData": [
                {
                    "authorizationToken": base64.b64encode(f"AWS:token-{self.logins}".encode()).decode(),
                    "proxyEndpoint": f"https://{self.account}.dkr.ecr.eu-central-1.amazonaws.com",
                }
            ]
        }

    def describe_repositories(self, *, registryId, repositoryNames):  # noqa: N803
        assert registryId == ACCOUNT
        self.asked.append(repositoryNames)
        if self.raised:
            raise self.raised
        if any(name not in self.known for name in repositoryNames):
            error = {"Error": {"Code": "RepositoryNotFoundException", "Message": "one"}}
            raise self.exceptions.RepositoryNotFoundException(error, "DescribeRepositories")
        found = [{"repositoryName": name, **self.known[name]} for name in repositoryNames]
        return {"repositories": found}


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def masked():
    return []


def connected(client, masked, *, accepted=()):
    ecr = Ecr(ACCOUNT, "eu-central-1", accepted=accepted, on_secret=masked.append)
    ecr._made = client
    return ecr


@pytest.fixture
def ecr(client, masked):
    return connected(client, masked)


def test_a_token_is_fetched_once_and_masked(ecr, client, masked):
    first = ecr.credentials()
    assert (first.user, first.password.reveal()) == ("AWS", "token-1")
    assert ecr.credentials() is first
    assert (client.logins, masked) == (1, [first.password])


def test_several_that_are_refused_at_once_are_renewed_once(ecr, client):
    refused = ecr.credentials()
    threads = [threading.Thread(target=ecr.renew, args=(refused,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.logins == 2
    assert ecr.renew(refused).password.reveal() == "token-2"


def test_credentials_of_another_account_are_refused(ecr, client):
    client.account = OTHER
    with pytest.raises(errors.RefusedError, match=f"those of account {OTHER}; the registry is in {ACCOUNT}"):
        ecr.credentials()


def test_credentials_of_an_account_that_is_accepted_are_not(client, masked):
    client.account = OTHER
    assert connected(client, masked, accepted=(OTHER,)).credentials().password.reveal() == "token-1"


def client_error(code, message="Something."):
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetAuthorizationToken")


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (NoCredentialsError(), errors.RefusedError, "no usable credentials"),
        (ProfileNotFound(profile="x"), errors.RefusedError, "no usable credentials"),
        (client_error("ExpiredTokenException"), errors.RefusedError, "AWS: Something"),
        (client_error("UnrecognizedClientException", ""), errors.RefusedError, "AWS: UnrecognizedClient"),
        (client_error("AccessDeniedException", "no ecr:GetAuthorizationToken"), errors.RefusedError, "may not do ecr:Get"),
        (client_error("ThrottlingException"), answers.RegistryError, "ThrottlingException"),
        (EndpointConnectionError(endpoint_url="http://x"), answers.NotReachable, "does not answer"),
        (ReadTimeoutError(endpoint_url="http://x"), answers.NotReachable, "does not answer"),
    ],
)  # fmt: skip
def test_errors_of_aws_are_ours(ecr, client, raised, kind, says):
    client.raised = raised
    with pytest.raises(errors.PlatformError, match=says) as caught:
        ecr.credentials()
    assert type(caught.value) is kind
    assert caught.value.hint


def test_repositories_are_asked_for_together(ecr, client):
    client.known["p/worker"] = {"imageTagMutability": "MUTABLE"}
    found = ecr.repositories(["p/base", "p/worker"])
    assert found == {
        "p/base": Repository("p/base", "IMMUTABLE"), "p/worker": Repository("p/worker", "MUTABLE"),
    }  # fmt: skip
    assert client.asked == [["p/base", "p/worker"]]


def test_where_one_is_missing_all_that_are_there_are_found(ecr):
    assert set(ecr.repositories(["p/none", "p/base", "p/nothing"])) == {"p/base"}


def test_what_may_not_be_described_is_refused(ecr, client):
    client.raised = client_error(
        "AccessDeniedException", "not authorized to perform: ecr:DescribeRepositories"
    )
    with pytest.raises(errors.RefusedError, match=f"ECR in {ACCOUNT}: .*ecr:DescribeRepositories"):
        ecr.repositories(["p/base"])


@pytest.mark.parametrize(
    ("mutability", "filters", "tag", "immutable"),
    [
        ("IMMUTABLE", (), "1", True),
        ("MUTABLE", (), "1", False),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "dev-*"), "3.3.2-5f", True),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "3.*"), "3.3.2-5f", False),
        ("MUTABLE_WITH_EXCLUSION", ("3.*",), "3.3.2-5f", True),
        ("MUTABLE_WITH_EXCLUSION", ("4.*",), "3.3.2-5f", False),
    ],
)
def test_whether_a_tag_can_be_moved(ecr, client, mutability, filters, tag, immutable):
    client.known["p/base"] = {
        "imageTagMutability": mutability,
        "imageTagMutabilityExclusionFilters": [
            {"filterType": "WILDCARD", "filter": each} for each in filters
        ],
    }
    assert ecr.repositories(["p/base"])["p/base"].is_immutable(tag) is immutable


def test_a_registry_names_the_images_that_have_no_repository(client, masked):
    address = Address(ACCOUNT, "eu-central-1", "registry.example.com", "p")
    registry = Registry(address, sleep=lambda seconds: None, on_secret=masked.append)
    registry.login._made = client
    known = registry.repositories(["base", "worker", "scheduler"])
    assert set(known) == {"base"}
    (fault,) = registry.missing(["base", "worker", "scheduler"], known)
    assert fault.thing == "repositories p/worker, p/scheduler"
    assert ACCOUNT in fault.cause
    assert list(registry.missing(["base"], known)) == []
    registry.close()


def test_boto3_is_asked_for_the_region_and_profile(monkeypatch, tmp_path, masked):
    configuration = tmp_path / "config"
    configuration.write_text("[profile deployer]\naws_access_key_id = A\naws_secret_access_key = B\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(configuration))
    made = Ecr(ACCOUNT, "eu-west-3", profile="deployer", on_secret=masked.append)._client()
    assert made.meta.region_name == "eu-west-3"
    assert made._request_signer._credentials.access_key == "A"
    with pytest.raises(errors.RefusedError, match="other"):
        Ecr(ACCOUNT, "eu-west-3", profile="other", on_secret=masked.append).credentials()
