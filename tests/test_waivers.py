"""What a linter is told to overlook has its date and reason beside it, and is looked at again after a year."""

from __future__ import annotations

import datetime
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
YEAR = datetime.timedelta(days=365)
CLOCKS = datetime.timedelta(days=1)
"""By how much another machine's date may be ahead of this one's."""

INLINE = re.compile(
    r"#\s*(?:hadolint\s+(?:global\s+)?ignore=|shellcheck\s+disable=|yamllint\s+disable|checkov:skip=|pragma:\s*\w+list)"
    r"(?P<rest>.*)"
)
"""A comment that silences a linter, and what else it says."""

ENTRY = re.compile(r"^\s*(?:-\s*[\"']?(?:DL|SC|CKV)\w+[\"']?|[\w-]+:\s*disable)(?P<rest>.*)")
"""A rule that a linter's own file silences: a list's item, or yamllint's `rule: disable`."""

WORDS = re.compile(r"(?<![\d-])(?P<date>\d{4}-\d{2}-\d{2}): (?P<reason>\S.*)")

FILES = {
    ".hadolint.yaml": lambda read: read.get("ignored", []),
    ".checkov.yaml": lambda read: read.get("skip-check", []),
    ".yamllint": lambda read: [rule for rule, level in read["rules"].items() if level == "disable"],
}
"""The linters' own files, and the rules that each silences."""


def fault(rest: str, today: datetime.date) -> str | None:
    """What is wrong with a waiver's date and reason."""
    words = WORDS.search(rest)
    if words is None:
        return "has no date and reason: `2026-11-24: Why.`"
    try:
        date = datetime.date.fromisoformat(words["date"])
    except ValueError:
        return f"{words['date']} is not a date"
    if len(words["reason"].split()) < 3:
        return "has no reason that explains anything"
    if date > today + CLOCKS:
        return f"{date} is yet to come"
    if today - date > YEAR:
        return "is older than a year: is it still needed? Then say so with today's date"
    return None


def waivers() -> list[tuple[str, str]]:
    """Each waiver's place, and what stands beside it."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [ROOT / name for name in sorted(set(names)) if name and name != f"tests/{Path(__file__).name}"]
    found = []
    for path in filter(Path.is_file, paths):
        own = path.name in FILES
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            match = INLINE.search(line) or (own and ENTRY.match(line))
            if match:
                found.append((f"{path.relative_to(ROOT)}:{number}", match["rest"]))
    return found


def test_every_waiver_has_a_date_and_a_reason_and_is_not_old() -> None:
    found = waivers()
    assert {place.partition(":")[0] for place, _ in found} >= set(FILES), "the linters' own files are read"
    today = datetime.datetime.now(tz=datetime.UTC).date()
    faults = [f"{place} {what}" for place, rest in found if (what := fault(rest, today))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", FILES)
def test_no_rule_is_silenced_where_that_would_not_be_seen(name: str) -> None:
    text = (ROOT / name).read_text()
    seen = [line for line in text.splitlines() if ENTRY.match(line)]
    assert len(seen) == len(FILES[name](yaml.safe_load(text))), "one rule a line"


def test_no_rule_is_silenced_on_a_command_line() -> None:
    text = (ROOT / "noxfile.py").read_text()
    assert not re.findall(r"--(?:ignore|exclude|skip-check|soft-fail|no-fail|disable-ruleset)(?![\w-])", text)
    assert not (ROOT / ".shellcheckrc").exists(), "waivers of shellcheck are in the scripts"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("# hadolint ignore=DL3006 # 2026-05-01: Named by content.", None),
        ("# hadolint ignore=DL3006", "no date"),
        ("# hadolint global ignore=DL3006 # Named by content.", "no date"),
        ("  # shellcheck disable=SC2086 # 2026-05-01: Because.", "no reason"),
        ("# shellcheck disable=SC2086 # 2025-04-30: Empty means no argument.", "older than a year"),
        ("# shellcheck disable=SC2086 # 2026-06-01: Empty means no argument.", "yet to come"),
        ("#checkov:skip=CKV_DOCKER_2: 2026-13-01: It only runs once.", "not a date"),
        ("# checkov:skip=CKV_DOCKER_2: 2026-05-01: It only runs once.", None),
        ("x: 1 # yamllint disable-line rule:colons", "no date"),
        ("KEY = 'x'  # pragma: allowlist secret", "no date"),
    ],
)
def test_a_waiver_without_a_good_reason_is_found(line: str, wrong: str | None) -> None:
    match = INLINE.search(line)
    assert match is not None
    found = fault(match["rest"], datetime.date(2026, 5, 2))
    assert found is None if wrong is None else wrong in str(found)


@pytest.mark.parametrize("path", sorted(ROOT.glob("images/*/Dockerfile")), ids=lambda path: path.parent.name)
def test_an_image_starts_from_what_the_toolkit_names_by_content(path: Path) -> None:
    sources = re.findall(r"^FROM\s+(.+)$", path.read_text(), re.MULTILINE | re.IGNORECASE)
    assert sources == ["${BASE}"]
