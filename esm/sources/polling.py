"""What the streams share that are read by polling: `GetShardIterator`, then `GetRecords` from iterator to iterator.

Kinesis and DynamoDB Streams differ in how their shards are listed, in where an iterator may begin and in what a page
says of itself; a subclass adds that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from msgspec.structs import replace

from esm.aws.kinesis_api import ListedShard
from esm.clock import Clock, Millis
from esm.errors import (
    IteratorExpiredError,
    PositionTrimmedError,
    SourceDeniedError,
    SourceError,
    SourceThrottledError,
)
from esm.records.position import Position, SequenceNumber
from esm.records.record import Page, Shard

__all__ = ["Answer", "PollingApi", "PollingReader", "PollingSource", "ServiceClock", "listed_shard"]

MAX_LIST_PAGES = 1000
"""A page of shards holds 100 and more; a list longer than this does not end."""

LATEST_WITHIN_MS = 2_000
"""How long after `LATEST` was asked for the tip still stands for it. Later, its time does. (chosen)"""

FAILURES_PER_ITERATOR = 3
"""Failed reads in a row after which a new iterator is tried: a bad one is an HTTP 500 on some servers. (observed)"""

_REPLACED = (IteratorExpiredError, PositionTrimmedError)
"""After these a new iterator may do."""


class Answer(Protocol):
    """What `GetRecords` gave. `next_shard_iterator` is `None` when the shard is closed and read to its end."""

    records: Any
    next_shard_iterator: str | None
    rest: Any  # as of a `GetRecordsOutput`


A = TypeVar("A", bound=Answer)
A_co = TypeVar("A_co", bound=Answer, covariant=True)


class PollingApi(Protocol[A_co]):
    """The two calls that read a shard. Each raises `SourceError` or one of its kinds, and nothing else."""

    async def get_shard_iterator(
        self, stream_arn: str, shard_id: str, iterator_type: str, *, sequence_number: str | None = None
    ) -> str:
        """`GetShardIterator`."""
        ...

    def get_records(self, stream_arn: str, iterator: str, limit: int) -> Awaitable[tuple[A_co, int]]:
        """`GetRecords`, and the bytes its answer took on the wire."""
        ...


class ServiceClock:
    """The service's time, as far as it is known: what `LATEST` is remembered by must not hang on the worker's clock.

    Of a worker whose clock is ahead it would be a moment to come, and what is put until then would be lost.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ahead_ms: Millis = 0
        self._known = False

    def now(self) -> Millis:
        """Epoch milliseconds."""
        return self._clock.now() + self.ahead_ms

    def learn(self, answered_at: Millis | None) -> Millis:
        """What the service's clock is ahead, or up to a second less, by an answer that came just now; learnt once."""
        if answered_at is not None and not self._known:
            self.ahead_ms, self._known = answered_at - self._clock.now(), True
        return self.ahead_ms


class PollingSource(ABC):
    """One stream, whose shards are listed page by page."""

    finite = False

    def __init__(self, stream_arn: str, clock: Clock) -> None:
        self._stream_arn, self._clock = stream_arn, ServiceClock(clock)

    async def shards(self) -> list[Shard]:
        """All shards listed now, closed ones too, over all result pages. Raises `SourceError`."""
        shards: dict[str, Shard] = {}
        token: str | None = None
        for _ in range(MAX_LIST_PAGES):
            page, token = await self._list_page(token)
            shards.update((listed.shard_id, listed_shard(listed)) for listed in page)
            if not token:
                return list(shards.values())
        raise SourceError("UnparsableAnswer", "the list of shards does not come to an end")

    async def close(self) -> None:  # noqa: B027  # neither service has anything to close
        """Nothing: connections belong to the session behind the calls."""

    @abstractmethod
    async def _list_page(self, token: str | None) -> tuple[list[ListedShard], str | None]:
        """The page of shards that `token` names, or the first, and the token of the next one."""


