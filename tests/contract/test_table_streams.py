"""What every stream of a table answers: one set of checks for the simulation and for a local server over real HTTP.

Where the server is known to differ from AWS, it is named in `DEVIATIONS`, and the check must fail there.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from esm.aws.dynamodb_streams import DynamoDBStreamsCalls
from esm.aws.dynamodb_streams_api import DynamoDBStreamsApi, TableRecords
from esm.aws.session import AwsSession
from esm.errors import SourceError, SourceNotFoundError
from esm.records.dynamodb import DynamoDBEventShape, DynamoDBRecord
from esm.testing.dynamodb import SimulatedDynamoDB
from esm.testing.loop import SimClock
from esm.testing.run import run
from esm.testing.tables import VIEW_TYPES
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION
from tests.servers.tables import Tables

Item = dict[str, Any]
UNKNOWN = f"arn:aws:dynamodb:{REGION}:000000000000:table/nowhere/stream/2026-01-01T00:00:00.000"


class Service(Protocol):
    """DynamoDB, and what a check does to a table of its own. Items are in DynamoDB's JSON."""

    api: DynamoDBStreamsApi

    async def create(self, view_type: str) -> str: ...

    async def put(self, arn: str, item: Item) -> None: ...

    async def update(self, arn: str, key: Item, attribute: str, value: Any) -> None: ...

    async def delete(self, arn: str, key: Item) -> None: ...

    async def disable(self, arn: str) -> None: ...


class Simulation:
    """In virtual time."""

    def __init__(self) -> None:
        self.dynamodb = SimulatedDynamoDB(SimClock())
        self.api: DynamoDBStreamsApi = self.dynamodb
        self._tables = 0

    async def create(self, view_type: str) -> str:
        self._tables += 1
        arn = f"arn:aws:dynamodb:{REGION}:123456789012:table/t{self._tables}/stream/2026-01-01T00:00:00.000"
        self.dynamodb.create_table(arn, view_type=view_type)
        return arn

    async def put(self, arn: str, item: Item) -> None:
        self.dynamodb.table(arn).put_item(item)

    async def update(self, arn: str, key: Item, attribute: str, value: Any) -> None:
        self.dynamodb.table(arn).update_item(key, {attribute: value})

    async def delete(self, arn: str, key: Item) -> None:
        self.dynamodb.table(arn).delete_item(key)

    async def disable(self, arn: str) -> None:
        self.dynamodb.table(arn).disable()


class Server(Tables):
    """A server, through the production calls; writes through the SDK."""

    def __init__(self, session: AwsSession, client: Any) -> None:
        super().__init__(client)
        self.api: DynamoDBStreamsApi = DynamoDBStreamsCalls(session)


KEY: Item = {"id": {"S": "1"}}
BOTH = "NEW_AND_OLD_IMAGES"


async def _shard(service: Service, arn: str) -> str:
    (shard,) = (await service.api.describe_stream(arn, None)).shards
    return shard.shard_id


async def _iterator(service: Service, arn: str, kind: str = "TRIM_HORIZON", number: str | None = None) -> str:
    return await service.api.get_shard_iterator(arn, await _shard(service, arn), kind, sequence_number=number)


async def _page(service: Service, arn: str, iterator: str | None, limit: int = 1000) -> TableRecords:
    assert iterator is not None
    return (await service.api.get_records(arn, iterator, limit))[0]


async def _records(
    service: Service, arn: str, kind: str = "TRIM_HORIZON", number: str | None = None
) -> list[DynamoDBRecord]:
    return (await _page(service, arn, await _iterator(service, arn, kind, number))).records


def _items(records: list[DynamoDBRecord]) -> list[Item]:
    items: list[Item] = DynamoDBEventShape(event_source_arn="arn", region=REGION).event(records)["Records"]
    return items


async def _filled(service: Service, count: int) -> str:
    arn = await service.create(BOTH)
    for n in range(count):
        await service.put(arn, {"id": {"S": str(n)}})
    return arn


async def a_new_stream_has_one_open_shard(service: Service) -> None:
    arn = await service.create("KEYS_ONLY")
    page = await service.api.describe_stream(arn, None)
    assert (page.stream_status, page.last_evaluated_shard_id) == ("ENABLED", None)
    assert page.stream_label == arn.rpartition("/")[2]
    assert page.answered_at is not None
    assert page.answered_at / 1000 > page.creation_request_date_time - 60
    (shard,) = page.shards
    assert shard.parent_shard_id is None
    assert shard.sequence_number_range.ending_sequence_number is None


