"""A Git server over SSH on loopback: keys with rights, and Git's own programs behind them."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

READ, WRITE = "read", "write"

NEEDED = {"git-upload-pack": READ, "git-receive-pack": WRITE}


def new_key() -> asyncssh.SSHKey:
    """A key pair."""
    return asyncssh.generate_private_key("ssh-ed25519")


@dataclass
class State:
    """What the server knows."""

    root: Path
    host_key: asyncssh.SSHKey = field(default_factory=new_key)
    keys: dict[str, str] = field(default_factory=dict)
    """The rights of a public key, as OpenSSH has it without the comment."""
    port: int = 0

    @property
    def url(self) -> str:
        """Of the repository `project.git`."""
        return f"ssh://git@127.0.0.1:{self.port}/project.git"

    def known_hosts(self, key: asyncssh.SSHKey | None = None) -> str:
        """A line for a file of known hosts; by default with the server's own key."""
        return f"[127.0.0.1]:{self.port} {public(key or self.host_key)}\n"

    def allow(self, directory: Path, rights: str) -> Path:
        """Make a key pair that has these rights; returns the private key's file."""
        key, path = new_key(), directory / f"key-{rights}"
        path.write_bytes(key.export_private_key("openssh"))
        path.chmod(0o600)
        self.keys[public(key)] = rights
        return path


def public(key: asyncssh.SSHKey) -> str:
    """The public key as OpenSSH has it, without a comment."""
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


class _Server(asyncssh.SSHServer):
    def __init__(self, state: State) -> None:
        self._state = state

    def connection_made(self, connection: Any) -> None:
        self._connection = connection

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        rights = self._state.keys.get(public(key))
        self._connection.set_extra_info(rights=rights)
        return rights is not None


async def _handle(state: State, process: Any) -> None:
    program, path = shlex.split(process.command or "none /")
    rights = process.get_extra_info("rights")
    if NEEDED.get(program) not in (rights, READ):
        process.stderr.write(b"ERROR: This deploy key does not have write access to this project.\n")
        process.exit(1)
        return
    child = await asyncio.create_subprocess_exec(
        program,
        str(state.root / path.lstrip("/")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    sending = asyncio.ensure_future(_pipe(process.stdin, child.stdin))
    await asyncio.gather(_pipe(child.stdout, process.stdout), _pipe(child.stderr, process.stderr))
    process.exit(await child.wait())
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def _pipe(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.write_eof()


@contextlib.contextmanager
def serving(root: Path) -> Iterator[State]:
    """A server for the repositories below a directory, in a thread of its own."""
    state, ready = State(root), threading.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Server(state),
            server_host_keys=[state.host_key],
            process_factory=lambda process: _handle(state, process),
            encoding=None,
        )
        state.port = listener.get_port()
        ready.set()
        await stop.wait()
        listener.close()
        await listener.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert ready.wait(60), "the server did not start"
        yield state
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
