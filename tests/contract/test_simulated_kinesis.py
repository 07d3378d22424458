"""What every Kinesis answers: one set of checks for the simulation and for local servers over real HTTP.

The simulation is only worth what it shares with the real service. Where a server is known to differ from AWS, it is
named in `DEVIATIONS`, and the check must fail there: a deviation that is mended shows.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiobotocore.session import get_session

from esm.aws.kinesis_api import GetRecordsOutput, ListedShard
from esm.aws.session import AwsSession
from esm.errors import SourceError, SourceNotFoundError
from esm.records.kinesis import KinesisRecord
from esm.testing.run import run
from tests.contract.kinesis_services import REGION, Server, Service, Simulation

UNKNOWN = f"arn:aws:kinesis:{REGION}:000000000000:stream/nowhere"


async def _shards(service: Service, arn: str) -> list[ListedShard]:
    shards: list[ListedShard] = []
    token = None
    while True:
        page = await service.api.list_shards(arn, token)
        shards += page.shards
        token = page.next_token
        if token is None:
            return sorted(shards, key=lambda shard: shard.shard_id)


async def _iterator(service: Service, arn: str, number: int = 0, kind: str = "TRIM_HORIZON", **place: Any) -> str:
    return await service.api.get_shard_iterator(arn, f"shardId-{number:012d}", kind, **place)


async def _read(service: Service, arn: str, iterator: str | None, limit: int = 1_000) -> GetRecordsOutput:
    assert iterator is not None
    output, size = await service.api.get_records(arn, iterator, limit)
    assert size >= sum(len(record.data) for record in output.records)
    return output


async def _records(
    service: Service, arn: str, number: int = 0, kind: str = "TRIM_HORIZON", **place: Any
) -> list[KinesisRecord]:
    return (await _read(service, arn, await _iterator(service, arn, number, kind, **place))).records


async def _put(service: Service, arn: str, count: int) -> list[str]:
    return [(await service.put(arn, b"%d" % n, "key"))[1] for n in range(count)]


async def new_shards_are_open_and_have_no_parents(service: Service) -> None:
    shards = await _shards(service, await service.create(3))
    assert [shard.shard_id for shard in shards] == [f"shardId-{n:012d}" for n in range(3)]
    for shard in shards:
        assert shard.parent_shard_id is shard.adjacent_parent_shard_id is None
        assert shard.sequence_number_range.starting_sequence_number.isdecimal()
        assert shard.sequence_number_range.ending_sequence_number is None


async def a_summary_tells_state_and_age(service: Service) -> None:
    arn = await service.create(1)
    await service.put(arn, b"", "key")
    (record,) = await _records(service, arn)
    summary = await service.api.describe_stream_summary(arn)
    assert summary.stream_status == "ACTIVE"
    assert record.arrived - 60 < summary.stream_creation_timestamp <= record.arrived
    assert summary.retention_period_hours == 24
    assert summary.answered_at is not None
    assert record.arrived - 60 < summary.answered_at / 1000 < record.arrived + 60


async def sequence_numbers_increase(service: Service) -> None:
    numbers = await _put(service, await service.create(1), 5)
    assert all(number.isdecimal() for number in numbers)
    assert sorted(set(numbers), key=int) == numbers


async def sequence_numbers_have_56_digits(service: Service) -> None:
    (number,) = await _put(service, await service.create(1), 1)
    assert len(number) == 56


async def a_key_goes_where_its_md5_lies(service: Service) -> None:
    arn = await service.create(2)
    # MD5("a") = 0cc1..., MD5("b") = 92eb...
    assert (await service.put(arn, b"", "a"))[0] == "shardId-000000000000"
    assert (await service.put(arn, b"", "b"))[0] == "shardId-000000000001"


async def what_was_put_is_read_in_order(service: Service) -> None:
    arn = await service.create(1)
    numbers = await _put(service, arn, 4)
    records = await _records(service, arn)
    assert [record.sequence_number for record in records] == numbers
    assert [b64decode(record.data) for record in records] == [b"0", b"1", b"2", b"3"]
    assert {record.key for record in records} == {"key"}
    arrivals = [record.arrived_at for record in records]
    assert arrivals == sorted(arrivals)
    assert arrivals[0] > 1_700_000_000_000


async def bytes_and_keys_come_through_untouched(service: Service) -> None:
    arn = await service.create(1)
    await service.put(arn, bytes(range(256)), "schlüssel \U0001f511")
    (record,) = await _records(service, arn)
    assert b64decode(record.data) == bytes(range(256))
    assert record.key == "schlüssel \U0001f511"


async def latest_is_what_comes_later(service: Service) -> None:
    arn = await service.create(1)
    await _put(service, arn, 2)
    iterator = await _iterator(service, arn, kind="LATEST")
    assert (await _read(service, arn, iterator)).records == []
    (number,) = await _put(service, arn, 1)
    assert [record.sequence_number for record in (await _read(service, arn, iterator)).records] == [number]


async def at_and_after_a_sequence_number(service: Service) -> None:
    arn = await service.create(1)
    numbers = await _put(service, arn, 4)
    at = await _records(service, arn, kind="AT_SEQUENCE_NUMBER", sequence_number=numbers[1])
    after = await _records(service, arn, kind="AFTER_SEQUENCE_NUMBER", sequence_number=numbers[1])
    last = await _records(service, arn, kind="AFTER_SEQUENCE_NUMBER", sequence_number=numbers[3])
    assert [record.sequence_number for record in at] == numbers[1:]
    assert [record.sequence_number for record in after] == numbers[2:]
    assert last == []


async def at_timestamp_is_the_first_at_or_after_it(service: Service) -> None:
    arn = await service.create(1)
    await _put(service, arn, 1)
    while True:
        await _put(service, arn, 1)
        records = await _records(service, arn)
        if records[0].arrived < records[-1].arrived:
            break
    late = [record for record in records if record.arrived >= records[-1].arrived]
    assert await _records(service, arn, kind="AT_TIMESTAMP", timestamp=records[-1].arrived) == late
    assert await _records(service, arn, kind="AT_TIMESTAMP", timestamp=records[0].arrived - 5) == records


async def limits_are_kept_and_iterators_read_again(service: Service) -> None:
    arn = await service.create(1)
    numbers = await _put(service, arn, 5)
    iterator = await _iterator(service, arn)
    first = await _read(service, arn, iterator, limit=2)
    assert [record.sequence_number for record in first.records] == numbers[:2]
    assert (await _read(service, arn, iterator, limit=2)).records == first.records
    rest = await _read(service, arn, first.next_shard_iterator, limit=10)
    assert [record.sequence_number for record in rest.records] == numbers[2:]


async def behind_is_zero_at_the_tip_only(service: Service) -> None:
    arn = await service.create(1)
    await _put(service, arn, 1)
    while len({record.arrived for record in await _records(service, arn)}) == 1:
        await _put(service, arn, 1)
    page = await _read(service, arn, await _iterator(service, arn), limit=1)
    assert page.millis_behind_latest is not None
    assert page.millis_behind_latest > 0
    page = await _read(service, arn, page.next_shard_iterator)
    assert page.millis_behind_latest == 0
    empty = await _read(service, arn, page.next_shard_iterator)
    assert (empty.records, empty.millis_behind_latest) == ([], 0)
    assert empty.next_shard_iterator
    assert not empty.child_shards


async def an_unknown_stream_is_not_found(service: Service) -> None:
    with pytest.raises(SourceNotFoundError):
        await service.api.describe_stream_summary(UNKNOWN)
    with pytest.raises(SourceNotFoundError):
        await service.api.list_shards(UNKNOWN, None)
    with pytest.raises(SourceNotFoundError):
        await _iterator(service, UNKNOWN)


async def an_unknown_shard_is_not_found(service: Service) -> None:
    arn = await service.create(1)
    with pytest.raises(SourceNotFoundError):
        await _iterator(service, arn, 9)


async def a_bad_iterator_is_refused(service: Service) -> None:
    arn = await service.create(1)
    with pytest.raises(SourceError):
        await _read(service, arn, "AAAAAAAAAAbaditerator")


async def more_than_ten_thousand_are_refused(service: Service) -> None:
    arn = await service.create(1)
    iterator = await _iterator(service, arn)
    await _read(service, arn, iterator, limit=10_000)
    with pytest.raises(SourceError):
        await _read(service, arn, iterator, limit=10_001)


async def a_deleted_stream_is_not_found(service: Service) -> None:
    arn = await service.create(1)
    iterator = await _iterator(service, arn)
    await service.delete(arn)
    with pytest.raises(SourceNotFoundError):
        await _read(service, arn, iterator)


async def _drained(service: Service, arn: str, number: int) -> tuple[list[KinesisRecord], GetRecordsOutput]:
    """All records of a closed shard, and its last page."""
    iterator: str | None = await _iterator(service, arn, number)
    records: list[KinesisRecord] = []
    for _ in range(20):
        page = await _read(service, arn, iterator)
        records += page.records
        iterator = page.next_shard_iterator
        if iterator is None:
            return records, page
    pytest.fail("a closed shard does not end")


async def a_split_shard_ends_and_names_its_children(service: Service) -> None:
    arn = await service.create(1)
    before = await _put(service, arn, 3)
    await service.split(arn, "shardId-000000000000")
    parent, *children = await _shards(service, arn)
    assert parent.sequence_number_range.ending_sequence_number is not None
    assert [child.parent_shard_id for child in children] == ["shardId-000000000000"] * 2
    assert all(child.adjacent_parent_shard_id is None for child in children)
    shard_id, after = await service.put(arn, b"after", "a")
    assert shard_id == "shardId-000000000001"
    assert int(after) > int(before[-1])
    records, page = await _drained(service, arn, 0)
    assert [record.sequence_number for record in records] == before
    named = {child.shard_id: child.parent_shards for child in page.child_shards or []}
    assert named == {child.shard_id: [parent.shard_id] for child in children}
    assert [record.sequence_number for record in await _records(service, arn, 1)] == [after]


async def a_closed_shard_ends_after_its_last_record(service: Service) -> None:
    arn = await service.create(1)
    (number,) = await _put(service, arn, 1)
    await service.split(arn, "shardId-000000000000")
    closed, *_ = await _shards(service, arn)
    assert int(number) <= int(closed.sequence_number_range.ending_sequence_number or 0)


async def a_merged_shard_has_two_parents(service: Service) -> None:
    arn = await service.create(2)
    parents = ["shardId-000000000000", "shardId-000000000001"]
    numbers = {key: (await service.put(arn, b"", key))[1] for key in ("a", "b")}
    await service.merge(arn, *parents)
    *closed, child = await _shards(service, arn)
    assert all(shard.sequence_number_range.ending_sequence_number for shard in closed)
    assert [child.parent_shard_id, child.adjacent_parent_shard_id] == parents
    assert (await service.put(arn, b"", "b"))[0] == child.shard_id == "shardId-000000000002"
    for number, key in enumerate(("a", "b")):
        records, page = await _drained(service, arn, number)
        assert [record.sequence_number for record in records] == [numbers[key]]
        assert [(named.shard_id, sorted(named.parent_shards)) for named in page.child_shards or []] == [
            (child.shard_id, parents)
        ]


Check = Callable[[Service], Awaitable[None]]

CHECKS: list[Check] = [
    new_shards_are_open_and_have_no_parents,
    a_summary_tells_state_and_age,
    sequence_numbers_increase,
    sequence_numbers_have_56_digits,
    a_key_goes_where_its_md5_lies,
    what_was_put_is_read_in_order,
    bytes_and_keys_come_through_untouched,
    latest_is_what_comes_later,
    at_and_after_a_sequence_number,
    at_timestamp_is_the_first_at_or_after_it,
    limits_are_kept_and_iterators_read_again,
    behind_is_zero_at_the_tip_only,
    an_unknown_stream_is_not_found,
    an_unknown_shard_is_not_found,
    a_bad_iterator_is_refused,
    more_than_ten_thousand_are_refused,
    a_deleted_stream_is_not_found,
    a_split_shard_ends_and_names_its_children,
    a_closed_shard_ends_after_its_last_record,
    a_merged_shard_has_two_parents,
]

DEVIATIONS: dict[str, dict[Check, str]] = {
    "kinesis-local": {
        a_closed_shard_ends_after_its_last_record: "EndingSequenceNumber is always 9223372036854775807",
    },
    "ministack": {
        sequence_numbers_have_56_digits: "30 digits, zeros in front",
        more_than_ten_thousand_are_refused: "any limit is taken",
        a_deleted_stream_is_not_found: "ExpiredIteratorException",
        a_split_shard_ends_and_names_its_children: "the parent goes, with its records",
        a_closed_shard_ends_after_its_last_record: "the parent goes, with its records",
        a_merged_shard_has_two_parents: "the parents go, with their records",
    },
}
"""For each server, what it is known to do otherwise than AWS (observed)."""


def _name(check: Any) -> str:
    return str(check.__name__)


@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_simulation(check: Check) -> None:
    async def main() -> None:
        await check(Simulation())

    for seed in range(3):
        run(main(), seed=seed)


async def _against(url: str, account: str, check: Check) -> None:
    sdk = get_session()
    sdk.set_credentials(account, "secret")
    async with AwsSession(sdk, endpoint_url=url, region_name=REGION) as session:
        await check(Server(session, await session.client("kinesis"), account))


def _compare(server: str, url: str, account: str, check: Check) -> None:
    if check not in DEVIATIONS[server]:
        asyncio.run(_against(url, account, check))
        return
    with pytest.raises((AssertionError, SourceError, pytest.fail.Exception)):
        asyncio.run(_against(url, account, check))


@pytest.mark.service
@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_kinesis_local(check: Check, kinesis_local: str, account: str) -> None:
    _compare("kinesis-local", kinesis_local, account, check)


@pytest.mark.service
@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_ministack(check: Check, ministack: str, account: str) -> None:
    _compare("ministack", ministack, account, check)