async def an_empty_shard_says_where_it_starts(service: Service) -> None:
    (shard,) = (await service.api.describe_stream(await service.create(BOTH), None)).shards
    assert shard.sequence_number_range.starting_sequence_number.isdecimal()


async def insert_modify_remove_and_nothing_for_no_change(service: Service) -> None:
    for view_type in VIEW_TYPES:
        arn = await service.create(view_type)
        await service.put(arn, KEY)
        await service.put(arn, KEY)
        await service.update(arn, KEY, "n", {"N": "1"})
        await service.update(arn, KEY, "n", {"N": "1"})
        await service.delete(arn, KEY)
        await service.delete(arn, KEY)
        got = _items(await _records(service, arn))
        changed = {**KEY, "n": {"N": "1"}}
        new = [KEY, changed, None] if view_type in ("NEW_IMAGE", BOTH) else [None] * 3
        old = [None, KEY, changed] if view_type in ("OLD_IMAGE", BOTH) else [None] * 3
        assert [item["eventName"] for item in got] == ["INSERT", "MODIFY", "REMOVE"]
        assert [item["dynamodb"].get("NewImage") for item in got] == new
        assert [item["dynamodb"].get("OldImage") for item in got] == old
        assert {item["dynamodb"]["StreamViewType"] for item in got} == {view_type}
        assert all(item["dynamodb"]["Keys"] == KEY for item in got)


async def records_say_when_they_came_and_who_they_are(service: Service) -> None:
    records = await _records(service, await _filled(service, 3))
    assert len({record.event_id for record in records}) == 3
    assert records[0].arrived_at > 1_700_000_000_000
    assert all(record.arrived_at % 1000 == 0 for record in records)


async def event_ids_have_32_digits(service: Service) -> None:
    records = await _records(service, await _filled(service, 3))
    assert all(len(bytes.fromhex(record.event_id)) == 16 for record in records)
    assert "-" not in records[0].event_id


async def sizes_are_told(service: Service) -> None:
    records = await _records(service, await _filled(service, 1))
    assert records[0].change.size_bytes > 0


async def sequence_numbers_increase(service: Service) -> None:
    numbers = [record.sequence_number for record in await _records(service, await _filled(service, 5))]
    assert all(number.isdecimal() and len(number) >= 21 for number in numbers)
    assert sorted(set(numbers), key=int) == numbers


async def at_and_after_a_sequence_number(service: Service) -> None:
    arn = await _filled(service, 4)
    records = await _records(service, arn)
    numbers = [record.sequence_number for record in records]
    assert await _records(service, arn, "AT_SEQUENCE_NUMBER", numbers[1]) == records[1:]
    assert await _records(service, arn, "AFTER_SEQUENCE_NUMBER", numbers[1]) == records[2:]
    assert await _records(service, arn, "AFTER_SEQUENCE_NUMBER", numbers[3]) == []


async def latest_is_what_comes_later(service: Service) -> None:
    arn = await _filled(service, 2)
    iterator = await _iterator(service, arn, "LATEST")
    assert (await _page(service, arn, iterator)).records == []
    await service.put(arn, {"id": {"S": "new"}})
    assert [record.key for record in (await _page(service, arn, iterator)).records] == ['{"id":{"S":"new"}}']


async def limits_are_kept_and_iterators_read_again(service: Service) -> None:
    arn = await _filled(service, 5)
    iterator = await _iterator(service, arn)
    first = await _page(service, arn, iterator, limit=2)
    assert len(first.records) == 2
    assert (await _page(service, arn, iterator, limit=2)).records == first.records
    rest = await _page(service, arn, first.next_shard_iterator)
    assert len(rest.records) == 3
    assert rest.next_shard_iterator


async def a_disabled_stream_is_read_to_its_end(service: Service) -> None:
    arn = await _filled(service, 3)
    iterator: str | None = await _iterator(service, arn)
    await service.disable(arn)
    records = []
    for _ in range(20):
        page = await _page(service, arn, iterator)
        records += page.records
        iterator = page.next_shard_iterator
        if iterator is None:
            break
    assert iterator is None
    assert len(records) == 3
    described = await service.api.describe_stream(arn, None)
    assert described.stream_status in ("DISABLING", "DISABLED")
    assert described.shards[0].sequence_number_range.ending_sequence_number is not None


