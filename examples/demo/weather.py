"""The data, and the function that is run over it.

Every hour of 2010 in Seattle and in San Francisco, 17,517 temperatures: public-domain data of NOAA, as they come inside
the package `vega_datasets`. Only its files are read.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import json
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["POISON", "Weather", "handle", "key_of", "readings"]

FILES = {"Seattle": "seattle-temps.csv", "San Francisco": "sf-temps.csv"}
POISON = {"city": "San Francisco", "at": "2010-07-04T12:30", "fahrenheit": "sensor fault"}
WORK_S = 0.04
"""What a call takes besides, as if it wrote to a database."""

Reading = dict[str, Any]


def readings() -> list[Reading]:
    """All of it, in order of time, with one record in it that no number can be read from."""
    package = find_spec("vega_datasets")
    if package is None or package.origin is None:
        raise SystemExit("the data is in the package vega_datasets: make demo installs it")
    folder = Path(package.origin).parent / "_data"
    return sorted([*_read(folder), POISON], key=lambda reading: str(reading["at"]))


def key_of(reading: Reading) -> str:
    """A partition key for each city and month: what has the same key stays in order, and on one shard."""
    return f"{reading['city']} {reading['at'][:7]}"


def _read(folder: Path) -> Iterator[Reading]:
    for city, name in FILES.items():
        with (folder / name).open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                at = datetime.strptime(row["date"][:16], "%Y/%m/%d %H:%M").isoformat("T", "minutes")  # noqa: DTZ007  # local hours
                yield {"city": city, "at": at, "fahrenheit": row["temp"]}


class Weather:
    """What a person wants to know of it. Its `handle` is what Lambda would call."""

    def __init__(self) -> None:
        self.celsius: dict[tuple[str, str], float] = {}
        self.done: list[str] = []

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        """Takes a batch. Each hour has one place, so a batch that comes again changes nothing."""
        for record in event["Records"]:
            reading = json.loads(base64.b64decode(record["kinesis"]["data"]))
            celsius = (float(reading["fahrenheit"]) - 32) / 1.8
            self.celsius[reading["city"], reading["at"]] = celsius
        await asyncio.sleep(WORK_S)
        self.done += [record["kinesis"]["sequenceNumber"] for record in event["Records"]]

    def answers(self) -> Iterator[tuple[str, ...]]:
        """City, hours, warmest hour, coldest hour, the day with the widest swing."""
        for city in FILES:
            hours = {at: degrees for (where, at), degrees in self.celsius.items() if where == city}
            if hours:
                warmest, coldest = max(hours, key=hours.__getitem__), min(hours, key=hours.__getitem__)
                day, swing = _widest(hours)
                yield (
                    city,
                    f"{len(hours):,}",
                    f"{hours[warmest]:.1f} C, {_said(warmest)}",
                    f"{hours[coldest]:.1f} C, {_said(coldest)}",
                    f"{swing:.1f} C, {day}",
                )


async def handle(event: dict[str, Any], context: object) -> None:
    """The same for a replay, which has no use for the answers."""
    await Weather().handle(event, context)


def _widest(hours: dict[str, float]) -> tuple[str, float]:
    days: dict[str, list[float]] = {}
    for at, degrees in hours.items():
        days.setdefault(at[5:10], []).append(degrees)
    day = max(days, key=lambda day: max(days[day]) - min(days[day]))
    return day, max(days[day]) - min(days[day])


def _said(at: str) -> str:
    return f"{at[5:10]} {at[11:]}"
