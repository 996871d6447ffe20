"""Archives for an engine: the same bytes for the same files."""

from __future__ import annotations

import os
import tarfile

from airflow_platform.tools.containers import archives


def content(files):
    with archives.packed(files) as archive:
        return archive.read()


def test_whose_a_file_is_and_since_when_does_not_matter(tmp_path):
    path = tmp_path / "file"
    path.write_text("text")
    path.chmod(0o600)
    first = content({"a/file": path})
    os.utime(path, (1, 1))
    path.chmod(0o644)
    assert content({"a/file": path}) == first == content({"a/file": b"text"})


def test_a_program_stays_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("text")
    path.chmod(0o744)
    with archives.packed({"file": path, "other": b"x"}) as archive, tarfile.open(fileobj=archive) as tar:
        found = {each.name: (each.mode, each.uid, each.mtime, each.size) for each in tar}
    assert found == {"file": (0o755, 0, 0, 4), "other": (0o644, 0, 0, 1)}


def test_order_does_not_matter():
    assert content({"a": b"1", "b": b"2"}) == content({"b": b"2", "a": b"1"})


def test_long_names_need_no_header_that_engines_do_not_know():
    name = "directory/" * 20 + "Dockerfile"
    assert b"PaxHeader" not in content({name: b"FROM x"})
