"""The three ports of a worker, each behind its gate: the same protocols, with faults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NoReturn, TypeVar

from esm.aws.dynamodb_streams_api import DynamoDBStreamsApi, StreamPage, TableRecords
from esm.aws.kinesis_api import GetRecordsOutput, KinesisApi, ListShardsOutput, StreamSummary
from esm.destinations.destination import Destination, FailureRecord
from esm.errors import (
    DestinationError,
    IteratorExpiredError,
    SourceDeniedError,
    SourceError,
    SourceThrottledError,
    StoreError,
)
from esm.leasing.lease import Lease
from esm.records.position import Checkpoint
from esm.stores.store import LeaseStore
from esm.testing.faults import Failures, Gate
from esm.testing.journal import CheckpointAccepted, DiscardReceived, LeaseChanged

__all__ = ["FaultyDestination", "FaultyDynamoDBStreams", "FaultyKinesis", "FaultyStore"]

T = TypeVar("T")

_TEXT = "injected"
_SOURCE = Failures(
    network=lambda code: SourceError(code, _TEXT),
    throttled=lambda _: SourceThrottledError("ProvisionedThroughputExceededException", _TEXT),
    failed=lambda code: SourceError(code, _TEXT),
    denied=lambda code: SourceDeniedError(code, _TEXT),
)
_STORE = Failures(
    network=lambda code: StoreError(f"{code}: {_TEXT}"),
    throttled=lambda _: StoreError(f"busy: {_TEXT}"),
    failed=lambda code: StoreError(f"{code}: {_TEXT}"),
    denied=lambda code: StoreError(f"{code}: {_TEXT}"),
)
_DESTINATION = Failures(
    network=lambda code: DestinationError(code, _TEXT),
    throttled=lambda code: DestinationError(code, _TEXT),
    failed=lambda code: DestinationError(code, _TEXT),
    denied=lambda code: DestinationError(code, _TEXT),
)


class FaultyKinesis:
    """A `KinesisApi` that fails as the real one may."""

    def __init__(self, api: KinesisApi, gate: Gate) -> None:
        self._api = api
        self._gate = gate

    async def describe_stream_summary(self, stream_arn: str) -> StreamSummary:
        """`DescribeStreamSummary`, or a fault."""
        return await self._call("DescribeStreamSummary", lambda: self._api.describe_stream_summary(stream_arn))

    async def list_shards(self, stream_arn: str, next_token: str | None) -> ListShardsOutput:
        """`ListShards`, or a fault."""
        return await self._call("ListShards", lambda: self._api.list_shards(stream_arn, next_token))

    async def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        """`GetShardIterator`, or a fault."""
        return await self._call(
            "GetShardIterator",
            lambda: self._api.get_shard_iterator(
                stream_arn, shard_id, iterator_type, sequence_number=sequence_number, timestamp=timestamp
            ),
        )

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[GetRecordsOutput, int]:
        """`GetRecords`, or a fault; or fewer records than there are; or none, with a next iterator."""
        empty = GetRecordsOutput(next_shard_iterator=iterator, millis_behind_latest=1)
        return await _read(self._gate, lambda most: self._api.get_records(stream_arn, iterator, most), limit, empty)

    async def _call(self, kind: str, effect: Callable[[], Awaitable[T]]) -> T:
        return await self._gate.call("source", kind, effect, _SOURCE)


class FaultyDynamoDBStreams:
    """A `DynamoDBStreamsApi` that fails as the real one may."""

    def __init__(self, api: DynamoDBStreamsApi, gate: Gate) -> None:
        self._api = api
        self._gate = gate

    async def describe_stream(self, stream_arn: str, exclusive_start_shard_id: str | None) -> StreamPage:
        """`DescribeStream`, or a fault."""
        return await self._call(
            "DescribeStream", lambda: self._api.describe_stream(stream_arn, exclusive_start_shard_id)
        )

    async def get_shard_iterator(
        self, stream_arn: str, shard_id: str, iterator_type: str, *, sequence_number: str | None = None
    ) -> str:
        """`GetShardIterator`, or a fault."""
        return await self._call(
            "GetShardIterator",
            lambda: self._api.get_shard_iterator(stream_arn, shard_id, iterator_type, sequence_number=sequence_number),
        )

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[TableRecords, int]:
        """`GetRecords`, or a fault; or fewer records than there are; or none, with a next iterator."""
        empty = TableRecords(next_shard_iterator=iterator)
        return await _read(self._gate, lambda most: self._api.get_records(stream_arn, iterator, most), limit, empty)

    async def _call(self, kind: str, effect: Callable[[], Awaitable[T]]) -> T:
        return await self._gate.call("source", kind, effect, _SOURCE)


class FaultyStore:
    """A `LeaseStore` that fails as the real one may. What it accepts stands in the journal from that instant on."""

    def __init__(self, store: LeaseStore, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    async def open(self) -> None:
        """As the store's, without faults: a store that cannot be opened ends a program at once."""
        await self._gate.pass_or_hang()
        await self._store.open()

    async def close(self) -> None:
        """As the store's, without faults, and without effect: others have it open too."""
        await self._gate.pass_or_hang()

    async def load(self, mapping: str) -> list[Lease]:
        """As the store's, or a fault."""
        return await self._call("load", lambda: self._store.load(mapping))

    async def create(self, leases: Sequence[Lease]) -> None:
        """As the store's, or a fault."""

        async def effect() -> None:
            await self._store.create(leases)
            for lease in leases:
                self._changed("create", lease, lease)

        await self._call("create", effect)

    async def take(self, lease: Lease, owner: str) -> Lease:
        """As the store's, or a fault."""

        async def effect() -> Lease:
            taken = await self._store.take(lease, owner)
            self._changed("take", lease, taken)
            return taken

        return await self._call("take", effect)

    async def renew(self, lease: Lease) -> Lease:
        """As the store's, or a fault."""
        return await self._call("renew", lambda: self._store.renew(lease))

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        """As the store's, or a fault."""

        async def effect() -> Lease:
            written = await self._store.checkpoint(lease, checkpoint)
            self.accepted(lease, checkpoint)
            return written

        return await self._call("checkpoint", effect)

    def accepted(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Puts it into the journal that the store has this position."""
        gate = self._gate
        gate.journal.add(
            CheckpointAccepted(
                at=gate.clock.now(),
                worker=gate.process.name,
                key=lease.key,
                owner=lease.owner,
                epoch=lease.epoch,
                checkpoint=checkpoint,
            )
        )

    async def release(self, lease: Lease) -> None:
        """As the store's, or a fault."""

        async def effect() -> None:
            await self._store.release(lease)
            self._changed("release", lease, None)

        await self._call("release", effect)

    async def remove(self, leases: Sequence[Lease]) -> None:
        """As the store's, or a fault."""

        async def effect() -> None:
            await self._store.remove(leases)
            for lease in leases:
                self._changed("remove", lease, lease)

        await self._call("remove", effect)

    async def forget(self, mapping: str) -> None:
        """As the store's, or a fault."""
        await self._call("forget", lambda: self._store.forget(mapping))

    async def _call(self, kind: str, effect: Callable[[], Awaitable[T]]) -> T:
        return await self._gate.call("store", kind, effect, _STORE)

    def _changed(self, verb: str, before: Lease, after: Lease | None) -> None:
        gate = self._gate
        gate.journal.add(
            LeaseChanged(
                at=gate.clock.now(),
                worker=gate.process.name,
                key=before.key,
                verb=verb,
                owner=None if after is None else after.owner,
                epoch=before.epoch + 1 if after is None else after.epoch,
            )
        )


class FaultyDestination:
    """A `Destination` that fails as the real one may. What it accepts stands in the journal from that instant on."""

    def __init__(self, destination: Destination, gate: Gate) -> None:
        self._destination = destination
        self._gate = gate

    async def send(self, record: FailureRecord) -> None:
        """As the destination's, or a fault."""

        async def effect() -> None:
            await self._destination.send(record)
            gate = self._gate
            gate.journal.add(
                DiscardReceived(
                    at=gate.clock.now(),
                    worker=gate.process.name,
                    mapping=record.mapping,
                    shard=record.shard_id,
                    document=record.document,
                )
            )

        await self._gate.call("destination", "send", effect, _DESTINATION)

    async def close(self) -> None:
        """As the destination's, without effect: others have it open too."""
        await self._gate.pass_or_hang()


async def _read(gate: Gate, read: Callable[[int], Awaitable[tuple[T, int]]], limit: int, empty: T) -> tuple[T, int]:
    """`GetRecords`, with the faults that only it has."""
    effect: Callable[[], Awaitable[tuple[T, int]]]
    if gate.chance("expired_iterator", "GetRecords"):
        effect = _expired
    elif gate.chance("empty_page", "GetRecords"):
        effect = partial(_at_once, (empty, 0))
    else:
        if gate.chance("short_read", "GetRecords"):
            # A few records as often as a few thousand: most shards here hold less than a page.
            limit = gate.rng.randint(1, min(limit, 1 << gate.rng.randint(0, 13)))
        effect = partial(read, limit)
    return await gate.call("source", "GetRecords", effect, _SOURCE)


async def _at_once(value: T) -> T:
    return value


async def _expired() -> NoReturn:
    raise IteratorExpiredError("ExpiredIteratorException", _TEXT)
