"""The ring of hash keys, lineage, and the shape of sequence numbers."""

from __future__ import annotations

import random
from itertools import count, pairwise

import pytest

from esm.testing.shards import SimulatedStream


def _stream(shards: int = 1) -> SimulatedStream:
    numbers = count(10**55)
    return SimulatedStream("arn", shards, incarnation=1, now=lambda: 1_000, number=numbers.__next__)


def _covered(stream: SimulatedStream) -> list[tuple[int, int]]:
    shards = [stream.shard(shard) for shard in stream.open_shards]
    return [(shard.low, shard.high) for shard in shards]


def test_open_shards_tile_the_ring_however_they_are_resharded() -> None:
    rng = random.Random(5)
    stream = _stream(3)
    for _ in range(200):
        if rng.random() < 0.5 or len(stream.open_shards) == 1:
            stream.split(rng.choice(stream.open_shards))
        else:
            stream.merge(*rng.choice(stream.adjacent_pairs()))
        ranges = _covered(stream)
        assert ranges[0][0] == 0
        assert ranges[-1][1] == 2**128 - 1
        assert all(low == high + 1 for (_, high), (low, _) in pairwise(ranges))


def test_a_key_goes_where_its_md5_lies() -> None:
    # MD5("a") = 0cc1..., MD5("b") = 92eb..., halves of the ring
    stream = _stream(2)
    assert stream.put(b"", "a")[0] == "shardId-000000000000"
    assert stream.put(b"", "b")[0] == "shardId-000000000001"
    assert stream.put(b"", "a", shard=1)[0] == "shardId-000000000001"
    assert stream.put(b"", "b", shard="shardId-000000000000")[0] == "shardId-000000000000"


def test_a_key_moves_to_the_child_that_has_its_hash() -> None:
    stream = _stream(1)
    low, high = stream.split(0)
    assert stream.put(b"", "a")[0] == low
    assert stream.put(b"", "b")[0] == high
    child = stream.merge(low, high)
    assert stream.put(b"", "a")[0] == stream.put(b"", "b")[0] == child


def test_lineage_and_numbers() -> None:
    stream = _stream(1)
    record = stream.put(b"x", "a")[1]
    low, high = stream.split(0)
    child = stream.merge(high, low)
    parent, left, right, merged = (stream.shard(number) for number in range(4))
    assert parent.closes is not None
    assert parent.opens < int(record.sequence_number) < parent.closes < left.opens < right.opens
    assert [each.shard_id for each in parent.children] == [low, high]
    assert left.parents == right.parents == ("shardId-000000000000",)
    assert merged.parents == (high, low)
    assert left.children == right.children == [merged]
    assert merged.shard_id == child
    assert merged.closes is None


def test_a_split_can_be_uneven() -> None:
    stream = _stream(1)
    stream.split(0, at=100)
    assert _covered(stream) == [(0, 99), (100, 2**128 - 1)]


@pytest.mark.parametrize("at", [0, 2**128])
def test_a_split_outside_the_shard_is_refused_and_changes_nothing(at: int) -> None:
    stream = _stream(1)
    with pytest.raises(ValueError, match="not inside"):
        stream.split(0, at=at)
    assert stream.open_shards == ["shardId-000000000000"]


def test_what_is_closed_stays_closed() -> None:
    stream = _stream(2)
    stream.split(0)
    for refused in (lambda: stream.split(0), lambda: stream.merge(0, 1), lambda: stream.put(b"", "a", shard=0)):
        with pytest.raises(ValueError, match="closed"):
            refused()
    assert len(stream.shards) == 4


def test_only_neighbours_merge() -> None:
    stream = _stream(3)
    with pytest.raises(ValueError, match="adjacent"):
        stream.merge(0, 2)
    assert len(stream.open_shards) == 3


def test_an_unknown_shard_is_unknown() -> None:
    with pytest.raises(KeyError):
        _stream().shard(7)
    assert _stream().readable("shardId-000000000007") is None
