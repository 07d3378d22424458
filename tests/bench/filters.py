"""What filtering costs, beside parsing the same records: 10,000 of them, with 1 KB of JSON each.

Both in one process, in turns, as CPU time; a ratio is what counts.
"""

from __future__ import annotations

import resource
from base64 import b64decode, b64encode
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec

from esm.filtering.criteria import FilterCriteria, compile_for_kinesis, compile_for_sqs
from esm.records.kinesis import KinesisEventShape, KinesisRecord

__all__ = ["CASES", "filter_table", "ratios"]

RECORDS = 10_000
ROUNDS = 7

CASES: dict[str, list[dict[str, Any]]] = {
    "one leaf": [{"kind": ["order"]}],
    "three leaves, one numeric": [{"kind": ["order"], "price": [{"numeric": [">", 10]}], "to": ["x", "AT"]}],
    "five filters": [{"kind": [kind], "to": [{"prefix": "A"}]} for kind in ("a", "b", "c", "d", "order")],
    "two leaves in an array of seven": [{"lines": {"sku": ["s3"], "count": [{"numeric": [">=", 3]}]}}],
}


def filter_table(records: int = RECORDS, rounds: int = ROUNDS) -> str:
    """Markdown: what each case costs, in times of parsing the same records."""
    rows = [
        f"| {name} | {of_stream:.2f} | {of_queue:.2f} |"
        for name, (of_stream, of_queue) in ratios(records, rounds).items()
    ]
    head = "| Filtering 1 KB of JSON, in times of parsing it | Kinesis data | SQS body |"
    return "\n".join([head, "|---|--:|--:|", *rows]) + "\n"


def ratios(records: int = RECORDS, rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """For each case, the CPU of filtering over that of parsing what the filter is given; medians over the rounds.

    Kinesis data is base64 text, so parsing it decodes that first; an SQS body is JSON text.
    """
    texts = [_body(number) for number in range(records)]
    held = [_record(text, number) for number, text in enumerate(texts)]
    bodies = [text.decode() for text in texts]
    found = {}
    for name, pattern in CASES.items():
        of_stream = [_cpu(_each, _of_stream(pattern), held) / _cpu(_each, _parse_data, held) for _ in range(rounds)]
        of_queue = [_cpu(_each, _of_queue(pattern), bodies) / _cpu(_each, _parse, bodies) for _ in range(rounds)]
        found[name] = median(of_stream), median(of_queue)
    return found


_parse = msgspec.json.Decoder().decode


def _parse_data(record: KinesisRecord) -> Any:
    return _parse(b64decode(record.data))


def _of_stream(patterns: list[dict[str, Any]]) -> Callable[[KinesisRecord], bool]:
    shape = KinesisEventShape(shard_id="s", event_source_arn="arn", region="r", role_arn="role")
    return compile_for_kinesis(FilterCriteria([{"data": pattern} for pattern in patterns], "kinesis"), shape)


def _of_queue(patterns: list[dict[str, Any]]) -> Callable[[str], bool]:
    matches = compile_for_sqs(FilterCriteria([{"body": pattern} for pattern in patterns], "sqs"))
    return lambda body: matches(body, {})


def _each(work: Callable[[Any], Any], items: list[Any]) -> None:
    for item in items:
        work(item)


def _cpu(work: Callable[..., None], *arguments: Any) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    work(*arguments)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _body(number: int) -> bytes:
    lines = [{"sku": f"s{i}", "count": (number + i) % 5, "note": "x" * 60} for i in range(7)]
    kind = "order" if number % 2 else "other"
    order = {"kind": kind, "price": number % 40, "to": "AT", "lines": lines, "id": number, "text": "y" * 220}
    return msgspec.json.encode(order)


def _record(body: bytes, number: int) -> KinesisRecord:
    return KinesisRecord(data=b64encode(body).decode(), key="k", sequence_number=str(number))
