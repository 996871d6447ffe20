"""Results that are kept by digest."""

import concurrent.futures

import pytest

from airflow_platform import errors
from airflow_platform.tools import results


@pytest.fixture
def kept(tmp_path):
    return results.Results(tmp_path / "results")


def test_what_is_put_is_got_and_nothing_else(kept):
    kept.put("files", "ab12", {"x": [1, None, "ü"]})
    assert kept.get("files", "ab12") == {"x": [1, None, "ü"]}
    assert kept.get("files", "ab13") is None
    assert kept.get("texts", "ab12") is None


def test_a_result_is_replaced_whole(kept, tmp_path):
    kept.put("files", "ab", 1)
    kept.put("files", "ab", 2)
    assert kept.get("files", "ab") == 2
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_what_is_cut_or_changed_anywhere_is_not_there(kept, tmp_path):
    kept.put("files", "ab", {"key": "value"})
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert kept.get("files", "ab") is None
        path.write_bytes(whole[:end] + b"\xff" + whole[end + 1 :])
        assert kept.get("files", "ab") is None
    path.write_bytes(whole)
    assert kept.get("files", "ab") == {"key": "value"}


def test_many_may_put_the_same_at_once(kept):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: kept.put("files", "ab", "x" * 10_000), range(64)))
    assert kept.get("files", "ab") == "x" * 10_000


def test_nobody_else_reads_results(kept, tmp_path):
    kept.put("files", "ab", 1)
    assert (tmp_path / "results").stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_written_is_named(kept, tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(errors.StateError, match="results"):
        kept.put("files", "ab", 1)
    assert kept.get("files", "ab") is None


def test_a_key_changes_with_each_part():
    keys = [
        results.key("a", 1),
        results.key("a", 2),
        results.key("b", 1),
        results.key("a", [1]),
        results.key("a"),
    ]
    assert len(set(keys)) == 5
    assert results.key("a", {"y": 1, "x": 2}) == results.key("a", {"x": 2, "y": 1})
