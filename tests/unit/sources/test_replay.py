"""A recording as a stream: all of it once, in order, with bounded memory, and an end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esm.errors import RecordingError
from esm.records.position import Position
from esm.records.recording import ShardMark, line_of
from esm.sources import replay
from esm.sources.files import lines
from esm.sources.files.selection import Unmatched
from tests.unit.sources.recorded import HEADER, line, numbers, opened, read_all, read_shard, record, written

TWO = (("a", [record(n) for n in range(0, 10, 2)]), ("b", [record(n) for n in range(1, 10, 2)]))
EACH = {"a": [0, 2, 4, 6, 8], "b": [1, 3, 5, 7, 9]}


def test_each_shard_gives_its_own(tmp_path: Path) -> None:
    assert read_all(opened(written(tmp_path / "r.jsonl", *TWO))) == EACH


def test_pages_are_as_large_as_is_asked_for(tmp_path: Path) -> None:
    assert read_all(opened(written(tmp_path / "r.jsonl", *TWO)), limit=2) == EACH


def test_the_files_of_a_recording_are_one(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"r-{n}.jsonl", part) for n, part in enumerate(TWO)]
    assert read_all(opened(*paths)) == EACH


def test_files_of_two_sources_are_not(tmp_path: Path) -> None:
    other = HEADER.__class__(
        **{**{f: getattr(HEADER, f) for f in HEADER.__struct_fields__}, "source": HEADER.source + "2"}
    )
    paths = [written(tmp_path / "1.jsonl", TWO[0]), written(tmp_path / "2.jsonl", TWO[1], header=other)]
    with pytest.raises(RecordingError, match=r"2.jsonl, line 1: is of .*orders2, and the files before it of"):
        read_all(opened(*paths))


def test_an_empty_recording_has_no_shards(tmp_path: Path) -> None:
    assert read_all(opened(written(tmp_path / "r.jsonl"))) == {}


def test_what_is_wanted(tmp_path: Path) -> None:
    records = [record(n, key=f"k{n % 2}", at=float(n)) for n in range(10)]
    path = written(tmp_path / "r.jsonl", ("a", records), ("b", records))
    wanted = {"since": 2000, "until": 8000, "shards": ["b"], "keys": ["k1"]}
    assert read_all(opened(path, selection=wanted)) == {"b": [3, 5, 7]}


def test_what_is_asked_for_in_vain(tmp_path: Path) -> None:
    parts = [(f"s{shard}", [record(n, key=f"k{n}") for n in range(5)]) for shard in range(7)]
    path = written(tmp_path / "r.jsonl", *parts)

    def in_vain(**wanted: Any) -> list[tuple[str, str, tuple[str, ...], bool]]:
        stream = opened(path, selection=wanted)
        assert stream.unmatched == (), "nothing was read yet"
        read_all(stream)
        missed: tuple[Unmatched, ...] = stream.unmatched
        return [(each.option, each.asked, each.there, each.more) for each in missed]

    there = ("s0", "s1", "s2", "s3", "s4")
    assert in_vain(shards=["s1"], keys=["k4"]) == []
    assert in_vain(shards=["s1", "s9"], keys=["k4"]) == [("shard", "s9", there, True)]
    assert in_vain(shards=["s8", "s9"], keys=["k9"]) == [("shard", "s8", there, True), ("shard", "s9", there, True)]
    assert in_vain(shards=["s9", "s1"], keys=["k9"]) == [
        ("shard", "s9", there, True),
        ("key", "k9", ("k0", "k1", "k2"), True),
    ]
    assert in_vain(until=300, keys=["k4"]) == [("key", "k4", ("k0", "k1", "k2"), False)]


def test_a_shard_goes_on_behind_what_was_settled(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", ("a", [record(n) for n in range(6)]))

    async def main() -> list[int]:
        stream = opened(path)
        await stream.shards()
        got = await read_shard(stream, "a", Position.after(record(3).sequence_number))
        await stream.close()
        return numbers(got)

    assert asyncio.run(main()) == [4, 5]


def test_a_shard_that_is_opened_again_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", *TWO)

    async def main() -> tuple[list[int], list[int]]:
        stream = opened(path)
        await stream.shards()
        first = await stream.open("a", Position.trim_horizon()).read(3)
        again = await read_shard(stream, "a", Position.after(first.records[0].sequence_number))
        other = await read_shard(stream, "b")
        await stream.close()
        return numbers(again), numbers(other)

    assert asyncio.run(main()) == ([2, 4, 6, 8], EACH["b"])


def test_shards_that_come_late_are_listed_before_it_ends(tmp_path: Path) -> None:
    parts: list[Any] = [ShardMark("a", ()), TWO[0], ShardMark("a", (), shard_ended=True)]
    parts += [ShardMark("c", ("a",)), ("c", [record(20)])]
    path = written(tmp_path / "r.jsonl", *parts)

    async def main() -> list[tuple[str, tuple[str, ...]]]:
        stream = opened(path)
        assert [shard.shard_id for shard in await stream.shards()]
        await read_shard(stream, "a")
        listed = [(shard.shard_id, shard.parents) for shard in await stream.shards()]
        await stream.close()
        return listed

    assert asyncio.run(main()) == [("a", ()), ("c", ("a",))]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few lines, and no room to keep them."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", 300)
    monkeypatch.setattr("esm.sources.files.compressed.PLAIN_BYTES", 200)
    monkeypatch.setattr("esm.sources.files.reel.FRAME_BYTES", 400)
    monkeypatch.setattr(replay, "KEPT_BYTES_MAX", 1000)


@pytest.mark.usefixtures("small")
def test_a_shard_that_comes_late_is_found_by_one_that_is_read_by_itself(tmp_path: Path) -> None:
    """The shared pass stands still where the other shard ended; what follows is met by nobody else."""
    parts: list[Any] = [
        ("a", [record(n) for n in range(100)]),
        ("b", [record(200)]),
        ShardMark("b", (), shard_ended=True),
    ]
    parts += [("a", [record(n) for n in range(100, 200)]), ("c", [record(n) for n in range(300, 330)])]
    path = written(tmp_path / "r.jsonl", *parts)

    async def main() -> tuple[list[int], list[str]]:
        stream = opened(path)
        await stream.shards()
        reader = stream.open("a", Position.trim_horizon())
        while "b" not in stream.tracks:
            await stream.pump(lambda: "b" not in stream.tracks)
        assert stream.tracks["a"].dropped is not None
        await read_shard(stream, "b")
        got: list[int] = []
        ended = False
        while not ended:
            page = await reader.read(50)
            got, ended = got + numbers(page.records), page.ended
        listed = [shard.shard_id for shard in await stream.shards()]
        await stream.close()
        return got, listed

    assert asyncio.run(main()) == (list(range(200)), ["a", "b", "c"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.zst"])
def test_a_shard_that_falls_behind_is_read_by_itself(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, ("a", [record(n) for n in range(200)]), ("b", [record(n) for n in range(200, 400)]))

    async def main() -> tuple[list[int], list[int], bool]:
        stream = opened(path)
        await stream.shards()
        reader = stream.open("a", Position.trim_horizon())
        first = numbers((await reader.read(3)).records)
        while "b" not in stream.tracks:
            await stream.pump(lambda: "b" not in stream.tracks)
        of_b = await read_shard(stream, "b")
        dropped = stream.tracks["a"].dropped is not None
        assert sum(track.size for track in stream.tracks.values()) <= 2000
        ended = False
        while not ended:
            page = await reader.read(50)
            first, ended = first + numbers(page.records), page.ended
        await stream.close()
        return first, numbers(of_b), dropped

    of_a, of_b, dropped = asyncio.run(main())
    assert (of_a, of_b) == (list(range(200)), list(range(200, 400)))
    assert dropped or name != "r.jsonl"  # a small file is unpacked at once


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40)), max_size=30), st.integers(1, 60))
@pytest.mark.usefixtures("small")
def test_nothing_is_lost_whatever_the_shards_do(tmp_path: Path, runs: list[tuple[str, int]], limit: int) -> None:
    path = tmp_path / "r.jsonl"
    path.unlink(missing_ok=True)
    number, parts, expected = 0, [], dict[str, list[int]]()
    for shard, count in runs:
        parts.append((shard, [record(n) for n in range(number, number + count)]))
        expected.setdefault(shard, []).extend(range(number, number + count))
        number += count
    assert read_all(opened(written(path, *parts)), limit=limit) == expected


OUT_OF_ORDER = line_of(HEADER) + b"".join(line("a", record(n)) for n in (1, 2, 2, 1, 3))
NO_NUMBER = line_of(HEADER) + line("a", record(1)) + line("a", record(2)).replace(b"100000000000000000002", b"two")


@pytest.mark.parametrize(
    ("data", "problem", "left", "count"),
    [
        (OUT_OF_ORDER, "line 4: it is not behind the record of its shard before it", [1, 2, 3], 2),
        (NO_NUMBER, "line 3: its sequence number is no number", [1], 1),
    ],
)
def test_records_are_in_order_or_left_out(
    tmp_path: Path, data: bytes, problem: str, left: list[int], count: int
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=problem):
        read_all(opened(path))
    stream = opened(path, skip_invalid=True)
    assert read_all(stream) == {"a": left}
    assert stream.invalid == count
    assert problem in str(stream.problem)


CUT_OFF = line_of(HEADER) + line("a", record(1)) + line("a", record(3)) + b"{"


@pytest.mark.parametrize(("data", "left"), [(OUT_OF_ORDER, 2), (CUT_OFF, 3)])
def test_what_stands_before_a_fault_is_given(tmp_path: Path, data: bytes, left: int) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)

    async def main() -> list[int]:
        stream = opened(path)
        (shard,) = await stream.shards()
        reader = stream.open(shard.shard_id, Position.trim_horizon())
        page = await reader.read(100)
        for _ in range(2):
            with pytest.raises(RecordingError, match=r"r.jsonl, line 4: "):
                await reader.read(100)
        await stream.close()
        assert not page.ended
        return numbers(page.records)

    assert asyncio.run(main()) == [1, left]


def test_where_it_breaks_off_is_no_end(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(line_of(HEADER) + line("a", record(1)) + line("b", record(1)) + b'{"shard_id":')

    async def main() -> list[str]:
        stream, told = opened(path), []
        for shard in await stream.shards():
            reader = stream.open(shard.shard_id, Position.trim_horizon())
            assert numbers((await reader.read(1)).records) == [1]
            with pytest.raises(RecordingError) as caught:
                await reader.read(1)
            told.append(str(caught.value))
        await stream.close()
        return told

    assert asyncio.run(main()) == ["r.jsonl, line 4: cut off: Input data was truncated"] * 2


def test_a_pace_holds_records_back(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", ("a", [record(n, at=1000 + n * 0.1) for n in range(4)]))

    async def main() -> list[int]:
        stream = opened(path, speed=10.0)
        await stream.shards()
        reader, pages = stream.open("a", Position.trim_horizon()), []
        while not (page := await reader.read(100)).ended:
            pages.append(len(page.records))
        await stream.close()
        return pages

    pages = asyncio.run(main())
    assert sum(pages) == 4
    assert len(pages) > 1
