"""A table of the warmest hours, and what happens to it.

The temperatures are those of the other demo: every hour of 2010 in Seattle and San Francisco. What is done with them is
made up: an item for each city and day holds the warmest hour so far, and after each month all days but its warmest are
deleted. So a day is inserted once, modified whenever it gets warmer, and mostly removed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.session import get_session

from examples.demo.local_aws import REGION, serving
from examples.demo.weather import POISON, Reading, readings

__all__ = ["HOT", "Days", "days"]

HOT = 22.0
"""Degrees Celsius from which on a day is hot here."""

NAME = "warmest"
MOST = 25
"""Writes of one `BatchWriteItem`."""

PAUSE_S = 0.9
"""After each month, so that the changes fall into several windows."""

Item = dict[str, dict[str, str]]
Key = tuple[str, str]


class Days:
    """The table, at `url`, and its `stream_arn`; what was done to it, counted."""

    def __init__(self, url: str, stream_arn: str, client: Any) -> None:
        self.url = url
        self.stream_arn = stream_arn
        self.changes: Counter[str] = Counter()
        self.became_hot: list[Key] = []
        self._client = client
        self._warmest: dict[Key, float] = {}

    async def write(self) -> None:
        """The whole year, a month at a time, all days of a month side by side and hour by hour."""
        hours = [reading for reading in readings() if reading is not POISON]
        for month in sorted({reading["at"][5:7] for reading in hours}):
            of_month = [reading for reading in hours if reading["at"][5:7] == month]
            for hour in range(24):
                await self._put([reading for reading in of_month if int(reading["at"][11:13]) == hour])
            await self._clear()
            await asyncio.sleep(PAUSE_S)

    async def one_more(self) -> None:
        """A change that is none of the year's."""
        await self._client.put_item(TableName=NAME, Item={"city": {"S": "none"}, "day": {"S": "none"}})

    async def _put(self, hours: Sequence[Reading]) -> None:
        """What is warmer than what the table has; the local hours of a clock change may stand there twice."""
        items: dict[Key, Item] = {}
        for reading in hours:
            key, celsius = (reading["city"], reading["at"][5:10]), round((float(reading["fahrenheit"]) - 32) / 1.8, 1)
            before = self._warmest.get(key)
            if key in items or (before is not None and celsius <= before):
                continue
            self._warmest[key] = celsius
            self.changes["INSERT" if before is None else "MODIFY"] += 1
            if before is not None and before < HOT <= celsius:
                self.became_hot.append(key)
            items[key] = _item(key, celsius)
        await self._batches([{"PutRequest": {"Item": item}} for item in items.values()])

    async def _clear(self) -> None:
        """Removes all days of the month that is over but the warmest of each city."""
        keys = list(self._warmest)
        best = {city: max((key for key in keys if key[0] == city), key=self._warmest.__getitem__) for city, _ in keys}
        doomed = [key for key in keys if key != best[key[0]]]
        self.changes["REMOVE"] += len(doomed)
        await self._batches([{"DeleteRequest": {"Key": _key(key)}} for key in doomed])
        self._warmest.clear()

    async def _batches(self, requests: Sequence[Any]) -> None:
        for start in range(0, len(requests), MOST):
            await self._client.batch_write_item(RequestItems={NAME: requests[start : start + MOST]})


@asynccontextmanager
async def days() -> AsyncIterator[Days]:
    """A local AWS with the table, empty, and its stream switched on."""
    session = get_session()
    async with serving() as url, session.create_client("dynamodb", region_name=REGION, endpoint_url=url) as client:
        answer = await client.create_table(
            TableName=NAME,
            KeySchema=[
                {"AttributeName": "city", "KeyType": "HASH"},
                {"AttributeName": "day", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("city", "day")],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        yield Days(url, answer["TableDescription"]["LatestStreamArn"], client)


def _key(key: Key) -> Item:
    return {"city": {"S": key[0]}, "day": {"S": key[1]}}


def _item(key: Key, celsius: float) -> Item:
    return {**_key(key), "celsius": {"N": str(celsius)}, "feels": {"S": "hot" if celsius >= HOT else "mild"}}
