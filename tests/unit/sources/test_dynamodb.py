"""What the reader of a table's stream does otherwise than that of a Kinesis stream, against prepared answers."""

from __future__ import annotations

from collections import deque

import msgspec
import pytest

from esm.aws.dynamodb_streams_api import StreamPage, TableRecords
from esm.aws.kinesis_api import ListedShard, SequenceNumberRange
from esm.errors import SourceError
from esm.records.dynamodb import Change, DynamoDBRecord
from esm.records.position import Position
from esm.records.record import Page, Shard
from esm.sources.dynamodb import DynamoDBShardReader, DynamoDBSource
from tests.unit.sources.told import EXPIRED, TRIMMED, StoppedClock, now

Answer = TableRecords | SourceError


class Told:
    """A `DynamoDBStreamsApi` of prepared answers that notes what it is asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.opened: list[tuple[str, str | None]] = []
        self.pages: dict[str | None, StreamPage] = {}
        self.refusals: deque[SourceError] = deque()

    async def get_shard_iterator(
        self, stream_arn: str, shard_id: str, iterator_type: str, *, sequence_number: str | None = None
    ) -> str:
        self.opened.append((iterator_type, sequence_number))
        if self.refusals:
            raise self.refusals.popleft()
        return "opened"

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[TableRecords, int]:
        answer = self.answers.popleft()
        if isinstance(answer, SourceError):
            raise answer
        return answer, 1000

    async def describe_stream(self, stream_arn: str, exclusive_start_shard_id: str | None) -> StreamPage:
        return self.pages[exclusive_start_shard_id]


def record(number: int, second: int) -> DynamoDBRecord:
    return DynamoDBRecord(Change(str(number), msgspec.Raw(b"{}"), approximate_creation_date_time=second))


def got(*records: tuple[int, int], then: str | None = "next") -> TableRecords:
    return TableRecords([record(*one) for one in records], then)


def source(api: Told, clock: StoppedClock | None = None) -> DynamoDBSource:
    return DynamoDBSource(api, stream_arn="arn", region="r", clock=clock or StoppedClock(10_000))


def reader(api: Told, position: Position, clock: StoppedClock | None = None) -> DynamoDBShardReader:
    return source(api, clock).open("shard", position)


def numbers(page: Page) -> list[int]:
    return [int(one.sequence_number) for one in page.records]


def test_a_time_is_the_oldest_record_kept_without_the_seconds_before() -> None:
    """Nothing says when in its second a record came, so the second itself is kept."""
    api = Told(got((1, 8), (2, 8)), got((3, 8)), got((4, 9), (5, 8), (6, 9)), got((7, 3)))
    shard = reader(api, Position.at_timestamp(9_999))
    assert [numbers(now(shard.read(10))) for _ in range(4)] == [[], [], [4, 5, 6], [7]]
    assert api.opened == [("TRIM_HORIZON", None)]


def test_latest_is_the_tip_at_first_and_its_second_ever_after() -> None:
    api = Told(got(), EXPIRED, got((1, 9), (2, 10)))
    shard = reader(api, Position.latest(10_700), StoppedClock(10_700))
    assert numbers(now(shard.read(10))) == []
    assert numbers(now(shard.read(10))) == [2]
    assert api.opened == [("LATEST", None), ("TRIM_HORIZON", None)]


def test_what_is_passed_over_is_not_read_twice() -> None:
    api = Told(got((1, 1), (2, 1)), EXPIRED, got((2, 1), (3, 1)), got((4, 9)))
    shard = reader(api, Position.at_timestamp(9_000))
    read = [now(shard.read(10)) for _ in range(3)]
    assert [numbers(page) for page in read] == [[], [], [4]]
    assert not any(page.trimmed for page in read)
    assert api.opened == [("TRIM_HORIZON", None), ("AT_SEQUENCE_NUMBER", "2")]


def test_a_settled_record_is_found_again() -> None:
    api = Told(got((7, 1), (8, 1)), got((9, 1), then=None))
    shard = reader(api, Position.after("7"))
    read = [now(shard.read(10)) for _ in range(3)]
    assert api.opened == [("AT_SEQUENCE_NUMBER", "7")]
    assert [(numbers(page), page.ended, page.trimmed) for page in read] == [
        ([8], False, False),
        ([9], True, False),
        ([], True, False),
    ]


@pytest.mark.parametrize("where", ["GetShardIterator", "GetRecords"])
def test_a_position_that_is_no_longer_kept_is_a_gap(where: str) -> None:
    api = Told(got((20, 1)))
    (api.refusals if where == "GetShardIterator" else api.answers).appendleft(TRIMMED)
    page = now(reader(api, Position.after("7")).read(10))
    assert (numbers(page), page.trimmed) == ([20], True)
    assert api.opened == [("AT_SEQUENCE_NUMBER", "7"), ("TRIM_HORIZON", None)]


@pytest.mark.parametrize(
    ("records", "behind"),
    [
        ((), 0),
        (((1, 100),), 0),
        (((1, 99),), 1),  # its second ended before the clock's began
        (((1, 10),), 89_001),
        (((1, 100), (2, 100)), 1),  # a full page: there may be more
        (((1, 101),), 0),
    ],
)
def test_the_distance_to_the_tip(records: tuple[tuple[int, int], ...], behind: int) -> None:
    shard = reader(Told(got(*records)), Position.trim_horizon(), StoppedClock(100_000))
    assert now(shard.read(2)).behind_ms == behind


def test_no_page_names_children() -> None:
    page = now(reader(Told(got(then=None)), Position.trim_horizon()).read(10))
    assert (page.ended, page.children) == (True, ())


def listed(shard_id: str, parent: str | None = None, *, end: str | None) -> ListedShard:
    return ListedShard(shard_id, SequenceNumberRange("1", end), parent)


def test_the_shards_of_all_result_pages() -> None:
    api = Told()
    api.pages = {
        None: StreamPage("ENABLED", shards=[listed("b", "a", end="9")], last_evaluated_shard_id="b"),
        "b": StreamPage("ENABLED", shards=[listed("c", "b", end=None), listed("b", "a", end="9")]),
    }
    assert now(source(api).shards()) == [Shard("b", parents=("a",), closed=True), Shard("c", parents=("b",))]


@pytest.mark.parametrize(
    ("page", "created", "active"),
    [
        (StreamPage("ENABLED", "2026-01-01T00:00:00.000", 1.0), "2026-01-01T00:00:00.000", True),
        (StreamPage("ENABLING", "", 1_700_000_000), "1700000000.000", True),
        (StreamPage("DISABLED", "label"), "label", False),
        (StreamPage("DISABLING"), "", False),
    ],
)
def test_what_tells_a_stream_from_its_namesake(page: StreamPage, created: str, *, active: bool) -> None:
    api = Told()
    api.pages = {None: page}
    description = now(source(api).describe())
    assert (description.created, description.active) == (created, active)


def test_it_is_read_four_times_a_second_and_a_thousand_at_once() -> None:
    table = source(Told())
    assert (table.poll_interval_ms, table.poll_spacing_ms, table.page_records_max) == (250, 0, 1000)


def test_the_shape_of_its_events() -> None:
    table = source(Told())
    item = table.shape("shard").event([record(7, 9)])["Records"][0]
    assert (item["eventSourceARN"], item["awsRegion"]) == ("arn", "r")
    now(table.close())
