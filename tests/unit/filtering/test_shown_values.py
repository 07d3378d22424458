"""What an explanation shows of a record is one printable line."""

from __future__ import annotations

from esm.filtering.criteria import FilterCriteria


def test_control_characters_are_written_out() -> None:
    criteria = FilterCriteria([{"body": {"k": ["x"]}}], "sqs")
    told = criteria.explain({"body": '{"k": "a\\u009bb"}'})
    assert "\\u009b" in told
    assert all(line.isprintable() for line in told.splitlines())
