"""The real command line, on environments, records and state of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform.config import built_images
from tests.registry.aws import NAMES, REGION

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    document: Mapping[str, Any]
    error: str

    @property
    def images(self) -> Mapping[str, Any]:
        """By name, the outputs of its step."""
        found: Mapping[str, Any] = self.document["data"]["images"]
        return found

    @property
    def steps(self) -> dict[str, str]:
        """Outcomes by step."""
        return {each["name"]: each["status"] for each in self.document["steps"]}

    @property
    def faults(self) -> str:
        """All of them as text."""
        return "\n".join(" ".join(each.values()) for each in self.document["faults"])


class Toolkit:
    """A checkout's toolkit with environments, records and state of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.built = directory / "build" / "images.json"
        self.pushed = directory / "build" / "pushed"
        self.environment = {
            **os.environ,
            "AIRFLOW_PLATFORM_PROJECT": str(directory),
            "AIRFLOW_PLATFORM_STATE": str(directory / "state"),
            "AIRFLOW_PLATFORM_CACHE": str(directory / "cache"),
            "PYTHONPATH": str(CHECKOUT),
            "NO_COLOR": "1",
        }
        (directory / "environments").mkdir()
        self.built.parent.mkdir()

    def declare(self, name: str, account: str, *, images: Sequence[str] = NAMES, **registry: str) -> None:
        """Write an environment's file."""
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in registry.items())
        (self.directory / "environments" / f"{name}.toml").write_text(
            f'runtime = "eks"\neks = {{ account = "{account}", region = "{REGION}", cluster = "c" }}\n'
            f"[registry]\nimages = {json.dumps(list(images))}\n{settings}"
            '[[tenants]]\nname = "analytics"\n'
            'snowflake = { database = "D", warehouse = "W", role = "R" }\n'
        )

    def record(self, images: Mapping[str, built_images.BuiltImage]) -> None:
        """Write what `inv build` writes."""
        made = built_images.Built(
            images, commit="c" * 40, airflow="3.3.2", revision="r", known_revisions=("r",)
        )
        self.built.write_text(made.to_json())

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """The command line in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "airflow_platform.tasks", *words, "--json"],
            env={**self.environment, **environment},
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def retag(self, name: str) -> None:
        """Have the record of what an environment was pushed name other tags, as a later build would."""
        place = self.pushed / f"{name}.json"
        record = json.loads(place.read_text())
        for image in record["images"].values():
            image["tag"] = f"again-{image['tag']}"
        place.write_text(json.dumps(record))

    def run(self, *words: str, timeout: float = 100, **environment: str) -> Result:
        """A command to its end."""
        process = self.start(*words, **environment)
        output, error = process.communicate(timeout=timeout)
        assert "Traceback" not in error, error
        return Result(process.returncode, json.loads(output) if output else {}, error)
