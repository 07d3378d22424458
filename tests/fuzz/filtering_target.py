"""A target for coverage-guided fuzzing of patterns and bodies.

Any text is refused as a pattern with a `MappingError` or compiles; any record then gets an answer, the same one in
every way of asking. README.md beside this file says how to run it.
"""

from __future__ import annotations

import sys
from base64 import b64encode

import atheris  # type: ignore[import-untyped]  # has no types, and is installed for fuzzing alone

with atheris.instrument_imports(include=["esm.filtering"]):
    from esm.errors import MappingError
    from esm.filtering.criteria import FilterCriteria, compile_for_kinesis, compile_for_sqs
    from esm.filtering.lint import lint
    from esm.records.kinesis import KinesisEventShape, KinesisRecord

SHAPE = KinesisEventShape(shard_id="shardId-000000000000", event_source_arn="arn", region="eu-west-1", role_arn="role")


def ask(data: bytes) -> None:
    """The input is a pattern and a body, with a zero byte between them."""
    pattern, _, body = data.partition(b"\0")
    text = pattern.decode("utf-8", "replace")
    try:
        queue = FilterCriteria([f'{{"body":{text}}}'], source="sqs")
        lint([f'{{"body":{text}}}'], "sqs")
        stream = FilterCriteria([f'{{"data":{text}}}'], source="kinesis")
    except MappingError as refusal:
        if not refusal.message.startswith("Invalid filter pattern definition. At $"):
            raise
        return
    message = {"body": body.decode("utf-8", "surrogateescape")}
    item = {"kinesis": {"data": b64encode(body).decode()}}
    record = KinesisRecord(data=item["kinesis"]["data"], key="k", sequence_number="1")
    for criteria, whole, fast in (
        (queue, message, compile_for_sqs(queue)(message["body"], {})),
        (stream, item, compile_for_kinesis(stream, SHAPE)(record)),
    ):
        answers = {criteria.matches(whole), fast, criteria.explain(whole) == "Filter 1 matches."}
        if len(answers) > 1:
            raise AssertionError(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, ask)
    atheris.Fuzz()
