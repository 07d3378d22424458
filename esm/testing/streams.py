"""What the simulated stream services share: streams by ARN, iterators that expire, the time that calls take."""

from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import TypedDict

from esm.aws.kinesis_api import ListedShard, SequenceNumberRange
from esm.clock import Clock, Millis
from esm.errors import IteratorExpiredError, SourceError, SourceNotFoundError
from esm.testing.shards import SimulatedShard, SimulatedStream

__all__ = ["Behaviour", "SimulatedService"]

_MISSING = "Stream or shard not found."


class Behaviour(TypedDict, total=False):
    """What the services have in common that can be chosen.

    `latency`: shortest and longest time of a call, ms. `listing_lag`: for how long, in ms, the list does not know of a
    reshard yet. `trailing_page`: how often, as a probability, a closed shard ends with an empty page of its own rather
    than with its last records (both are seen on AWS).
    """

    seed: int
    latency: tuple[Millis, Millis]
    listing_lag: Millis
    trailing_page: float


class SimulatedService:
    """One service. `service`: its name; `iterator_valid`: ms; `invalid`: its code for what makes no sense.

    `page_size`: shards on a page of the list. The rest: `Behaviour`.
    """

    service: str
    iterator_valid: Millis
    invalid: str

    def __init__(
        self,
        clock: Clock,
        *,
        page_size: int,
        seed: int = 0,
        latency: tuple[Millis, Millis] = (2, 20),
        listing_lag: Millis = 0,
        trailing_page: float = 0.5,
    ) -> None:
        self.latency = latency
        self.page_size = page_size
        self.listing_lag = listing_lag
        self.trailing_page = trailing_page
        self.calls = 0
        self._clock = clock
        self._rng = random.Random(f"{self.service} {seed}")  # noqa: S311  # a history to replay, no secret
        self._streams: dict[str, SimulatedStream] = {}
        self._incarnations = count(1)

    def delete_stream(self, stream_arn: str) -> None:
        """Gone, with its records. One created later under the same ARN is another stream."""
        del self._streams[stream_arn]

    def stream(self, stream_arn: str) -> SimulatedStream:
        """The stream of this ARN. Raises `KeyError`."""
        return self._streams[stream_arn]

    def _add(self, stream: SimulatedStream) -> None:
        if stream.arn in self._streams:
            raise ValueError(f"{stream.arn} is there already")
        self._streams[stream.arn] = stream

    async def _travel(self) -> None:
        self.calls += 1
        least, most = self.latency
        await asyncio.sleep(self._rng.uniform(least, most) / 1000)

    def _existing(self, stream_arn: str) -> SimulatedStream:
        stream = self._streams.get(stream_arn)
        if stream is None:
            raise SourceNotFoundError("ResourceNotFoundException", _MISSING)
        return stream

    def _readable(self, stream: SimulatedStream, shard_id: str) -> SimulatedShard:
        shard = stream.readable(shard_id)
        if shard is None:
            raise SourceNotFoundError("ResourceNotFoundException", _MISSING)
        return shard

    def _list(self, stream: SimulatedStream, after: str) -> tuple[list[ListedShard], str | None]:
        """The page of shards behind `after`, by id, and its last one, if there are more."""
        known_at = self._clock.now() - self.listing_lag
        shards = [
            shard
            for shard_id in sorted(stream.shards)
            if shard_id > after
            and (shard := stream.readable(shard_id)) is not None
            # What the stream was created with is known from the start, however long the news of a reshard takes.
            and (shard.opened_at <= known_at or not shard.parents)
        ]
        page = shards[: self.page_size]
        return [_listed(shard, known_at) for shard in page], page[-1].shard_id if len(shards) > len(page) else None

    def _starting_index(self, shard: SimulatedShard, iterator_type: str, sequence_number: str | None) -> int:
        if iterator_type == "TRIM_HORIZON":
            return shard.trimmed
        if iterator_type == "LATEST":
            return len(shard.records)
        if iterator_type in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER") and sequence_number is not None:
            number = self._own_number(shard, sequence_number)
            return shard.index_of(number, after=iterator_type == "AFTER_SEQUENCE_NUMBER")
        raise SourceError(self.invalid, f"{iterator_type} lacks what it starts from, or is unknown.")

    def _own_number(self, shard: SimulatedShard, sequence_number: str) -> int:
        """The number, if it can be this shard's. One of a parent, or of a stream that is gone, cannot."""
        number = int(sequence_number) if sequence_number.isdecimal() else 0
        newest = shard.closes if shard.closes is not None else number
        if not shard.opens <= number <= newest:
            raise SourceError(
                self.invalid, f"The sequence number {sequence_number} did not come from {shard.shard_id}."
            )
        return number

    def _check_limit(self, limit: int, most: int) -> None:
        if not 1 <= limit <= most:
            raise SourceError(self.invalid, f"Limit {limit} is not between 1 and {most}.")

    def _iterator(self, stream: SimulatedStream, shard: SimulatedShard, index: int) -> str:
        return f"{stream.incarnation}/{self._clock.now()}/{shard.shard_id}/{index}"

    def _resolve(self, stream: SimulatedStream, iterator: str) -> tuple[SimulatedShard, int]:
        try:
            incarnation, made_at, shard_id, index = iterator.split("/")
            own, age, begin = int(incarnation) == stream.incarnation, self._clock.now() - int(made_at), int(index)
        except ValueError:
            raise SourceError(self.invalid, "Invalid ShardIterator.") from None
        if not own:
            raise SourceError(self.invalid, "The ShardIterator is of another stream.")
        if age > self.iterator_valid:
            raise IteratorExpiredError("ExpiredIteratorException", f"Iterator expired: it is {age} ms old.")
        return self._readable(stream, shard_id), begin

    def _ends(self, shard: SimulatedShard, begin: int, end: int) -> bool:
        if shard.closes is None or end < len(shard.records):
            return False
        return begin == end or self._rng.random() >= self.trailing_page


def _listed(shard: SimulatedShard, known_at: Millis) -> ListedShard:
    closed = shard.closed_at is not None and shard.closed_at <= known_at
    return ListedShard(
        shard_id=shard.shard_id,
        sequence_number_range=SequenceNumberRange(
            starting_sequence_number=str(shard.opens), ending_sequence_number=str(shard.closes) if closed else None
        ),
        parent_shard_id=shard.parents[0] if shard.parents else None,
        adjacent_parent_shard_id=shard.parents[1] if len(shard.parents) > 1 else None,
    )
