"""A real registry behind a proxy, ECR's API by moto, small images, and the real command line on them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_platform.config import built
from airflow_platform.tools.containers import engine
from tests.registry import data_plane, fault_proxy, small_images

CHECKOUT = Path(__file__).parents[2]
REGION = "eu-central-1"
STAGE, PROD = "123456789012", "222222222222"
"""moto's own account, and another."""

NAMES = ("airflow-base", "scheduler", "worker")


def pytest_configure() -> None:
    """Say at once what is missing here, instead of in each test."""
    for program, package in {"docker-registry": "docker-registry", "htpasswd": "apache2-utils"}.items():
        assert shutil.which(program), f"install the package {package}"
    if fault := engine.fault(None):
        raise pytest.UsageError(str(fault))


@pytest.fixture(scope="session", autouse=True)
def clean_credentials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """AWS credentials that mean nothing outside of moto, and no configuration of the user's."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in kept:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path_factory.mktemp("aws") / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    yield
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= kept


class Aws:
    """ECR's API. Each login gives another token; all are good until `expire`."""

    def __init__(self) -> None:
        self.issued: list[str] = []
        self.proxies: list[fault_proxy.Proxy] = []

    def login(self, account: str) -> str:
        token = f"{account}-token-{len(self.issued) + 1}"
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
        self, prefix: str, names: Sequence[str] = NAMES, *, mutability: str = "IMMUTABLE", **session: str
    ) -> None:
        """What Terraform makes elsewhere."""
        import boto3

        client = boto3.Session(region_name=REGION, **session).client("ecr")
        for name in names:
            client.create_repository(repositoryName=f"{prefix}/{name}", imageTagMutability=mutability)


@pytest.fixture(scope="session")
def aws(clean_credentials: None) -> Iterator[Aws]:
    import moto.ecr.responses
    from moto.server import ThreadedMotoServer

    made, responses = Aws(), moto.ecr.responses.ECRResponse
    stock = responses.get_authorization_token

    def get_authorization_token(self: Any) -> Any:
        import base64

        answer = stock(self)
        (given,) = answer.result["authorizationData"]
        token = f"AWS:{made.login(self.current_account)}"
        given["authorizationToken"] = base64.b64encode(token.encode()).decode()
        return answer

    responses.get_authorization_token = get_authorization_token
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    os.environ["AWS_ENDPOINT_URL"] = "http://{}:{}".format(*server.get_host_and_port())
    yield made
    server.stop()
    responses.get_authorization_token = stock


PASSWORD = f"{STAGE}-auth-token"
"""What moto's own token says."""


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two registries, for two accounts."""
    first, second = tmp_path_factory.mktemp("stage"), tmp_path_factory.mktemp("prod")
    with data_plane.running(first, PASSWORD) as stage, data_plane.running(second, PASSWORD) as prod:
        yield stage, prod


@pytest.fixture
def proxies(registries: tuple[str, str], aws: Aws) -> Iterator[tuple[fault_proxy.Proxy, fault_proxy.Proxy]]:
    """One before each registry."""
    with (
        fault_proxy.running(registries[0], PASSWORD) as stage,
        fault_proxy.running(registries[1], PASSWORD) as prod,
    ):
        aws.proxies[:] = [stage, prod]
        stage.checks_tokens = prod.checks_tokens = True
        yield stage, prod
        aws.proxies.clear()


@pytest.fixture
def proxy(proxies: tuple[fault_proxy.Proxy, fault_proxy.Proxy]) -> fault_proxy.Proxy:
    """The one before stage's registry."""
    return proxies[0]


@pytest.fixture
def prefix() -> str:
    """What this test's repositories begin with."""
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """The engine, without what killed tests left there."""
    with engine.connected(None) as connected:
        small_images.sweep(connected)
        yield connected


@pytest.fixture
def sizes() -> tuple[int, ...]:
    """Bytes of the layers of the base, the lowest first."""
    return (300_000, 200_000)


@pytest.fixture
def images(client: Any, prefix: str, sizes: tuple[int, ...]) -> Iterator[dict[str, built.Image]]:
    """A base of two layers, and two components with one more each."""
    base = [small_images.layer(size) for size in sizes]
    made = {
        name: small_images.load(
            client, name, base if name == NAMES[0] else [*base, small_images.layer(1_000)], tag=f"1-{prefix}"
        )
        for name in NAMES
    }
    yield made
    for image in made.values():
        client.api.remove_image(image.reference, force=True)


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    document: Mapping[str, Any]
    error: str

    @property
    def images(self) -> Mapping[str, Any]:
        """By name, the outputs of its step."""
        found: Mapping[str, Any] = self.document["data"]["images"]
        return found

    @property
    def steps(self) -> dict[str, str]:
        """Outcomes by step."""
        return {each["name"]: each["status"] for each in self.document["steps"]}

    @property
    def faults(self) -> str:
        """All of them as text."""
        return "\n".join(" ".join(each.values()) for each in self.document["faults"])


class Toolkit:
    """A checkout's toolkit with environments, records and state of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.built = directory / "images.json"
        self.pushed = directory / "pushed"
        self.environment = {
            **os.environ,
            "AIRFLOW_PLATFORM_ENVIRONMENTS": str(directory / "environments"),
            "AIRFLOW_PLATFORM_STATE": str(directory / "state"),
            "AIRFLOW_PLATFORM_CACHE": str(directory / "cache"),
            "PYTHONPATH": str(CHECKOUT),
            "NO_COLOR": "1",
        }
        (directory / "environments").mkdir()

    def declare(self, name: str, account: str, **registry: str) -> None:
        """Write an environment's file."""
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in registry.items())
        (self.directory / "environments" / f"{name}.toml").write_text(
            f'runtime = "eks"\neks = {{ account = "{account}", region = "{REGION}", cluster = "c" }}\n'
            f"[registry]\nimages = {json.dumps(list(NAMES))}\n{settings}"
            '[[tenants]]\nname = "analytics"\n'
            'snowflake = { database = "D", warehouse = "W", role = "R" }\n'
        )

    def record(self, images: Mapping[str, built.Image]) -> None:
        """Write what `inv build` writes."""
        made = built.Built(images, commit="c" * 40, airflow="3.3.2", revision="r", known_revisions=("r",))
        self.built.write_text(made.to_json())

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """The command line in a process of its own."""
        script = (
            "import sys; from pathlib import Path; from airflow_platform.config import built, pushed;"
            f"built.RECORD = Path({str(self.built)!r}); pushed.FOLDER = Path({str(self.pushed)!r});"
            "from airflow_platform.tasks import collection, program;"
            "sys.exit(program.PlatformProgram(collection.namespace).outcome(['inv', *sys.argv[1:]]))"
        )
        return subprocess.Popen(
            [sys.executable, "-c", script, *words, "--json"],
            env={**self.environment, **environment},
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> Result:
        """A command to its end."""
        process = self.start(*words, **environment)
        output, error = process.communicate(timeout=100)
        assert "Traceback" not in error, error
        return Result(process.returncode, json.loads(output) if output else {}, error)


@pytest.fixture
def toolkit(
    tmp_path: Path,
    aws: Aws,
    proxies: tuple[fault_proxy.Proxy, fault_proxy.Proxy],
    prefix: str,
    images: Mapping[str, built.Image],
) -> Toolkit:
    """With the environments stage and prod, and the images built; stage's account is that of the login."""
    made = Toolkit(tmp_path)
    made.declare("stage", STAGE, host=proxies[0].host, prefix=prefix)
    made.record(images)
    aws.make_repositories(prefix)
    return made
