"""ECR's API, by moto, with tokens that can expire."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.registry import fault_proxy

REGION = "eu-central-1"
STAGE, PROD = "123456789012", "222222222222"
"""moto's own account, and another."""

NAMES = ("airflow-base", "scheduler", "worker")
"""Images of tests."""

PASSWORD = f"{STAGE}-auth-token"
"""What moto's own token says."""


class Aws:
    """ECR's API. Each login gives another token; all are good until `expire`."""

    def __init__(self) -> None:
        self.issued: list[str] = []
        self.proxies: list[fault_proxy.Proxy] = []
        self.plain = False
        """Whether each token is the password that registries without a proxy know."""

    def login(self, account: str) -> str:
        token = PASSWORD if self.plain else f"{account}-token-{len(self.issued) + 1}"
        self.issued.append(token)
        for proxy in self.proxies:
            proxy.tokens.add(token)
        return token

    def expire(self) -> None:
        """No token that was given out is good any more."""
        for proxy in self.proxies:
            proxy.tokens.clear()

    def profile_of(self, account: str) -> str:
        """A profile with credentials of an account, as those who work in several have it."""
        import boto3

        role = f"arn:aws:iam::{account}:role/deployer"
        given = boto3.client("sts", region_name=REGION).assume_role(RoleArn=role, RoleSessionName="test")
        key = given["Credentials"]
        name = f"account-{account}"
        Path(os.environ["AWS_CONFIG_FILE"]).write_text(
            f"[profile {name}]\naws_access_key_id = {key['AccessKeyId']}\n"
            f"aws_secret_access_key = {key['SecretAccessKey']}\naws_session_token = {key['SessionToken']}\n"
        )
        return name

    def make_repositories(
        self, prefix: str, names: Sequence[str] = NAMES, *, mutability: Any = "IMMUTABLE", **session: Any
    ) -> None:
        """What Terraform makes elsewhere."""
        import boto3

        client = boto3.Session(region_name=REGION, **session).client("ecr")
        for name in names:
            client.create_repository(repositoryName=f"{prefix}/{name}", imageTagMutability=mutability)


@contextlib.contextmanager
def running(configuration: Path) -> Iterator[Aws]:
    """ECR's API for this process and those that it starts; nothing of the user's AWS is left to see.

    Args:
        configuration: Where `profile_of` writes; does not exist yet.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in kept:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(configuration),
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    try:
        with _served(Aws()) as made:
            yield made
    finally:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ |= kept


@contextlib.contextmanager
def _served(made: Aws) -> Iterator[Aws]:
    import moto.ecr.responses
    from moto.server import ThreadedMotoServer

    responses: Any = moto.ecr.responses.ECRResponse
    stock = responses.get_authorization_token

    def get_authorization_token(self: Any) -> Any:
        answer = stock(self)
        (given,) = answer.result["authorizationData"]
        token = f"AWS:{made.login(self.current_account)}"
        given["authorizationToken"] = base64.b64encode(token.encode()).decode()
        return answer

    responses.get_authorization_token = get_authorization_token
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    os.environ["AWS_ENDPOINT_URL"] = "http://{}:{}".format(*server.get_host_and_port())
    try:
        yield made
    finally:
        server.stop()
        responses.get_authorization_token = stock