class PollingReader(ABC, Generic[A]):
    """Reads one shard forward. `position`: `LATEST` for the first reader of that moment alone, the time for any other.

    After a settled record it is opened *at* that record, whose second reading is dropped: when another comes first,
    the record is no longer kept, and those that followed it may not be either.
    """

    def __init__(self, api: PollingApi[A], stream_arn: str, shard_id: str, position: Position, *, clock: Clock) -> None:
        self._api, self._stream_arn, self._shard_id, self._clock = api, stream_arn, shard_id, clock
        self._position = position
        self._unopened = True
        self._limit = 0  # of the newest read
        self._iterator: str | None = None
        self._failures = 0
        after = position.sequence_number if position.type == "AFTER_SEQUENCE_NUMBER" else None
        self._after: SequenceNumber | None = after  # the last record settled or read
        self._looking = False  # for that record, since the iterator was made
        self._trimmed = False  # it is known not to be kept
        self._ended = False

    def read(self, limit: int) -> Coroutine[Any, Any, Page]:
        """The next page, of at most `limit` records; possibly none, and always none after the last.

        An iterator that has expired, or a position that is no longer kept, is replaced within the call, once. Raises
        `SourceError`; then the next call tries the same place.
        """
        return self._next_page(limit, in_parts=False)

    def read_in_parts(self, limit: int) -> Coroutine[Any, Any, Page]:
        """As `read`; of an answer that is not decoded at once, the first part."""
        return self._next_page(limit, in_parts=True)

    # -- what services do differently ------------------------------------------------------------------------------

    @abstractmethod
    def _since(self, at: Millis) -> tuple[str, dict[str, Any]]:
        """Where to begin, so that nothing is missed that arrived at or after `at`: as `_place`."""

    @abstractmethod
    def _behind(self, answer: A, records: list[Any]) -> Millis:
        """How far the end of the page is behind the tip, 0 at the tip. `records`: those that were not read before."""

    def _children(self, _answer: A) -> tuple[str, ...]:
        """The shards that follow, where the service says so."""
        return ()

    def _wanted(self, records: list[Any]) -> list[Any]:
        """The records without those that lie before the place where reading was to begin."""
        return records

    # -- what they have in common ----------------------------------------------------------------------------------

    async def _next_page(self, limit: int, *, in_parts: bool) -> Page:
        if self._ended:
            return Page([], ended=True)
        self._limit, again = limit, False
        while True:
            try:
                if self._iterator is None:
                    self._iterator = await self._open()
                answer, size = await self._api.get_records(self._stream_arn, self._iterator, limit)
            except SourceError as error:
                self._doubt(error)
                if again or not isinstance(error, _REPLACED):
                    raise
                again = True
                self._trimmed = self._trimmed or isinstance(error, PositionTrimmedError)
            else:
                self._failures = 0
                return self._page(answer if in_parts and not self._looking else _joined(answer), size)

    def _doubt(self, error: SourceError) -> None:
        """Gives up the iterator if it may be what is wrong."""
        if self._iterator is None or isinstance(error, (SourceDeniedError, SourceThrottledError)):
            return
        self._failures += 1
        if isinstance(error, _REPLACED) or self._failures >= FAILURES_PER_ITERATOR:
            self._iterator, self._failures = None, 0

    async def _open(self) -> str:
        iterator_type, place = self._place()
        iterator = await self._api.get_shard_iterator(self._stream_arn, self._shard_id, iterator_type, **place)
        self._unopened = False
        self._looking = self._trimmed or self._expected is not None
        if iterator_type == "LATEST" and self._clock.now() - (self._position.at or 0) > LATEST_WITHIN_MS:
            # The answer was long on its way: the tip it stands for may be later than the one that was asked for.
            return await self._open()
        return iterator

    @property
    def _expected(self) -> SequenceNumber | None:
        """The record that an iterator has to show first: the last one settled or read, or the first there is."""
        return self._position.sequence_number if self._after is None else self._after

    def _place(self) -> tuple[str, dict[str, Any]]:
        """`ShardIteratorType`, and what goes with it."""
        position = self._position
        if self._trimmed:
            return "TRIM_HORIZON", {}
        if self._expected is not None:
            return "AT_SEQUENCE_NUMBER", {"sequence_number": self._expected}
        if position.type == "TRIM_HORIZON":
            return "TRIM_HORIZON", {}
        if position.type == "LATEST":
            now = self._clock.now()
            if position.at is None:
                self._position = position = Position.latest(now)
            since = position.at if position.at is not None else now
            if self._unopened and now - since <= LATEST_WITHIN_MS:
                return "LATEST", {}
        return self._since(position.at or 0)

    def _page(self, answer: A, size: int) -> Page:
        records: list[Any] = answer.records
        self._iterator = answer.next_shard_iterator
        self._ended = self._iterator is None
        trimmed = False
        if self._looking:
            records, trimmed = self._look(records)
        if records:
            self._after = records[-1].sequence_number
        page = Page(
            self._wanted(records),
            behind_ms=self._behind(answer, records),
            ended=self._ended,
            children=self._children(answer),
            size_bytes=size,
            trimmed=trimmed,
            json_bytes=size,
        )
        return page if answer.rest is None else self._part(page, answer.rest)

    def _part(self, page: Page, rest: Any) -> Page:
        """A page as the one that the rest follows, or as the last of its parts."""
        size, held = rest.size_bytes, page.rest_bytes or page.size_bytes
        if not size:
            return replace(page, rest_bytes=0)
        own = page.size_bytes - size
        left = replace(
            page, records=[], size_bytes=size, json_bytes=size, trimmed=False, rest_bytes=held, part=page.part + 1
        )
        following = partial(self._next_part, left, rest)
        return replace(page, ended=False, size_bytes=own, json_bytes=own, rest=following, rest_bytes=held)

    def _next_part(self, left: Page, rest: Any) -> Page:
        """What follows a part of a page. Raises `SourceError`; then the next read begins behind that part."""
        try:
            records: list[Any] = next(rest)
        except SourceError:
            self._iterator, self._ended = None, False
            raise
        self._after = records[-1].sequence_number
        return self._part(replace(left, records=self._wanted(records)), rest)

    def _look(self, records: list[Any]) -> tuple[list[Any], bool]:
        """The records after the last one settled or read, and whether it turned out to be no longer kept."""
        if not records and not self._ended:
            return records, False
        expected = -1 if self._expected is None else int(self._expected)
        least = expected if self._after is None else expected + 1  # a first record is wanted itself
        numbers = [int(record.sequence_number) for record in records]
        fresh = [record for record, number in zip(records, numbers, strict=True) if number >= least]
        if not fresh and not self._ended and expected not in numbers:
            return fresh, False  # nothing but what lies before it
        self._looking = False
        trimmed = self._trimmed or expected not in numbers
        self._trimmed = False
        return fresh, trimmed


def _joined(answer: A) -> A:
    """With all of its records decoded. Raises `SourceError`."""
    if answer.rest is not None:
        for part in answer.rest:
            answer.records += part
        answer.rest = None
    return answer


def listed_shard(listed: ListedShard) -> Shard:
    """A shard as its stream lists it."""
    parents = (listed.parent_shard_id, listed.adjacent_parent_shard_id)
    return Shard(
        listed.shard_id,
        parents=tuple(parent for parent in parents if parent is not None),
        closed=listed.sequence_number_range.ending_sequence_number is not None,
    )
