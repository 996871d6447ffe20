"""Requests to one registry: logged in, repeated where that may help, and counted."""

from __future__ import annotations

import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import urllib3

from airflow_platform import secrets
from airflow_platform.tools.registry import answers

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection must stand."""

READ_TIMEOUT = 60.0
"""Seconds without a byte; a registry that checks a large layer's digest is silent for some of them."""

CONNECTIONS = 8
"""That are kept."""

ATTEMPTS = 5
"""Of one request that may be repeated."""

FIRST_WAIT = 0.5
"""Seconds before the second attempt where the registry names none; doubled each time."""

LONGEST_WAIT = 60.0
"""Seconds; a registry that asks for more is not waited for."""

Body = bytes | Callable[[], Iterable[bytes]] | None
"""What is sent: bytes, or a function that is called for each attempt."""


@dataclass(frozen=True)
class Credentials:
    """What a registry is shown."""

    user: str
    password: secrets.Secret


class Login(Protocol):
    """Where credentials come from. Threads share it."""

    def credentials(self) -> Credentials:
        """Those that are used now; fetched at the first call."""

    def renew(self, refused: Credentials) -> Credentials:
        """New ones instead of those that were refused, unless somebody else has renewed them."""


@dataclass(frozen=True)
class Traffic:
    """What was asked and moved."""

    requests: int = 0
    bytes_read: int = 0
    """Of blobs."""
    bytes_written: int = 0
    """Of blobs."""

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.requests + other.requests,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
        )


@dataclass(frozen=True)
class Question:
    """One request."""

    method: str
    path: str
    """Below `/v2/`, or a whole address that the registry gave."""
    repository: str
    """Whom it is about; traffic is counted by it."""
    action: str
    """The IAM action that it needs on ECR, for errors."""
    headers: Mapping[str, str] | None = None
    body: Body = None
    streamed: bool = False
    """Whether the caller reads the answer's content piece by piece, and releases it."""
    repeatable: bool = True
    """Whether to ask again after a connection that was cut."""


class Session:
    """Requests to one registry. Threads may share it."""

    def __init__(self, host: str, login: Login, *, sleep: Callable[[float], None]) -> None:
        """Prepare, without connecting.

        Args:
            host: Name or address, and the port where it is not HTTPS's own. Plain HTTP is spoken to
                this machine only, as the Docker engine has it.
            login: Where credentials come from.
            sleep: Waits some seconds; ends early, with an error, when the run is interrupted.
        """
        self.host = host
        scheme = "http" if is_local(host) else "https"
        self._base = f"{scheme}://{host}"
        self._login = login
        self._sleep = sleep
        self._pool = _pool(scheme, host)
        self._traffic: dict[str, Traffic] = {}
        self._lock = threading.Lock()

    def traffic(self, repository: str) -> Traffic:
        """What was asked about a repository, and moved, so far."""
        return self._traffic.get(repository, Traffic())

    def count(self, repository: str, traffic: Traffic) -> None:
        """Add to what was moved."""
        with self._lock:
            self._traffic[repository] = self.traffic(repository) + traffic

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def ask(self, question: Question, *, good: Iterable[int]) -> urllib3.BaseHTTPResponse:
        """Make a request, and repeat it where that may help.

        Args:
            question: What is asked.
            good: Statuses to return; any other is an error.

        Raises:
            NotReachable: Nothing answered, or the connection was cut.
            RefusedError: The login is not taken, not even a new one, or may not do this.
            RegistryError: Any other status; see `answers`.
            Interrupted: A signal ended the run during a wait.
        """
        renewed, attempt = False, 1
        while True:
            used = self._login.credentials()
            try:
                answer = self._send(question, used)
            except urllib3.exceptions.HTTPError as error:
                if not question.repeatable or attempt == ATTEMPTS:
                    raise self.not_reachable(error) from error
                wait = None
            else:
                if answer.status in good:
                    return answer
                refusal = _refusal(answer, streamed=question.streamed)
                if refusal.wants_login and not renewed:
                    self._login.renew(used)
                    renewed = True
                    continue
                wait = answers.asked_wait(answer.headers)
                may_help = refusal.status in answers.BUSY and (wait or 0) <= LONGEST_WAIT
                if not may_help or attempt == ATTEMPTS:
                    raise refusal.error(self.host, question.repository, question.action)
            self._sleep(FIRST_WAIT * 2 ** (attempt - 1) if wait is None else wait)
            attempt += 1

    def raise_if_interrupted(self) -> None:
        """Raise `Interrupted` when a signal ended the run."""
        self._sleep(0.0)

    def not_reachable(self, error: Exception) -> answers.NotReachable:
        """The error for a connection that was not made, or was cut."""
        cause = str(error).rpartition(": ")[2].strip("'\")( .") or type(error).__name__
        return answers.NotReachable(
            f"{self.host}: the registry cannot be reached, or went away: {cause}.",
            hint="See that this machine reaches it, then run this again: what has arrived stays there.",
        )

    def _send(self, question: Question, credentials: Credentials) -> urllib3.BaseHTTPResponse:
        self.count(question.repository, Traffic(requests=1))
        address = urllib.parse.urljoin(f"{self._base}/v2/", question.path)
        headers = dict(question.headers or {})
        if address.startswith(f"{self._base}/"):
            login = f"{credentials.user}:{credentials.password.reveal()}"
            headers |= urllib3.make_headers(basic_auth=login)
        return self._pool.request(
            question.method,
            address,
            headers=headers,
            body=question.body() if callable(question.body) else question.body,
            preload_content=not question.streamed,
            redirect=False,
            retries=False,
        )


def _refusal(answer: urllib3.BaseHTTPResponse, *, streamed: bool) -> answers.Refusal:
    content = answer.read() if streamed else answer.data
    answer.release_conn()
    return answers.Refusal.of(answer.status, content)


def is_local(host: str) -> bool:
    """Whether a host, with or without a port, is this machine."""
    name = host.rpartition(":")[0] or host
    return name == "localhost" or name.startswith("127.")


def _pool(scheme: str, host: str) -> urllib3.PoolManager:
    """Kept connections, through the proxy that the environment names."""
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)
    proxy = urllib.request.getproxies().get(scheme, "")
    if proxy and not is_local(host) and not urllib.request.proxy_bypass(host):
        return urllib3.ProxyManager(proxy, timeout=timeout, maxsize=CONNECTIONS)
    return urllib3.PoolManager(timeout=timeout, maxsize=CONNECTIONS)
