"""A real registry on this machine: Debian's docker-registry with a user AWS, as ECR's login has it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", secret: of-no-use-to-anybody}}
auth: {{htpasswd: {{realm: registry, path: {users}}}}}
"""


@contextlib.contextmanager
def running(directory: Path, password: str) -> Iterator[str]:
    """The address of a registry that takes the user AWS with this password, and ends with the block."""
    port, users, configuration = _free_port(), directory / "users", directory / "registry.yml"
    # The lowest cost: each request is checked against it.
    words = ["htpasswd", "-cbB", "-C", "4", str(users), "AWS", password]
    subprocess.run(words, check=True, capture_output=True, timeout=20)
    text = CONFIGURATION.format(data=directory / "data", port=port, users=users)
    configuration.write_text(text)
    with (directory / "log").open("w") as log:
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", str(configuration)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_open(port)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the registry did not start"
            time.sleep(0.05)
        else:
            return
