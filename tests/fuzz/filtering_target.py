"""A target for coverage-guided fuzzing of patterns and bodies.

Any text is refused as a pattern with a `MappingError` or compiles; any record then gets an answer, the same one in
every way of asking and by the slow matcher of the tests, within 50 ms. README.md beside this file says how to run it.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import atheris  # type: ignore[import-untyped]  # has no types, and is installed for fuzzing alone

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["esm.filtering"]):
    from esm.errors import MappingError
    from esm.filtering.address import address
    from esm.filtering.criteria import FilterCriteria, compile_for_kinesis, compile_for_sqs
    from esm.filtering.lint import lint
    from esm.records.kinesis import KinesisEventShape, KinesisRecord
    from tests.unit.filtering import oracle

SHAPE = KinesisEventShape(shard_id="shardId-000000000000", event_source_arn="arn", region="eu-west-1", role_arn="role")

LIMIT_S = 0.050
"""CPU time that a record may take."""

_YARDSTICK_S = 0.0052
"""What the yardstick takes on the machine that the limit is for, when nothing else runs there (measured)."""

_ORACLE_MOST = 150  # characters of a pattern and of a body up to which the slow matcher ends soon
_EXACT = 2**53


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
    of_message, of_record = compile_for_sqs(queue), compile_for_kinesis(stream, SHAPE)
    answers = [
        _in_time(lambda: of_message(message["body"], {}), data),
        _in_time(lambda: queue.matches(message), data),
        queue.explain(message) == "Filter 1 matches.",
    ]
    of_json = [
        _in_time(lambda: of_record(record), data),
        stream.matches(item),
        stream.explain(item) == "Filter 1 matches.",
        *_slowly(text, body),
    ]
    if len({*answers}) > 1 or len({*of_json}) > 1:
        raise AssertionError(data)


def _in_time(asked: Callable[[], bool], data: bytes) -> bool:
    """The answer; measured again beside a yardstick when it seems late, because the machine may be."""
    began = process_time()
    answer = asked()
    spent = process_time() - began
    for _ in range(5):
        if spent <= LIMIT_S:
            return answer
        slowness = max(1.0, _seconds(_yardstick) / _YARDSTICK_S)
        spent = _seconds(asked) / slowness
    if spent <= LIMIT_S:
        return answer
    raise AssertionError(f"{spent * 1000:.0f} ms for {data!r}")


def _seconds(work: Callable[[], Any]) -> float:
    began = process_time()
    work()
    return process_time() - began


@atheris.instrument_func  # type: ignore[untyped-decorator]  # slowed down like the code that is measured
def _yardstick() -> int:
    return sum(hash(str(number)) & 1 for number in range(30_000))


def _slowly(text: str, body: bytes) -> list[bool]:
    """What the slow matcher says; nothing where it takes too long, or reads JSON in another way than the library."""
    if max(len(text), len(body)) > _ORACLE_MOST:
        return []
    try:
        pattern, document = (
            json.loads(each, parse_constant=_refuse, object_pairs_hook=_once) for each in (text, body.decode())
        )
        if isinstance(document, (dict, list)) and "cidr" not in text and _is_plain(pattern) and _is_plain(document):
            return [oracle.matches(pattern, document)]
    except (ValueError, RecursionError, AttributeError, TypeError):  # the last two: a `$or` that is a leaf
        pass
    return []


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keys that stand twice mean something else to a pattern than to a dict."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is shallow, without addresses and halves of letters, and its numbers are integers."""
    if isinstance(value, dict):
        return depth < 20 and all(_is_plain(each, depth + 1) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return depth < 20 and all(_is_plain(each, depth + 1) for each in value)
    if isinstance(value, str):
        return address(value) is None and all(letter < "\ud800" for letter in value)
    return value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) <= _EXACT)


if __name__ == "__main__":
    atheris.Setup(sys.argv, ask)
    atheris.Fuzz()
