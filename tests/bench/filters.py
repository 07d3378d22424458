"""What filtering costs, beside parsing the same records: 10,000 of them, with 1 KB of JSON each.

Both in one process, in turns, as CPU time; a ratio is what counts. Parsing is of the JSON text alone: that Kinesis data
has to be decoded from base64 before is counted as filtering. The parser is msgspec's, which esm reads with; beside it
stands what the same costs in times of orjson's and of the standard library's.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
import orjson

from esm.filtering.criteria import FilterCriteria, compile_for_dynamodb, compile_for_kinesis, compile_for_sqs
from esm.records.dynamodb import Change, DynamoDBEventShape, DynamoDBRecord
from esm.records.kinesis import KinesisEventShape, KinesisRecord
from tests.bench.report import machine

__all__ = ["CASES", "PARSERS", "SOURCES", "filter_table", "ratios", "write"]

RECORDS = 10_000
ROUNDS = 7
LIMIT = 1.5

_PREFACE = (__doc__ or "").partition("\n")[2]

CASES: dict[str, list[dict[str, Any]]] = {
    "one leaf": [{"kind": ["order"]}],
    "three leaves, one numeric": [{"kind": ["order"], "price": [{"numeric": [">", 10]}], "to": ["x", "AT"]}],
    "nested leaves": [{"buyer": {"address": {"city": ["Graz"], "zip": [{"prefix": "80"}]}}}],
    "a prefix, a range, no such key": [
        {"to": [{"prefix": "A"}], "price": [{"numeric": ["<", 30]}], "gone": [{"exists": False}]}
    ],
    "`$or` of three keys": [{"$or": [{"kind": ["refund"]}, {"price": [{"numeric": ["<", 20]}]}, {"to": ["DE"]}]}],
    "`$or` of forty values": [{"$or": [{"kind": [f"k{number}"]} for number in range(39)] + [{"kind": ["order"]}]}],
    "five filters": [{"kind": [kind], "to": [{"prefix": "A"}]} for kind in ("a", "b", "c", "d", "order")],
    "five filters of other keys": [
        {"kind": ["refund"]},
        {"to": ["DE"]},
        {"price": [{"numeric": [">", 35]}]},
        {"buyer": {"address": {"city": ["Wien"]}}},
        {"id": [{"numeric": ["<", 0]}]},
    ],
    "two leaves in an array of seven": [{"lines": {"sku": ["s3"], "count": [{"numeric": [">=", 3]}]}}],
    "absence in an array of seven": [{"lines": {"sku": ["s3"], "gone": [{"exists": False}]}}],
}


PARSERS: dict[str, Callable[[bytes], Any]] = {
    "msgspec": msgspec.json.Decoder().decode,
    "orjson": orjson.loads,
    "json": json.loads,
}

SOURCES = ("SQS body", "DynamoDB image", "Kinesis data", "without base64")


def filter_table(records: int = RECORDS, rounds: int = ROUNDS) -> str:
    """Markdown: what each case costs, in times of each parser; bold where it is not below 1.5."""
    found = ratios(records, rounds)
    return "\n".join(_table(parser, found) for parser in PARSERS) + f"\nBold: not below {LIMIT}.\n"


def _table(parser: str, found: dict[str, dict[str, dict[str, float]]]) -> str:
    rows = [
        f"| {name} | {' | '.join(_cell(times[parser][source]) for source in SOURCES)} |"
        for name, times in found.items()
    ]
    head = f"| Filtering 1 KB of JSON, in times of {parser} parsing it | {' | '.join(SOURCES)} |"
    return "\n".join([head, f"|---{'|--:' * len(SOURCES)}|", *rows]) + "\n"


def write(folder: Path) -> Path:
    """Measures, and writes the page: the tables, the machine, and how busy it was."""
    tables, where = filter_table(), machine()
    load = f"{os.getloadavg()[1]:.1f} on {os.cpu_count()} cores"
    page = folder / "filters.md"
    page.write_text(
        f"# What filtering costs\n\n`python -m tests.bench.filters` made this page.\n{_PREFACE}\n{tables}\n"
        f"{where['cpu']}, CPython {where['python']}, orjson {orjson.__version__}. Load of the machine: {load}.\n"
    )
    return page


def _cell(times: float) -> str:
    return f"{times:.2f}" if times < LIMIT else f"**{times:.2f}**"


def ratios(records: int = RECORDS, rounds: int = ROUNDS) -> dict[str, dict[str, dict[str, float]]]:
    """For each case, parser and source, the CPU of filtering over that of parsing; medians over the rounds.

    Kinesis data stands there once more, without what decoding its base64 takes.
    """
    held = _Held.of(records)
    found = {}
    for name, pattern in CASES.items():
        samples = [_sample(pattern, held) for _ in range(rounds)]
        found[name] = {
            parser: {source: median(sample[parser][source] for sample in samples) for source in SOURCES}
            for parser in PARSERS
        }
    return found


class _Held(NamedTuple):
    """The same orders, as each source holds them."""

    texts: list[bytes]
    bodies: list[str]
    images: list[bytes]
    changes: list[DynamoDBRecord]
    records: list[KinesisRecord]

    @classmethod
    def of(cls, records: int) -> _Held:
        texts = [_body(number) for number in range(records)]
        return cls(
            texts=texts,
            bodies=[text.decode() for text in texts],
            images=[_image(text) for text in texts],
            changes=[_change(text) for text in texts],
            records=[_record(text, number) for number, text in enumerate(texts)],
        )


def _sample(pattern: list[dict[str, Any]], held: _Held) -> dict[str, dict[str, float]]:
    parsing = {name: (_cpu(parse, held.texts), _cpu(parse, held.images)) for name, parse in PARSERS.items()}
    queue, table = _cpu(_of_queue(pattern), held.bodies), _cpu(_of_table(pattern), held.changes)
    stream, base64 = _cpu(_of_stream(pattern), held.records), _cpu(_decode, held.records)
    return {
        name: dict(zip(SOURCES, (queue / text, table / image, stream / text, (stream - base64) / text), strict=True))
        for name, (text, image) in parsing.items()
    }


def _decode(record: KinesisRecord) -> bytes:
    return msgspec.convert(record.data, bytes)


def _of_stream(patterns: list[dict[str, Any]]) -> Callable[[KinesisRecord], bool]:
    shape = KinesisEventShape(shard_id="s", event_source_arn="arn", region="r", role_arn="role")
    return compile_for_kinesis(FilterCriteria([{"data": pattern} for pattern in patterns], "kinesis"), shape)


def _of_queue(patterns: list[dict[str, Any]]) -> Callable[[str], bool]:
    matches = compile_for_sqs(FilterCriteria([{"body": pattern} for pattern in patterns], "sqs"))
    item: dict[str, Any] = {}
    return lambda body: matches(body, item)


def _of_table(patterns: list[dict[str, Any]]) -> Callable[[DynamoDBRecord], bool]:
    """The same patterns, with the type tags that an image has."""
    shape = DynamoDBEventShape(event_source_arn="arn", region="r")
    tagged = [{"dynamodb": {"NewImage": _tagged(pattern)}} for pattern in patterns]
    return compile_for_dynamodb(FilterCriteria(tagged, "dynamodb"), shape)


def _tagged(pattern: dict[str, Any]) -> dict[str, Any]:
    return {key: [_tagged(way) for way in each] if key == "$or" else _tag(key, each) for key, each in pattern.items()}


def _tag(key: str, each: Any) -> dict[str, Any]:
    if isinstance(each, dict):
        return {"L": {"M": _tagged(each)}} if key == "lines" else {"M": _tagged(each)}
    if key in {"price", "count", "id"}:  # DynamoDB's numbers are text
        return {"N": ["3", "5", "7", "11"]}
    return {"S": each}


def _cpu(work: Callable[[Any], Any], items: list[Any]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    for item in items:
        work(item)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _body(number: int) -> bytes:
    return msgspec.json.encode(_order(number))


def _order(number: int) -> dict[str, Any]:
    return {
        "kind": "order" if number % 2 else "other",
        "price": number % 40,
        "to": "AT",
        "buyer": {"name": "Ada", "address": {"city": "Graz" if number % 3 else "Linz", "zip": "8010", "no": 5}},
        "lines": [{"sku": f"s{at}", "count": (number + at) % 5, "note": "x" * 40} for at in range(7)],
        "id": number,
        "text": "y" * 320,
    }


def _record(body: bytes, number: int) -> KinesisRecord:
    return KinesisRecord(data=b64encode(body).decode(), key="k", sequence_number=str(number))


def _image(body: bytes) -> bytes:
    """The same order as DynamoDB writes it."""
    return msgspec.json.encode(_attribute(msgspec.json.decode(body))["M"])


def _attribute(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"M": {key: _attribute(each) for key, each in value.items()}}
    if isinstance(value, list):
        return {"L": [_attribute(each) for each in value]}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _change(body: bytes) -> DynamoDBRecord:
    return DynamoDBRecord(Change("1", msgspec.Raw(b'{"id":{"N":"1"}}'), msgspec.Raw(_image(body))), event_name="INSERT")


if __name__ == "__main__":
    sys.stdout.write(write(Path(__file__).parent / "results").read_text())
