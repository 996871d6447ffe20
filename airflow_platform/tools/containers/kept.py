"""Images kept as archives beside an engine, for engines whose data goes with their machine, as in CI.

An archive holds images and all that they were made from, so that a build finds every one of its steps
done. It is named by the digest of what it holds. One of 1.5 GB takes half a minute to write and as long to
load, where building from nothing takes two (two cores, benchmarks/images.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.tools import files
from airflow_platform.tools.containers import api, engine

ARCHIVES = 2
"""How many are kept: the main branch's, and that of whatever changes the images now."""

AGE = 14 * 24 * 3600.0
"""Seconds since one was last used, after which it goes: nobody waits that long with a change of images."""

TIMEOUT = 600
"""Seconds without a byte from the engine; a slow disk needs some to unpack a layer of 1 GB."""

CHUNK = 2**20


def lineage(host: str | None, references: Iterable[str]) -> dict[str, str]:
    """The ids of images and of all that they were made from, by reference; without those that are not there.

    What an image was made from is what has a name and the beginning of its layers, but not its own name:
    that is an older one of it.

    Raises:
        EngineMissing: No engine answers.
        EngineError: It said no.
    """
    wanted = {name: found for name in references if (found := _described(host, name))}
    layers = [found["RootFS"]["Layers"] for found in wanted.values()]
    others = {"<none>"} | {name.rpartition(":")[0] for name in wanted}
    held = {name: found["Id"] for name, found in wanted.items()}
    for listed in api.ask(host, "/images/json") if wanted else []:
        names = [name for name in listed["RepoTags"] or () if name.rpartition(":")[0] not in others]
        own = (_described(host, listed["Id"]) or {"RootFS": {}})["RootFS"].get("Layers") if names else None
        if own and any(theirs[: len(own)] == own for theirs in layers):
            held |= dict.fromkeys(names, listed["Id"])
    return dict(sorted(held.items()))


def keep(host: str | None, references: Iterable[str], directory: Path) -> bool:
    """Keep images and all that they were made from; whether they were not yet.

    Raises:
        EngineMissing: No engine answers.
        EngineError: It said no.
        StateError: They cannot be written; nothing half written is left.
    """
    held = lineage(host, references)
    archive = directory / f"{_digest(held)}.tar"
    if not held or archive in _archives(directory):
        return False
    with files.state_errors(archive):
        directory.mkdir(parents=True, exist_ok=True)
    with files.replacing(archive.with_suffix(".json")) as (descriptor, _):
        os.write(descriptor, json.dumps(held, indent=1).encode())
    with files.replacing(archive) as (descriptor, _), engine.connected(host, timeout=TIMEOUT) as client:
        _receive(client.api, list(held), descriptor)
    prune(directory)
    return True


def bring_back(host: str | None, directory: Path) -> tuple[str, ...]:
    """Give an engine the images that were kept last, if it lacks any; which it lacked.

    Raises:
        EngineMissing: No engine answers.
        EngineError: It does not take them; the archive is gone then, because another one is no loss.
    """
    archive = next(iter(_archives(directory)), None)
    if archive is None:
        return ()
    held = _held(archive)
    lacking = tuple(name for name, wanted in held.items() if _id(host, name) != wanted)
    if lacking:
        try:
            _send(host, archive)
        except errors.PlatformError:
            _delete(archive)
            raise
    with contextlib.suppress(OSError):
        os.utime(archive)
    return lacking


def prune(directory: Path) -> None:
    """Delete archives that nobody has used for long, and all but the newest few."""
    oldest = time.time() - AGE
    for draft in directory.glob(".*.new"):  # Of a killed run, or of one that writes now.
        if draft.stat().st_mtime < time.time() - TIMEOUT:
            draft.unlink(missing_ok=True)
    for rank, archive in enumerate(_archives(directory)):
        if rank >= ARCHIVES or archive.stat().st_mtime < oldest:
            _delete(archive)


def _archives(directory: Path) -> list[Path]:
    """Whole ones, the last one used first."""
    found = [path for path in directory.glob("*.tar") if _held(path)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _held(archive: Path) -> dict[str, str]:
    """The ids of what an archive holds, by reference; none if it is not what its name says."""
    try:
        held = json.loads(archive.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) and _digest(held) == archive.stem else {}


def _delete(archive: Path) -> None:
    with contextlib.suppress(OSError):
        archive.unlink()
    with contextlib.suppress(OSError):
        archive.with_suffix(".json").unlink()


def _digest(held: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:32]


def _described(host: str | None, name: str) -> Any:
    return api.ask(host, f"/images/{urllib.parse.quote(name)}/json")


def _id(host: str | None, name: str) -> str | None:
    image = api.image(host, name)
    return None if image is None else image.id


def _receive(client: Any, names: list[str], descriptor: int) -> None:
    """Write what the engine sends; the library has a way to ask for one image, and layers are shared."""
    with engine.translated("images to keep"):
        url = f"{client.base_url}/v{client.api_version}/images/get"
        answer = client.get(url, params={"names": names}, stream=True, timeout=TIMEOUT)
        client._raise_for_status(answer)  # noqa: SLF001 - what makes its errors of answers.
        for chunk in answer.iter_content(CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]


def _send(host: str | None, archive: Path) -> None:
    thing = f"images kept in {archive}"
    with (
        engine.connected(host, timeout=TIMEOUT) as client,
        files.state_errors(archive),
        archive.open("rb") as data,
    ):
        library: Any = client.api
        with engine.translated(thing):
            for event in library.load_image(data, quiet=True):
                if said := engine.failure(event):
                    raise engine.EngineError(f"{thing}: {said}", status=http.client.BAD_REQUEST)
