"""`esm filter`: what filters do with records, and what is wrong with them, as somebody who wonders types it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from esm.cli.exits import Exit
from tests.surface.typed import Esm

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2024-01-01T00:00:00.000"
ORDERS = '{"data": {"kind": ["order"], "total": [{"numeric": [">", 100]}]}}'
REFUNDS = '{"data": {"kind": ["refund"]}}'
UNTAGGED = '{"dynamodb": {"NewImage": {"status": ["paid"]}}}'
KINESIS = ("--source", "kinesis", "--pattern")
APP = f"""
import esm

async def handle(event, context): pass
async def audit(event, context): pass

def make(arn, function, **settings):
    return esm.EventSourceMapping(event_source_arn=arn, function=function, starting_position="LATEST", **settings)

orders = make("{STREAM}", handle, filter_criteria=[{ORDERS}, {REFUNDS}])
unfiltered = make("{STREAM}", handle)
untagged = make("{TABLE}", audit, filter_criteria=[{UNTAGGED}])
mappings = [orders, untagged]
def broken(): return make("{STREAM}", handle, filter_criteria=[{REFUNDS}, {{"data": {{"kind": [{{"prefx": "o"}}]}}}}])
"""


def item(data: Any, number: int = 1) -> dict[str, Any]:
    """An item of a Kinesis event's `Records`."""
    text = b64encode(json.dumps(data).encode()).decode()
    return {"eventID": f"shardId-000000000000:{number}", "eventSource": "aws:kinesis", "kinesis": {"data": text}}


SMALL = item({"kind": "order", "total": 12})
LARGE = item({"kind": "order", "total": 120}, 2)
REFUND = item({"kind": "refund"}, 3)
NO_OBJECT = item(3, 4)


def test_the_leaf_that_failed_is_named_in_words(esm_: Esm) -> None:
    (esm_.folder / "record.json").write_text(json.dumps(SMALL, indent=2))
    ended = esm_("filter", "explain", *KINESIS, ORDERS, "--pattern", REFUNDS, "--record", "record.json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "record 1, shardId-000000000000:1: is dropped. No filter matches.",
        "  Filter 1: data.total is 12, expected numeric > 100.",
        '  Filter 2: data.kind is "order", expected "refund".',
    ]


def test_json_lines_on_stdin(esm_: Esm) -> None:
    lines = "\n".join(map(json.dumps, (LARGE, REFUND, NO_OBJECT)))
    ended = esm_("filter", "explain", *KINESIS, ORDERS, "--pattern", REFUNDS, "--record", "-", typed=lines)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "record 1, shardId-000000000000:2: passes. Filter 1 matches.",
        "record 2, shardId-000000000000:3: passes. Filter 2 matches.",
        "record 3, shardId-000000000000:4: is dropped. No filter matches.",
        "  Filter 1: data is not a JSON object or array, and the filter looks inside it.",
        "  Filter 2: data is not a JSON object or array, and the filter looks inside it.",
        "2 of 3 records pass",
    ]


def test_a_whole_event_and_the_filters_of_a_mapping(esm_: Esm) -> None:
    esm_.app(APP)
    event = json.dumps({"Records": [SMALL, LARGE]})
    ended = esm_("filter", "explain", "app:mappings", "--only", "handle", "--record", "-", "--json", typed=event)
    assert [json.loads(line) for line in ended.out.splitlines()] == [
        {
            "record": 1,
            "id": "shardId-000000000000:1",
            "passes": False,
            "reasons": [
                "No filter matches.",
                "Filter 1: data.total is 12, expected numeric > 100.",
                'Filter 2: data.kind is "order", expected "refund".',
            ],
        },
        {"record": 2, "id": "shardId-000000000000:2", "passes": True, "reasons": ["Filter 1 matches."]},
    ]


def test_a_mapping_without_filters_lets_all_pass(esm_: Esm) -> None:
    esm_.app(APP)
    ended = esm_("filter", "explain", "app:unfiltered", "--record", "-", typed=json.dumps(SMALL))
    assert ended.out == "record 1, shardId-000000000000:1: passes. There is no filter: every record passes.\n"


def test_patterns_from_a_file(esm_: Esm) -> None:
    (esm_.folder / "refunds.json").write_text(REFUNDS)
    ended = esm_("filter", "explain", *KINESIS, "@refunds.json", "--record", "-", typed=json.dumps(REFUND))
    assert ended.out.endswith("passes. Filter 1 matches.\n")
    missing = esm_("filter", "lint", *KINESIS, "@refund.json")
    assert missing.code == Exit.INVALID
    assert missing.line == "esm: --pattern='@refund.json': No such file or directory"


def test_a_record_cannot_write_to_the_terminal(esm_: Esm) -> None:
    hostile = {**item({"kind": "\x1b[2J\u009b2J\ud800\u2028"}), "eventID": "\x1b[2J\u009b2J"}
    ended = esm_("filter", "explain", *KINESIS, REFUNDS, "--record", "-", typed=json.dumps(hostile))
    assert ended.code == 0
    assert ended.out.replace("\n", "").isprintable()


RECORDS = [
    ("", "--record='-': holds no record"),
    ('{"kinesis": {}}\n{"kin', "--record='-': is not JSON at line 2"),
    ('{"kind": "order"}', "record 1 is none of kinesis: it has no 'kinesis'"),
    ("[1]", "record 1 is none of kinesis"),
    ("[" * 100_000, "--record='-': is nested too deep"),
]


