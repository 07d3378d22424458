"""The two functions, as they would stand in Lambda, and their mappings."""

from __future__ import annotations

from collections import Counter
from typing import Any

import esm

__all__ = ["FILTER", "NAIVE", "WINDOW_S", "Alerts", "Sums", "mappings"]

WINDOW_S = 4

FILTER = {
    "eventName": ["MODIFY"],
    "dynamodb": {
        "NewImage": {"city": {"S": ["San Francisco"]}, "feels": {"S": ["hot"]}},
        "OldImage": {"feels": {"S": [{"anything-but": ["hot"]}]}},
    },
}
"""A day in San Francisco that was not hot before, and is now."""

NAIVE = {"dynamodb": {"NewImage": {"celsius": {"N": [{"numeric": [">=", 22]}]}}}}
"""What looks right and never matches."""


class Alerts:
    """Is called with filtered changes only."""

    def __init__(self) -> None:
        self.days: list[str] = []

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        """Says which days became hot."""
        for record in event["Records"]:
            image = record["dynamodb"]["NewImage"]
            self.days.append(image["day"]["S"])
            print(f"   alert: {image['city']['S']}, {image['day']['S']}: {image['celsius']['N']} C")


class Sums:
    """Is called with all changes of a window, a batch at a time, and once more when it is over."""

    def __init__(self) -> None:
        self.windows: list[dict[str, Any]] = []
        self.calls = 0

    async def handle(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Counts changes by kind, and keeps the warmest one. Its memory is the state, not this object."""
        self.calls += 1
        state = event["state"]
        if event["isFinalInvokeForWindow"]:
            self.windows.append(state)
            _say(event["window"], state)
            return {"state": {}}
        counts = Counter(state.get("changes", {}))
        counts.update(record["eventName"] for record in event["Records"])
        images = [record["dynamodb"].get("NewImage", {}) for record in event["Records"]]
        warmest = [[float(image["celsius"]["N"]), image["city"]["S"]] for image in images if "celsius" in image]
        return {"state": {"changes": counts, "warmest": max([*warmest, state.get("warmest", [-99, ""])])}}

    @property
    def changes(self) -> Counter[str]:
        """Of all windows that are over."""
        return sum((Counter(window["changes"]) for window in self.windows), Counter())


def mappings(stream_arn: str, alerts: Alerts, sums: Sums) -> list[esm.EventSourceMapping]:
    """Two mappings on one stream: AWS refuses a filter and a tumbling window in one."""
    return [
        esm.EventSourceMapping(
            event_source_arn=stream_arn,
            function=esm.Function(alerts.handle, name="alerts"),
            starting_position="TRIM_HORIZON",
            filter_criteria=[FILTER],
        ),
        esm.EventSourceMapping(
            event_source_arn=stream_arn,
            function=esm.Function(sums.handle, name="sums"),
            starting_position="TRIM_HORIZON",
            tumbling_window_in_seconds=WINDOW_S,
        ),
    ]


def _say(window: dict[str, str], state: dict[str, Any]) -> None:
    counts = Counter(state["changes"])
    kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in ("INSERT", "MODIFY", "REMOVE"))
    degrees, city = state["warmest"]
    print(f"   window {window['start'][11:19]} to {window['end'][11:19]}: {kinds}; warmest: {degrees} C in {city}")
