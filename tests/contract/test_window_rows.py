"""An open tumbling window is kept in the row of its shard, beside the position that its state belongs to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from esm.errors import StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.window import Window, state_text
from esm.stores.rows import Row, lease_of, row_of

STATES: list[dict[str, Any]] = [{}, {"sum": 2**70, "ä": ["𝄞", None, 1.5]}, {"half": "\ud834"}, {"n": float("inf")}]


def lease(window: Window | None) -> Lease:
    checkpoint = Checkpoint(Position.trim_horizon(), (LanePositions(("7",)),), window=window)
    return Lease(LeaseKey("m", "s", "shardId-0"), checkpoint)


def with_text(row: Row, text: str) -> Row:
    return (*row[:7], text, *row[8:])


@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_window_comes_back_as_it_was(state: dict[str, Any]) -> None:
    for early in (True, False):
        kept = lease(Window(1_732_200_000_000, 1_732_200_060_000, state_text(state), terminated_early=early))
        assert lease_of(row_of(kept)) == kept


def test_a_row_from_before_there_were_windows_is_read() -> None:
    row = row_of(lease(None))
    checkpoint = msgspec.json.decode(row[7])
    del checkpoint["window"]
    assert lease_of(with_text(row, msgspec.json.encode(checkpoint).decode())) == lease(None)


@pytest.mark.parametrize("window", ['{"start":1}', '{"start":1,"end":2,"state":"{"}', '{"start":1,"end":2,"state":{}}'])
def test_a_damaged_window_is_refused_by_name(window: str) -> None:
    row = row_of(lease(None))
    with pytest.raises(StoreError, match=r"m/shardId-0.*damaged"):
        lease_of(with_text(row, row[7].replace('"window":null', f'"window":{window}')))
