"""AWS ECR's own API around the registry: its login, and what is known of its repositories."""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import threading
import urllib.parse
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_platform import errors, secrets
from airflow_platform.tools.registry import answers
from airflow_platform.tools.registry.session import Credentials

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

CONNECT_TIMEOUT = 10.0
"""Seconds; boto3's own 60 would leave a user without network waiting for minutes."""

READ_TIMEOUT = 30.0
"""Seconds for one answer."""

ATTEMPTS = 5
"""Of one call, with boto3's own back-off."""

_REFUSED = (
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
_LOG_IN = (
    "Log in to AWS (`aws sso login`, or the variables that CI sets), or name a profile under [registry]."
)


@dataclass(frozen=True)
class Repository:
    """What ECR knows of a repository."""

    name: str
    mutability: str
    """IMMUTABLE, MUTABLE, or either `…_WITH_EXCLUSION`."""
    exclusions: tuple[str, ...] = ()
    """Patterns of tags for which the reverse holds; `*` stands for any text."""

    def is_immutable(self, tag: str) -> bool:
        """Whether a tag, once it is there, can never mean anything else."""
        excluded = any(fnmatch.fnmatchcase(tag, pattern) for pattern in self.exclusions)
        return self.mutability.startswith("IMMUTABLE") != excluded


class Ecr:
    """The ECR registry of one account and region. Threads may share it."""

    def __init__(
        self,
        account: str,
        region: str,
        *,
        profile: str | None = None,
        accepted: Collection[str] = (),
        on_secret: Callable[[secrets.Secret], None],
    ) -> None:
        """Prepare, without asking anything.

        Args:
            account: The id of the AWS account.
            region: The AWS region.
            profile: A profile of the AWS configuration; by default the usual chain.
            accepted: Further accounts whose credentials may be used here.
            on_secret: Called with each token, to have it masked.
        """
        self._account = account
        self._region = region
        self._profile = profile
        self._accepted = {account, *accepted}
        self._on_secret = on_secret
        self._credentials: Credentials | None = None
        self._lock = threading.RLock()
        self._made: ECRClient | None = None

    def credentials(self) -> Credentials:
        """The token of this run; its time of expiry is not looked at, since a refused one is renewed.

        Raises:
            RefusedError: There are no AWS credentials, they are not taken, or are another account's.
            NotReachable: AWS does not answer.
        """
        with self._lock:
            if self._credentials is None:
                self._credentials = self._log_in()
            return self._credentials

    def renew(self, refused: Credentials) -> Credentials:
        """A new token, unless another thread has fetched one since."""
        with self._lock:
            if self._credentials is refused:
                self._credentials = None
            return self.credentials()

    def repositories(self, names: Sequence[str]) -> dict[str, Repository]:
        """Those of these repositories that exist, by name."""
        with _translated(f"ECR in {self._account}"):
            client = self._client()
            try:
                return self._described(list(names))
            except client.exceptions.RepositoryNotFoundException:
                # The answer names one that is missing; a user wants to know all.
                found: dict[str, Repository] = {}
                for name in names:
                    with contextlib.suppress(client.exceptions.RepositoryNotFoundException):
                        found |= self._described([name])
                return found

    def _described(self, names: list[str]) -> dict[str, Repository]:
        answer = self._client().describe_repositories(registryId=self._account, repositoryNames=names)
        return {each["repositoryName"]: _repository(each) for each in answer["repositories"]}

    def _log_in(self) -> Credentials:
        with _translated("AWS"):
            (given,) = self._client().get_authorization_token()["authorizationData"]
        # The token's address is that of the registry of the caller's own account.
        host = urllib.parse.urlsplit(given["proxyEndpoint"]).netloc
        account = host.partition(".")[0]
        if account not in self._accepted:
            raise errors.RefusedError(
                f"The AWS credentials are those of account {account}; the registry is in {self._account}.",
                hint="Log in to that account, or name a profile for it under [registry] in the environment's file.",
                untouched=True,
            )
        user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
        token = secrets.Secret(password)
        self._on_secret(token)
        return Credentials(user, token)

    def _client(self) -> ECRClient:
        with self._lock:
            if self._made is None:
                import boto3  # noqa: PLC0415
                from botocore.config import Config  # noqa: PLC0415

                retries: Any = {"mode": "standard", "total_max_attempts": ATTEMPTS}
                config = Config(connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries=retries)
                session = boto3.Session(profile_name=self._profile, region_name=self._region)
                self._made = session.client("ecr", config=config)
            return self._made


def _repository(described: Any) -> Repository:
    filters = described.get("imageTagMutabilityExclusionFilters", ())
    return Repository(
        described["repositoryName"],
        described["imageTagMutability"],
        tuple(str(each["filter"]) for each in filters),
    )


@contextlib.contextmanager
def _translated(thing: str) -> Iterator[None]:
    """Errors of boto3 as ours.

    Raises:
        RefusedError: No credentials, or they are not taken, or may not do this.
        NotReachable: AWS does not answer.
        RegistryError: It answered with another error.
    """
    from botocore import exceptions  # noqa: PLC0415

    try:
        yield
    except exceptions.ClientError as error:
        raise _refusal(thing, error.response["Error"]) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise answers.NotReachable(
            f"{thing} does not answer: {error}.", hint="See that this machine reaches AWS."
        ) from error
    except exceptions.BotoCoreError as error:
        said = str(error).rstrip(".")
        raise errors.RefusedError(
            f"{thing}: there are no usable credentials: {said}.", hint=_LOG_IN, untouched=True
        ) from error


def _refusal(thing: str, error: Any) -> errors.PlatformError:
    code, said = str(error.get("Code", "")), str(error.get("Message", "")).rstrip(".")
    if code in {"AccessDenied", "AccessDeniedException"}:
        return answers.not_allowed(thing, "ecr:GetAuthorizationToken and ecr:DescribeRepositories", said)
    if code in _REFUSED:
        return errors.RefusedError(f"{thing}: {said or code}.", hint=_LOG_IN, untouched=True)
    return answers.RegistryError(f"{thing}: {code}: {said}.", hint="Try again in some minutes.")