async def an_unknown_stream_is_not_found(service: Service) -> None:
    with pytest.raises(SourceNotFoundError):
        await service.api.describe_stream(UNKNOWN, None)


async def an_unknown_shard_is_not_found(service: Service) -> None:
    arn = await service.create(BOTH)
    with pytest.raises(SourceNotFoundError):
        await service.api.get_shard_iterator(arn, "shardId-00000001414576573621-f55eea83", "TRIM_HORIZON")


async def a_bad_iterator_is_refused(service: Service) -> None:
    arn = await service.create(BOTH)
    with pytest.raises(SourceError):
        await _page(service, arn, "AAAAAAAAAAbaditerator")


async def more_than_a_thousand_are_refused(service: Service) -> None:
    arn = await service.create(BOTH)
    iterator = await _iterator(service, arn)
    await _page(service, arn, iterator, limit=1000)
    with pytest.raises(SourceError):
        await _page(service, arn, iterator, limit=1001)


Check = Callable[[Service], Awaitable[None]]

CHECKS: list[Check] = [
    a_new_stream_has_one_open_shard,
    an_empty_shard_says_where_it_starts,
    insert_modify_remove_and_nothing_for_no_change,
    records_say_when_they_came_and_who_they_are,
    event_ids_have_32_digits,
    sizes_are_told,
    sequence_numbers_increase,
    at_and_after_a_sequence_number,
    latest_is_what_comes_later,
    limits_are_kept_and_iterators_read_again,
    a_disabled_stream_is_read_to_its_end,
    an_unknown_stream_is_not_found,
    an_unknown_shard_is_not_found,
    a_bad_iterator_is_refused,
    more_than_a_thousand_are_refused,
]

DEVIATIONS: dict[Check, str] = {
    an_empty_shard_says_where_it_starts: "no StartingSequenceNumber",
    event_ids_have_32_digits: "a UUID with hyphens",
    sizes_are_told: "always 0",
    more_than_a_thousand_are_refused: "any limit is taken",
}
"""What ministack is known to do otherwise than AWS (observed)."""


def _name(check: Any) -> str:
    return str(check.__name__)


@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_simulation(check: Check) -> None:
    async def main() -> None:
        await check(Simulation())

    for seed in range(3):
        run(main(), seed=seed)


async def _against(url: str, account: str, check: Check) -> None:
    async with AwsSession(signed_in(account), endpoint_url=url, region_name=REGION) as session:
        await check(Server(session, await session.client("dynamodb")))


@pytest.mark.service
@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_ministack(check: Check, ministack: str, account: str) -> None:
    if check not in DEVIATIONS:
        asyncio.run(_against(ministack, account, check))
        return
    with pytest.raises((AssertionError, ValueError, SourceError, pytest.fail.Exception)):
        asyncio.run(_against(ministack, account, check))


@pytest.mark.service
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
def test_values_of_every_type_come_as_the_wire_has_them(ministack: str, account: str, *, fast: bool) -> None:
    data = bytes(range(256))

    async def main() -> None:
        async with AwsSession(signed_in(account), endpoint_url=ministack, region_name=REGION, fast=fast) as session:
            server = Server(session, await session.client("dynamodb"))
            arn = await server.create(BOTH)
            await server.put(
                arn,
                {
                    "id": {"S": "ключ \U0001f511"},
                    "n": {"N": "12345678901234567890"},
                    "b": {"B": data},
                    "bs": {"BS": [b"hi"]},
                    "ns": {"NS": ["1"]},
                    "m": {"M": {"l": {"L": [{"NULL": True}, {"BOOL": False}]}}},
                },
            )
            (item,) = _items(await _records(server, arn))
            assert item["dynamodb"]["NewImage"] == {
                "id": {"S": "ключ \U0001f511"},
                "n": {"N": "12345678901234567890"},
                "b": {"B": b64encode(data).decode()},
                "bs": {"BS": ["aGk="]},
                "ns": {"NS": ["1"]},
                "m": {"M": {"l": {"L": [{"NULL": True}, {"BOOL": False}]}}},
            }

    asyncio.run(main())