@pytest.mark.parametrize(("typed", "said"), RECORDS, ids=range(len(RECORDS)))
def test_what_is_no_record(esm_: Esm, typed: str, said: str) -> None:
    ended = esm_("filter", "explain", *KINESIS, REFUNDS, "--record", "-", typed=typed)
    assert ended.code == Exit.INVALID
    assert said in ended.line


def test_records_that_are_no_text(esm_: Esm) -> None:
    (esm_.folder / "records").write_bytes(b"\xff\xfe{}")
    ended = esm_("filter", "explain", *KINESIS, REFUNDS, "--record", "records")
    assert (ended.code, ended.line) == (Exit.INVALID, "esm: --record='records': is not UTF-8 at byte 0")


WRONG = [
    ((), "MODULE:OBJECT, or --source and --pattern"),
    (("app:mappings", *KINESIS, REFUNDS), "MODULE:OBJECT, or --source and --pattern"),
    (("--pattern", REFUNDS), "MODULE:OBJECT, or --source and --pattern"),
    (("--source", "kineses", "--pattern", REFUNDS), "'kineses'"),
    (("app:mapings",), "near to it: mappings"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_wrong_usage(esm_: Esm, arguments: tuple[str, ...], said: str) -> None:
    esm_.app(APP)
    ended = esm_("filter", "lint", *arguments)
    assert ended.code in {Exit.INVALID, Exit.HANDLER_NOT_FOUND}
    assert said in ended.line


def test_records_are_explained_for_one_mapping(esm_: Esm) -> None:
    esm_.app(APP)
    ended = esm_("filter", "explain", "app:mappings", "--record", "-", typed=json.dumps(SMALL))
    assert ended.code == Exit.INVALID
    assert "choose with --only: handle < " in ended.line


BAD = '{"dynamodb": {"NewImage": {"id": {"S": [{"prefx": "x"}]}}}}'


@pytest.mark.parametrize("command", [("lint",), ("explain", "--record", "-")])
def test_a_pattern_that_aws_refuses(esm_: Esm, command: tuple[str, ...]) -> None:
    arguments = ("--source", "dynamodb", "--pattern", '{"eventName": ["INSERT"]}', "--pattern", BAD)
    ended = esm_("filter", *command, *arguments, typed='{"dynamodb": {}}')
    assert ended.code == Exit.INVALID
    assert f"filter_criteria='{BAD}': Invalid filter pattern definition." in ended.line
    assert "At $.dynamodb.NewImage.id.S[0].prefx: expected one of anything-but, " in ended.line


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("plan", ()),
        ("plan", ("--json",)),
        ("run", ("--endpoint-url", "http://127.0.0.1:9")),
        ("filter lint", ()),
    ],
)
def test_a_bad_pattern_of_a_mapping_is_refused_by_every_command_in_the_same_words(
    esm_: Esm, command: str, more: tuple[str, ...]
) -> None:
    esm_.app(APP)
    ended = esm_(*command.split(), "app:broken", *more)
    assert ended.code == Exit.INVALID
    assert "Invalid filter pattern definition. At $.data.kind[0].prefx: expected one of" in ended.line
    assert "'prefx'" in ended.line


def test_lint_warns_of_what_never_matches(esm_: Esm) -> None:
    ended = esm_("filter", "lint", "--source", "dynamodb", "--pattern", UNTAGGED)
    assert (ended.code, ended.err) == (Exit.FINDINGS, "")
    assert ended.out.startswith("filter 1, $.dynamodb.NewImage.status: never matches; ")
    assert 'write {"S": [...]}' in ended.out


def test_lint_warns_of_what_always_matches(esm_: Esm) -> None:
    everything = '{"eventName": ["INSERT", "MODIFY", "REMOVE"]}'
    ended = esm_("filter", "lint", "--source", "dynamodb", "--pattern", everything, "--json")
    assert ended.code == Exit.FINDINGS
    (found,) = json.loads(ended.out)
    assert found == {
        "mapping": None,
        "filter": 1,
        "place": "$.eventName",
        "effect": "always",
        "message": "every eventName fits",
    }


def test_lint_of_mappings_names_the_mapping(esm_: Esm) -> None:
    esm_.app(APP)
    ended = esm_("filter", "lint", "app:mappings")
    assert ended.code == Exit.FINDINGS
    assert ended.out.startswith(f"audit < {TABLE}: filter 1, $.dynamodb.NewImage.status: never matches; ")
    assert ended.out.count("\n") == 1
    fine = esm_("filter", "lint", "app:mappings", "--only", "handle")
    assert (fine.code, fine.out) == (0, "nothing to warn of in 2 filters\n")
    assert json.loads(esm_("filter", "lint", "app:orders", "--json").out) == []


def test_plan_shows_filters_and_what_is_suspicious_about_them(esm_: Esm) -> None:
    esm_.app(APP)
    text = esm_("plan", "app:mappings").out
    assert f"  filter_criteria = [{ORDERS}, {REFUNDS}]  *\n" in text
    assert "  ! filter 1, $.dynamodb.NewImage.status: never matches; " in text
    orders, untagged = json.loads(esm_("plan", "app:mappings", "--json").out)
    assert [each["Pattern"] for each in orders["FilterCriteria"]["Filters"]] == [ORDERS, REFUNDS]
    assert (len(orders["FilterWarnings"]), len(untagged["FilterWarnings"])) == (0, 1)
