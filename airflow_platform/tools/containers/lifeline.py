"""A container that lives as long as the program that asked for it: so others see who is still alive.

Its one program reads what it is sent, which is nothing. When the connection that it was promised breaks, the
engine closes its input and it ends. No process can prevent that, however it ends; and whoever uses the
engine can see it, from another container or another machine, where process ids and lock files say nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_platform.tools.containers import engine, labelled_objects

if TYPE_CHECKING:
    import docker

MEMORY = 16 * 1024**2
"""Bytes; it needs less than one million."""


@contextlib.contextmanager
def held(client: docker.DockerClient, *, name: str, image: str, labels: Mapping[str, str]) -> Iterator[None]:
    """Have such a container for as long as this lasts.

    Args:
        client: Of the engine.
        name: Unique in the engine.
        image: Any that has the program `cat`.
        labels: What others find it by.
    """
    api: Any = client.api
    with contextlib.ExitStack() as stack:
        with engine.translated(f"container {name}"):
            made = _make(api, name, image, labels)
            # It ends by itself, and is gone then; this makes it gone for whoever looks next.
            stack.callback(_remove, api, made)
            line = api.attach_socket(made, params={"stdin": 1, "stream": 1})
            stack.callback(_close, line)
            api.start(made)
        yield


def _make(api: Any, name: str, image: str, labels: Mapping[str, str]) -> str:
    made = api.create_container(
        image,
        name=name,
        entrypoint=["cat"],
        labels=dict(labels),
        use_config_proxy=False,
        stdin_open=True,
        healthcheck={"test": ["NONE"]},
        host_config=api.create_host_config(
            auto_remove=True,
            network_mode="none",
            mem_limit=MEMORY,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        ),
    )
    return str(made["Id"])


def _close(line: Any) -> None:
    """The library closes neither the connection, which was taken over from HTTP, nor its answer."""
    answer = line._response  # noqa: SLF001 - the library puts it there so that it lives as long.
    line._sock.close()  # noqa: SLF001
    line.close()
    with contextlib.suppress(OSError, ValueError):
        answer.close()


def _remove(api: Any, container: str) -> None:
    with contextlib.suppress(engine.EngineError):
        labelled_objects.remove_container(api, container)
