"""One kept HTTP connection to one tenant's api-server, and what its answers mean.

AirflowError (StepError)     the api-server said no: a status, and Airflow's own words
├── NotReachable             nothing answered in time: not started yet, stopped, or too busy
├── StrangerListens          another program has the tenant's port; nothing was sent to it
└── NotFound                 it knows no such DAG, run, connection, ...

A status of 401 or 403 is `errors.RefusedError`.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import urllib3

from airflow_platform import errors, secrets

TIMEOUT = 10.0
"""Seconds for one answer. Warm answers take 5-50 ms; a busy two-core machine once needed 5 s."""

PAGE = 100
"""Entries asked for at a time: the api-server's own `[api] maximum_page_limit`."""

HTTP_OK = range(200, 300)
UNAUTHENTICATED = 401
REFUSED = (401, 403)
NOT_FOUND = 404
DETAIL_CHARACTERS = 500


class AirflowError(errors.StepError):
    """The api-server answered a call with something other than success."""

    def __init__(self, message: str, *, status: int = 0, hint: str = "") -> None:
        self.status = status
        super().__init__(message, hint=hint)


class NotReachable(AirflowError):
    """Nothing answered in time at the api-server's address."""


class StrangerListens(AirflowError):
    """Somebody else than the tenant listens at its address, so the password is not sent."""

    def __init__(self, url: str, listener: str) -> None:
        self.listener = listener
        super().__init__(
            f"{listener} listens at {url} in place of the tenant; no password was sent to it.",
            hint="End that process, then run `inv tenant-up`.",
        )


class NotFound(AirflowError):
    """The api-server knows no such thing."""


class Session:
    """Calls of one user to one api-server. Threads may share it; their calls take turns."""

    def __init__(
        self,
        url: str,
        user: str,
        password: secrets.Secret,
        *,
        stranger: Callable[[], str] = lambda: "",
        timeout: float = TIMEOUT,
    ) -> None:
        """Prepare, without connecting.

        Args:
            url: The base URL, such as `http://127.0.0.1:18080`.
            user: Airflow user.
            password: Its password; sent once, for a token, at the first call that needs one.
            stranger: Who listens at the address in place of the tenant; "" for nobody. Asked before each login.
            timeout: Seconds for one answer.
        """
        self.url = url.rstrip("/")
        self._user = user
        self._password = password
        self._stranger = stranger
        self._timeout = timeout
        self._prefix = urllib.parse.urlsplit(self.url).path
        self._pool = urllib3.connection_from_url(self.url, maxsize=1, block=True, retries=False)
        self._token: secrets.Secret | None = None
        self._lock = threading.Lock()

    def require_tenant(self) -> None:
        """Refuse to go on when somebody else listens at the address.

        Raises:
            StrangerListens: Says who.
        """
        if found := self._stranger():
            raise StrangerListens(self.url, found)

    def close(self) -> None:
        """Close the kept connection; a later call opens another."""
        self._pool.close()

    def get(self, path: str, **query: str | int) -> Any:
        """Read one resource; the variable parts of its path are quoted with `quoted`."""
        return self.call("GET", path, query=query)

    def entries(self, path: str, key: str, **query: str | int) -> Iterator[Mapping[str, Any]]:
        """All entries of a collection, page by page; `key` is the list's name in the answer."""
        offset = 0
        while True:
            page = self.get(path, **query, limit=PAGE, offset=offset)
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """Make one call as the user and return the JSON of the answer, None if it has no body.

        A token that is no longer accepted is fetched again once: Airflow's last a day.

        Raises:
            NotReachable: Nothing answered in time.
            StrangerListens: It would have been a login at somebody else's program.
            NotFound: Status 404.
            RefusedError: Status 401 or 403.
            AirflowError: Any other status, or an answer that is not JSON.
        """
        target = path + ("?" + urllib.parse.urlencode(query) if query else "")
        token, is_new = self._authenticate()
        response = self._send(method, target, body, timeout, token)
        if response.status == UNAUTHENTICATED and not is_new:
            self._token = None
            token, _ = self._authenticate()
            response = self._send(method, target, body, timeout, token)
        return self._answer(method, path, response)

    def call_unauthenticated(self, method: str, path: str, *, timeout: float | None = None) -> Any:
        """The same for the few resources that need no user, such as the components' health."""
        return self._answer(method, path, self._send(method, path, None, timeout, None))

    def _authenticate(self) -> tuple[secrets.Secret, bool]:
        with self._lock:
            if self._token is not None:
                return self._token, False
            self.require_tenant()
            body = {"username": self._user, "password": self._password.reveal()}
            response = self._send("POST", "/auth/token", body, None, None)
            answer = self._answer("POST", "/auth/token", response)
            self._token = secrets.Secret(str(answer["access_token"]))
            return self._token, True

    def _send(
        self,
        method: str,
        target: str,
        body: Any,
        timeout: float | None,
        token: secrets.Secret | None,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return self._pool.request(
                method,
                self._prefix + target,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=timeout or self._timeout,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise NotReachable(
                f"The api-server at {self.url} does not answer: {_reason(error)}.",
                hint="See whether it runs: inv tenant-status, and its log: inv tenant-logs.",
            ) from error

    def _answer(self, method: str, path: str, response: urllib3.BaseHTTPResponse) -> Any:
        status = response.status
        called = f"{method} {path} at {self.url}"
        if status in HTTP_OK:
            return self._parse(called, response)
        message = f"{called} was answered with status {status}: {_detail(response.data)}"
        if status in REFUSED:
            raise errors.RefusedError(
                message, hint=f"User {self._user} or its password is not this tenant's."
            )
        raise (NotFound if status == NOT_FOUND else AirflowError)(message, status=status)

    def _parse(self, called: str, response: urllib3.BaseHTTPResponse) -> Any:
        if not response.data:
            return None
        try:
            return json.loads(response.data)
        except ValueError as error:
            raise AirflowError(
                f"{called} was answered with something that is not JSON.",
                status=response.status,
                hint="Another program may have taken the port.",
            ) from error


def quoted(part: str) -> str:
    """One part of a path: run ids contain `+` and `:`, names of pools even slashes."""
    return urllib.parse.quote(part, safe="")


def _detail(data: bytes) -> str:
    """Airflow's words in an error's body: `detail` is a text, a list of faults, or an object."""
    text = data.decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        return text[:DETAIL_CHARACTERS]
    detail = body.get("detail", body.get("error", body)) if isinstance(body, dict) else body
    if isinstance(detail, list):
        faults = [f"{_place(fault.get('loc', ()))}: {fault.get('msg', '')}" for fault in detail]
        detail = "; ".join(dict.fromkeys(faults))  # Airflow lists each fault of a bulk call twice.
    elif isinstance(detail, dict):
        detail = detail.get("reason", json.dumps(detail))
    return str(detail)[:DETAIL_CHARACTERS]


def _place(location: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in location)


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """Why in a few words; urllib3's own text repeats its objects' addresses."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):  # Is a kind of timeout, by ancestry.
        return "connection refused"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    return type(error).__name__
