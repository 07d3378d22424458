"""The shard reader's decisions, against calls that answer as they are told. No loop runs: nothing here waits."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from esm.aws.kinesis_api import (
    ChildShard,
    GetRecordsOutput,
    ListedShard,
    ListShardsOutput,
    SequenceNumberRange,
    StreamSummary,
)
from esm.errors import (
    IteratorExpiredError,
    PositionTrimmedError,
    SourceDeniedError,
    SourceError,
    SourceNotFoundError,
    SourceThrottledError,
)
from esm.records.position import Position
from esm.records.record import Page, Shard
from esm.sources.kinesis import KinesisSource
from tests.unit.sources.told import (
    EXPIRED,
    FAULT,
    TRIMMED,
    Rest,
    StoppedClock,
    Told,
    got,
    now,
    numbers,
    reader,
    records,
    source,
)


def test_iterators_follow_each_other() -> None:
    api = Told(got(1, 2, then="a"), got(then="b"), got(3, then="c"))
    shard = reader(api, Position.trim_horizon())
    assert [numbers(now(shard.read(10))) for _ in range(3)] == [[1, 2], [], [3]]
    assert api.opened == [("TRIM_HORIZON", None)]
    assert api.read == ["opened-1", "a", "b"]


def test_nothing_is_called_before_the_first_read() -> None:
    api = Told()
    reader(api, Position.trim_horizon())
    assert (api.opened, api.read) == ([], [])


def test_the_settled_record_is_read_again_and_dropped() -> None:
    api = Told(got(then="a"), got(7, 8, 9, then="b"), got(10))
    shard = reader(api, Position.after("7"))
    read = [now(shard.read(10)) for _ in range(3)]
    assert api.opened == [("AT_SEQUENCE_NUMBER", "7")]
    assert [numbers(page) for page in read] == [[], [8, 9], [10]]
    assert not any(page.trimmed for page in read)


def test_another_record_in_its_place_means_a_gap() -> None:
    api = Told(got(then="a"), got(1000, 1001, then="b"), got(1002))
    shard = reader(api, Position.after("7"))
    read = [now(shard.read(10)) for _ in range(3)]
    assert [numbers(page) for page in read] == [[], [1000, 1001], [1002]]
    assert [page.trimmed for page in read] == [False, True, False]


def test_numbers_are_compared_as_integers() -> None:
    api = Told(got(10, 11))
    page = now(reader(api, Position.after("0009")).read(10))
    assert (numbers(page), page.trimmed) == ([10, 11], True)
    page = now(reader(Told(got(9, 10)), Position.after("0009")).read(10))
    assert (numbers(page), page.trimmed) == ([10], False)


def test_what_lies_before_the_settled_record_is_dropped_too() -> None:
    api = Told(got(5, 6), got(7), got(8))
    shard = reader(api, Position.after("7"))
    read = [now(shard.read(10)) for _ in range(3)]
    assert [(numbers(page), page.trimmed) for page in read] == [([], False), ([], False), ([8], False)]


@pytest.mark.parametrize(("last", "trimmed"), [((7,), False), ((), True)])
def test_a_shard_that_ends_without_the_settled_record(last: tuple[int, ...], *, trimmed: bool) -> None:
    page = now(reader(Told(got(*last, then=None)), Position.after("7")).read(10))
    assert (numbers(page), page.ended, page.trimmed) == ([], True, trimmed)


def test_the_end_stays_the_end() -> None:
    last = got(1, then=None)
    last.child_shards = [ChildShard("b", ["a"]), ChildShard("c", ["a"])]
    api = Told(last)
    shard = reader(api, Position.trim_horizon())
    page = now(shard.read(10))
    assert (page.ended, page.children, page.size_bytes) == (True, ("b", "c"), 1000)
    assert now(shard.read(10)) == Page([], ended=True)
    assert len(api.read) == 1


def test_an_expired_iterator_is_replaced_within_the_call() -> None:
    api = Told(got(1, 2), EXPIRED, got(2, 3))
    shard = reader(api, Position.trim_horizon())
    assert [numbers(now(shard.read(10))) for _ in range(2)] == [[1, 2], [3]]
    assert api.opened == [("TRIM_HORIZON", None), ("AT_SEQUENCE_NUMBER", "2")]


def test_a_gap_is_seen_after_an_expired_iterator_too() -> None:
    api = Told(got(1, 2), EXPIRED, got(9))
    shard = reader(api, Position.trim_horizon())
    now(shard.read(10))
    assert now(shard.read(10)).trimmed


def test_an_expired_iterator_is_replaced_once_a_call() -> None:
    api = Told(EXPIRED, EXPIRED, got(1))
    shard = reader(api, Position.trim_horizon())
    with pytest.raises(IteratorExpiredError):
        now(shard.read(10))
    assert numbers(now(shard.read(10))) == [1]
    assert len(api.opened) == 3


def test_before_the_first_record_an_expired_iterator_goes_back_to_the_start() -> None:
    api = Told(got(), EXPIRED, got(1), got(8), EXPIRED, got())
    assert numbers(now((first := reader(api, Position.at_timestamp(1500))).read(10))) == []
    assert numbers(now(first.read(10))) == [1]
    assert api.opened == [("AT_TIMESTAMP", 1.5), ("AT_TIMESTAMP", 1.5)]


@pytest.mark.parametrize("where", ["GetShardIterator", "GetRecords"])
def test_a_position_that_is_no_longer_kept(where: str) -> None:
    api = Told(got(then="a"), got(20, 21), got(22))
    if where == "GetShardIterator":
        api.iterators.append(TRIMMED)
    else:
        api.answers.appendleft(TRIMMED)
    shard = reader(api, Position.after("7"))
    read = [now(shard.read(10)) for _ in range(3)]
    assert api.opened == [("AT_SEQUENCE_NUMBER", "7"), ("TRIM_HORIZON", None)]
    assert [(numbers(page), page.trimmed) for page in read] == [([], False), ([20, 21], True), ([22], False)]


def test_a_start_that_is_no_longer_kept_is_a_gap() -> None:
    api = Told(TRIMMED, got(20))
    page = now(reader(api, Position.at_timestamp(1500)).read(10))
    assert (numbers(page), page.trimmed) == ([20], True)
    assert api.opened == [("AT_TIMESTAMP", 1.5), ("TRIM_HORIZON", None)]


def test_a_gap_is_known_while_iterators_expire() -> None:
    api = Told(TRIMMED, EXPIRED, EXPIRED, got(20))
    shard = reader(api, Position.after("7"))
    with pytest.raises(IteratorExpiredError):
        now(shard.read(10))
    page = now(shard.read(10))
    assert (numbers(page), page.trimmed) == ([20], True)
    assert api.opened == [("AT_SEQUENCE_NUMBER", "7"), *[("TRIM_HORIZON", None)] * 3]


def test_trimmed_twice_is_raised() -> None:
    api = Told(TRIMMED, TRIMMED)
    with pytest.raises(PositionTrimmedError):
        now(reader(api, Position.trim_horizon()).read(10))


def test_a_fault_leaves_the_place_as_it_is() -> None:
    api = Told(got(1, then="a"), FAULT, FAULT, got(2))
    shard = reader(api, Position.trim_horizon())
    now(shard.read(10))
    for _ in range(2):
        with pytest.raises(SourceError):
            now(shard.read(10))
    assert numbers(now(shard.read(10))) == [2]
    assert api.read == ["opened-1", "a", "a", "a"]


def test_an_iterator_that_keeps_failing_is_replaced() -> None:
    api = Told(got(1, then="a"), FAULT, FAULT, FAULT, got(1, 2))
    shard = reader(api, Position.trim_horizon())
    now(shard.read(10))
    for _ in range(3):
        with pytest.raises(SourceError):
            now(shard.read(10))
    assert numbers(now(shard.read(10))) == [2]
    assert api.opened[1:] == [("AT_SEQUENCE_NUMBER", "1")]


def test_failures_count_only_in_a_row() -> None:
    api = Told(FAULT, FAULT, got(then="a"), FAULT, FAULT, got(1))
    shard = reader(api, Position.trim_horizon())
    for failing in (True, True, False, True, True):
        with pytest.raises(SourceError) if failing else nullcontext():
            now(shard.read(10))
    assert numbers(now(shard.read(10))) == [1]
    assert len(api.opened) == 1


def test_what_could_not_be_opened_says_nothing_about_the_iterator_that_could() -> None:
    api = Told(FAULT, got(1))
    api.iterators.extend([FAULT, FAULT])
    shard = reader(api, Position.trim_horizon())
    for _ in range(3):
        with pytest.raises(SourceError):
            now(shard.read(10))
    assert numbers(now(shard.read(10))) == [1]
    assert len(api.opened) == 3


def test_the_settled_record_is_looked_for_in_all_parts_of_an_answer() -> None:
    api = Told(GetRecordsOutput(records(3, 4), "a", 0, rest=Rest(5, 6)))
    page = now(reader(api, Position.after("5")).read_in_parts(10))
    assert (numbers(page), page.trimmed, page.rest) == ([6], False, None)


@pytest.mark.parametrize("kind", [SourceThrottledError, SourceDeniedError])
def test_a_throttle_or_refusal_says_nothing_about_the_iterator(kind: type[SourceError]) -> None:
    api = Told(*[kind("X", "no")] * 5, got(1))
    shard = reader(api, Position.trim_horizon())
    for _ in range(5):
        with pytest.raises(kind):
            now(shard.read(10))
    assert numbers(now(shard.read(10))) == [1]
    assert len(api.opened) == 1


def test_a_shard_that_is_gone_is_raised() -> None:
    api = Told()
    api.iterators.append(SourceNotFoundError("ResourceNotFoundException", "gone"))
    with pytest.raises(SourceNotFoundError):
        now(reader(api, Position.trim_horizon()).read(10))


def test_the_distance_to_the_tip() -> None:
    clock = StoppedClock(10_000)
    api = Told(got(1, behind=4000), got(2, behind=None), got(behind=None))
    shard = reader(api, Position.trim_horizon(), clock)
    assert [now(shard.read(10)).behind_ms for _ in range(3)] == [4000, 8500, 0]


def listed(shard_id: str, parent: str | None = None, adjacent: str | None = None, *, end: str | None) -> ListedShard:
    return ListedShard(shard_id, SequenceNumberRange("1", end), parent, adjacent)


def test_the_shards_of_all_result_pages() -> None:
    api = Told()
    api.pages = [
        ListShardsOutput([listed("a", end="9"), listed("b", "a", end="9")], "1"),
        ListShardsOutput([listed("b", "a", end="9"), listed("c", "a", end="9")], "2"),
        ListShardsOutput([listed("d", "b", "c", end=None)], None),
    ]
    assert now(source(api).shards()) == [
        Shard("a", closed=True),
        Shard("b", parents=("a",), closed=True),
        Shard("c", parents=("a",), closed=True),
        Shard("d", parents=("b", "c")),
    ]


def test_a_list_without_an_end() -> None:
    api = Told()
    api.pages = [ListShardsOutput([listed("a", end=None)], "0")]
    with pytest.raises(SourceError):
        now(source(api).shards())


@pytest.mark.parametrize(
    ("summary", "created", "active"),
    [
        (StreamSummary("ACTIVE", 1_700_000_000.5), "1700000000.500", True),
        (StreamSummary("UPDATING", 1_700_000_000), "1700000000.000", True),
        (StreamSummary("CREATING"), "", False),
        (StreamSummary("DELETING", 1.0), "1.000", False),
    ],
)
def test_what_tells_a_stream_from_its_namesake(summary: StreamSummary, created: str, *, active: bool) -> None:
    api = Told()
    api.summary = summary
    description = now(source(api).describe())
    assert (description.created, description.active) == (created, active)


def test_the_shape_of_its_events() -> None:
    stream = KinesisSource(
        Told(), stream_arn="s", event_source_arn="consumer", region="r", role_arn="role", clock=StoppedClock(0)
    )
    item = stream.shape("shard-1").event(records(7))["Records"][0]
    assert item["eventSourceARN"] == "consumer"
    assert item["eventID"] == "shard-1:7"
    assert (item["awsRegion"], item["invokeIdentityArn"]) == ("r", "role")
    now(stream.close())
