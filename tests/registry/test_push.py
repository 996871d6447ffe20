"""`inv push` against a real registry, with ECR's login from moto."""

from __future__ import annotations


def test_what_is_missing_is_pushed_and_the_second_push_changes_nothing(toolkit, proxy) -> None:
    first = toolkit.run("push", "--env=stage")
    assert first.code == 0, first.error
    print(first)
    again = toolkit.run("push", "--env=stage")
    assert again.code == 0
    print(again)
