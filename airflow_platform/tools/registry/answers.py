"""What a registry's answers mean when they are no success.

RegistryError (StepError)     the registry said no, or could not be understood
├── NotReachable              nothing answered, or the connection was cut
└── Immutable                 the tag exists already and cannot be moved

A status of 401 or 403 is `errors.RefusedError`.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_platform import errors

UNAUTHENTICATED = 401
FORBIDDEN = 403
NOT_FOUND = 404
BUSY = (429, 500, 502, 503, 504)
"""Statuses after which the same question may be answered: too many of them, or a fault over there."""

_DETAIL_CHARACTERS = 300
_EXPIRED = "token has expired"
"""ECR's words for a token that is too old, with status 403: "Your authorization token has expired"."""
_REFUSED_TAG = ("TAG_INVALID", "TAG_ALREADY_EXISTS")


class RegistryError(errors.StepError):
    """A registry answered with something other than success."""

    def __init__(self, message: str, *, status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class NotReachable(RegistryError):
    """Nothing answered in time, or the connection was cut."""


class Immutable(RegistryError):
    """The tag exists already, and the repository does not let it be moved."""


@dataclass(frozen=True)
class Refusal:
    """An answer other than success, as the distribution API has it."""

    status: int
    codes: tuple[str, ...]
    said: str
    """The registry's own words, shortened."""

    @classmethod
    def of(cls, status: int, content: bytes) -> Refusal:
        """Read an answer's body; one that is not JSON is shown as it is."""
        text = content.decode(errors="replace").strip()
        try:
            listed = [each for each in json.loads(text)["errors"] if isinstance(each, dict)]
        except (ValueError, KeyError, TypeError):
            return cls(status, (), " ".join(text.split())[:_DETAIL_CHARACTERS])
        said = "; ".join(dict.fromkeys(str(each.get("message") or each.get("code")) for each in listed))
        codes = tuple(str(each.get("code")) for each in listed)
        return cls(status, codes, said[:_DETAIL_CHARACTERS])

    @property
    def wants_login(self) -> bool:
        """Whether a new token may help."""
        return self.status == UNAUTHENTICATED or is_expiry(self.said)

    def error(self, host: str, repository: str, action: str) -> errors.PlatformError:
        """The error for people.

        Args:
            host: The registry.
            repository: What the question was about.
            action: The IAM action that the question needs on ECR: `ecr:PutImage`.
        """
        thing = f"{host}/{repository}"
        if self.wants_login:
            return not_authenticated(thing, self.said)
        if self.status == FORBIDDEN:
            return not_allowed(thing, action, self.said)
        said = f": {self.said}" if self.said else ""
        message = f"{thing}: the registry answered {self.status}{said}."
        if any(code in _REFUSED_TAG for code in self.codes) or "immutable" in self.said.lower():
            return Immutable(message, status=self.status)
        hint = "Try again in some minutes." if self.status in BUSY else ""
        return RegistryError(message, status=self.status, hint=hint)


def is_expiry(said: str) -> bool:
    """Whether a registry's words mean that its token is too old."""
    return _EXPIRED in said.lower()


def not_authenticated(thing: str, said: str) -> errors.RefusedError:
    """The error for a login that is not taken, though it is new."""
    return errors.RefusedError(
        f"{thing}: the registry does not take the login, not even a new one{f': {said}' if said else ''}.",
        hint="See that the AWS credentials are valid: `aws sts get-caller-identity`.",
        untouched=True,
    )


def not_allowed(thing: str, action: str, said: str) -> errors.RefusedError:
    """The error for credentials that may not do something; the registry's words may name what."""
    named = re.search(r"ecr:\w+", said)
    action = named[0] if named else action
    return errors.RefusedError(
        f"{thing}: these credentials may not do {action}{f': {said}' if said else ''}.",
        hint=f"Allow {action} on that repository, in the policy of the role or in that of the repository.",
        untouched=True,
    )


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait, by its header Retry-After; None when it does not."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())
