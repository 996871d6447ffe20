"""A real registry on this machine: Debian's docker-registry with a user AWS, as ECR's login has it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CONFIGURATION = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:0", secret: of-no-use-to-anybody}}
auth: {{htpasswd: {{realm: registry, path: {users}}}}}
"""

LISTENS = re.compile(r"listening on (127\.0\.0\.1:[0-9]+)")


@contextlib.contextmanager
def running(directory: Path, password: str) -> Iterator[str]:
    """The address of a registry that takes the user AWS with this password, and ends with the block."""
    users, configuration, log = directory / "users", directory / "registry.yml", directory / "log"
    # The lowest cost: each request is checked against it.
    words = ["htpasswd", "-cbB", "-C", "4", str(users), "AWS", password]
    subprocess.run(words, check=True, capture_output=True, timeout=20)
    configuration.write_text(CONFIGURATION.format(data=directory / "data", users=users))
    with log.open("w") as file:
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", str(configuration)],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield address(log, server)
        finally:
            server.terminate()
            server.wait(10)


def address(log: Path, server: subprocess.Popen[bytes], *, timeout: float = 60) -> str:
    """Where a registry listens that chose its port itself: its log says so as soon as it does."""
    deadline = time.monotonic() + timeout
    while not (found := LISTENS.search(log.read_text())):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"the registry did not start\n{log.read_text()}"
        time.sleep(0.05)
    return found[1]
