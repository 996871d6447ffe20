"""Values that nobody may read by accident, and the masking of text that might contain them."""

from __future__ import annotations

import base64
import json
import re
import threading
import urllib.parse
from collections.abc import Iterable, Iterator

_SHORTEST_MASKED = 4
"""Characters; a shorter value would mask half of any text, and is no secret worth the name."""

_SHORTEST_TOKEN = 16
"""Characters from which on a user is taken for a token; those of package indexes have 20 and
more. A shorter one is a user's name, and may be a word that any text has."""

_ADDRESS = re.compile(r"://(?=(\S+))")
"""What follows the scheme; in a list without spaces, the next addresses too."""


class Secret:
    """A text that prints, formats and serialises as `***`; `reveal()` is the only way to the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one call that hands it to its consumer."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not serialised: pass a reference to it instead")


class Mask:
    """Replaces every known secret in a text by `***`: as it is, line by line, URL-quoted and in base64."""

    def __init__(self) -> None:
        self._needles: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def add(self, *secrets: Secret) -> None:
        """Have these values masked from now on."""
        with self._lock:
            found = set(self._needles)
            for secret in secrets:
                found.update(_forms(secret.reveal()))
            self._needles = tuple(sorted(found, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        for needle in self._needles:
            if needle in text:
                text = text.replace(needle, "***")
        return text


def in_addresses(texts: Iterable[str]) -> Iterator[Secret]:
    """The passwords and tokens in addresses, as they are and as they were before they were quoted."""
    for text in texts:
        for address in _ADDRESS.findall(text):
            user, _, password = _login(address).partition(":")
            for found in (password, user if len(user) >= _SHORTEST_TOKEN else ""):
                for spelling in dict.fromkeys((found, urllib.parse.unquote(found))):
                    if spelling:
                        yield Secret(spelling)


def _login(address: str) -> str:
    """What an address has before its host; "" for nothing."""
    authority = re.split("[/?#]", address, maxsplit=1)[0]
    if "@" in authority:
        return authority.rpartition("@")[0]
    # A password with a slash that is not quoted: what would be the port is none.
    _, separator, port = authority.partition(":")
    if separator and not port.isdecimal() and not authority.startswith("["):
        return address.rpartition("@")[0]
    return ""


def _forms(value: str) -> set[str]:
    """The spellings in which a value turns up in output: whole, by line, quoted, and in base64."""
    lines = [line.strip() for line in value.splitlines()] if "\n" in value else []
    spellings = {value, *lines}
    for plain in (value, *lines):
        encoded = plain.encode()
        spellings |= {
            json.dumps(plain)[1:-1],
            urllib.parse.quote(plain, safe=""),
            base64.b64encode(encoded).decode(),
            base64.urlsafe_b64encode(encoded).decode(),
        }
    return {spelling for spelling in spellings if len(spelling) >= _SHORTEST_MASKED}
