"""Recordings as they are written, cut off, joined, damaged, and read again."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import subprocess
from base64 import b64decode
from pathlib import Path
from time import process_time
from typing import Any

import duckdb
import msgspec
import pytest

from esm.clock import Millis
from esm.errors import RecordingError
from esm.records.recording import ShardMark, line_of
from esm.records.redaction import Redaction
from esm.sources.files.compressed import PART
from esm.sources.files.recordings import RecordingFile, files_at
from esm.sources.files.writing import RecordingWriter
from tests.unit.sources.recorded import HEADER, QUEUE, line, message, record, written

NAMES = ["orders.jsonl", "orders.jsonl.zst", "orders.jsonl.gz"]


def sequence(path: Path, **options: Any) -> list[int]:
    items = RecordingFile(path, **options).items()
    return [int(item.sequence_number) - 10**20 for item in items if not isinstance(item, ShardMark)]  # type: ignore[union-attr]  # of a stream


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, ShardMark("a", ()), ("a", [record(n) for n in range(3000)]))
    assert sequence(path) == list(range(3000))
    assert not list(tmp_path.glob(f"*{PART}"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", NAMES)
def test_what_was_synced_survives_a_crash(tmp_path: Path, name: str) -> None:
    writer = RecordingWriter(tmp_path / name, HEADER, now=lambda: 0)
    writer.write("a", [record(1), record(2)])
    writer.sync()
    writer.write("a", [record(3)])
    writer.leave()
    part = tmp_path / (name + PART)
    assert not (tmp_path / name).exists()
    found = sequence(part, skip_invalid=True)
    assert found[:2] == [1, 2]
    if name != "orders.jsonl":
        with pytest.raises(RecordingError, match="the compressed data are damaged or break off"):
            sequence(part)


@pytest.mark.parametrize("name", NAMES)
def test_no_file_is_written_over(tmp_path: Path, name: str) -> None:
    written(tmp_path / name)
    with pytest.raises(RecordingError, match="is there already; choose another name"):
        RecordingWriter(tmp_path / name, HEADER, now=lambda: 0)
    (tmp_path / ("b" + name + PART)).touch()
    with pytest.raises(RecordingError, match="of a recording that broke off or still runs"):
        RecordingWriter(tmp_path / ("b" + name), HEADER, now=lambda: 0)
    with pytest.raises(RecordingError, match="No such file or directory"):
        RecordingWriter(tmp_path / "missing" / name, HEADER, now=lambda: 0)


def test_rotation_by_size_makes_files_that_stand_alone(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "orders.jsonl.zst", HEADER, now=lambda: 0, rotate_bytes=100_000)
    writer.mark(ShardMark("a", ("p",)))
    for n in range(30):
        writer.write("a", [record(n, data=os.urandom(30_000).hex())])
    writer.close()
    writer.close()
    assert len(writer.files) > 2
    assert [path.name for path in writer.files[:2]] == ["orders-000001.jsonl.zst", "orders-000002.jsonl.zst"]
    assert files_at(str(tmp_path / "orders-*.jsonl.zst")) == writer.files
    parts = [RecordingFile(path) for path in writer.files]
    assert [part.header.part for part in parts] == list(range(1, len(parts) + 1))
    assert {part.header.id for part in parts} == {"r"}
    assert all(ShardMark("a", ("p",)) in list(part.items()) for part in parts)
    assert [n for path in writer.files for n in sequence(path)] == list(range(30))


def test_rotation_by_time(tmp_path: Path) -> None:
    now: list[Millis] = [0]
    writer = RecordingWriter(tmp_path / "orders.jsonl", HEADER, now=lambda: now[0], rotate_ms=1000)
    writer.write("a", [record(1)])
    now[0] = 1000
    writer.sync()
    writer.sync()
    writer.close()
    assert [sequence(path) for path in writer.files] == [[1], []]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "orders.jsonl", HEADER, now=lambda: 0)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._file)
    os.close(full)
    with pytest.raises(RecordingError, match="No space left on device"):
        writer.write("a", [record(1)])
    writer.leave()


def test_what_is_redacted_is_said_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    writer = RecordingWriter(path, HEADER, now=lambda: 0, redaction=Redaction(["$.card"]))
    writer.write("a", [record(1, data="eyJjYXJkIjoiNDExMSJ9")])
    writer.close()
    assert RecordingFile(path).header.redacted == ("$.card",)
    assert b"NDExMS" not in path.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_files_may_be_joined(tmp_path: Path, name: str) -> None:
    one = written(tmp_path / ("one" + name), ("a", [record(1)]))
    two = written(tmp_path / ("two" + name), ("a", [record(2)]))
    both = tmp_path / name
    both.write_bytes(one.read_bytes() + two.read_bytes())
    assert sequence(both) == [1, 2]


GOOD = line_of(HEADER) + b"".join(line("a", record(n)) for n in range(3))
OTHER = line_of(msgspec.structs.replace(HEADER, source=HEADER.source + "-2"))
HOSTILE: list[tuple[str, bytes, str]] = [
    ("cut off in a line", GOOD[:-9], "line 4: cut off: Input data was truncated"),
    ("garbage between", GOOD + b"garbage\n" + line("a", record(9)), "line 5: JSON is malformed"),
    ("another type", GOOD + b'{"shard_id":7}\n', "line 5: Expected 'str', got 'int' - at '$.shard_id'"),
    ("zero bytes", GOOD + b"\0" * 40 + b"\n", "line 5: JSON is malformed"),
    ("another recording", GOOD + OTHER, "line 5: another recording begins here"),
]


@pytest.mark.parametrize(("data", "problem"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_bad_line_is_named_or_left_out_and_counted(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        sequence(path)
    assert str(caught.value).startswith(f"orders.jsonl, {problem}")
    file = RecordingFile(path, skip_invalid=True)
    assert len([item for item in file.items() if not isinstance(item, ShardMark)]) >= 2
    assert file.invalid == 1
    assert str(file.problem) == str(caught.value)


def test_many_bad_lines_cost_no_more_than_their_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(GOOD + b"garbage\n" * 50_000)
    counted: list[int] = []
    count = RecordingFile.line_at

    def counting(file: RecordingFile, offset: int) -> int:
        counted.append(offset)
        return count(file, offset)

    monkeypatch.setattr(RecordingFile, "line_at", counting)
    file = RecordingFile(path, skip_invalid=True)
    assert len(list(file.items())) == 3
    assert (file.invalid, len(counted)) == (50_000, 1)
    assert str(file.problem).startswith("orders.jsonl, line 5: ")


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"\x89PNG\r\n", b"a,b\n1,2\n", gzip.compress(b"{}", mtime=0)])
def test_a_foreign_file_is_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"orders.jsonl, line 1: .*no recording"):
        RecordingFile(path)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_file_that_is_not_compressed_as_its_name_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD)
    with pytest.raises(RecordingError, match="the compressed data are damaged"):
        RecordingFile(path)


@pytest.mark.parametrize("name", NAMES[1:])
def test_damage_in_compressed_data(tmp_path: Path, name: str) -> None:
    whole = written(tmp_path / name, ("a", [record(n, data=os.urandom(60).hex()) for n in range(30_000)]))
    data = bytearray(whole.read_bytes())
    data[len(data) * 2 // 3] ^= 0xFF
    whole.write_bytes(bytes(data))
    file = RecordingFile(whole, skip_invalid=True)
    found = len(list(file.items()))
    assert 0 < found < 30_000
    assert file.invalid >= 1  # gzip hands out what it made of the damage until its sum is wrong
    with pytest.raises(RecordingError, match=r", line \d+: "):
        sequence(whole)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(RecordingError, match="No such file or directory"):
        RecordingFile(Path("/nowhere/orders.jsonl"))
    with pytest.raises(RecordingError, match="there is no such file"):
        files_at("/nowhere/orders-*.jsonl")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(RecordingError, match="is no regular file"):
        RecordingFile(tmp_path / "pipe.jsonl")
    with pytest.raises(RecordingError, match="Is a directory"):
        RecordingFile(tmp_path)


def test_a_line_without_an_end_costs_no_more_than_its_length(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", ("a", [record(1)]))
    with path.open("ab") as file:
        file.write(b'{"shard_id":"' + b"x" * (40 << 20))
    began = process_time()
    with pytest.raises(RecordingError, match="line 3: "):
        sequence(path)
    assert process_time() - began < 1.5  # joined piece by piece it took ten


def test_a_new_file_is_in_its_folder_before_anything_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    fsync = os.fsync

    def told(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", told)
    writer = RecordingWriter(tmp_path / "r.jsonl", HEADER, now=lambda: 0)
    writer.write("a", [record(1)])
    writer.sync()
    assert synced == [True, False]
    writer.close()
    assert synced == [True, False, False, True]


FEW = [record(n, key=f"k{n % 2}", data="aGk=") for n in range(4)]


def test_jq_reads_it(tmp_path: Path) -> None:
    path = written(tmp_path / "orders.jsonl", ShardMark("a", ()), ("a", FEW))
    shown = [b"k0hi", b"k1hi", b"k0hi", b"k1hi"]
    if shutil.which("jq"):  # it is no package of Python's, and not on every machine
        command = ["jq", "-r", "select(.data) | .partition_key + (.data | @base64d)", str(path)]
        assert subprocess.run(command, capture_output=True, check=True).stdout.split() == shown
    rows = [json.loads(text) for text in path.read_bytes().splitlines()]
    assert [row["partition_key"].encode() + b64decode(row["data"]) for row in rows if "data" in row] == shown


def test_duckdb_reads_it(tmp_path: Path) -> None:
    path = written(tmp_path / "orders.jsonl", ShardMark("a", ()), ("a", FEW))
    query = """
        SELECT partition_key, count(*), min(from_base64(data)::VARCHAR), max(approximate_arrival_timestamp)
        FROM read_json($1, format = 'newline_delimited') WHERE sequence_number IS NOT NULL GROUP BY 1 ORDER BY 1
    """
    assert duckdb.execute(query, [str(path)]).fetchall() == [("k0", 2, "hi", 0.2), ("k1", 2, "hi", 0.3)]


def test_duckdb_reads_messages(tmp_path: Path) -> None:
    header = msgspec.structs.replace(HEADER, kind="sqs", source=QUEUE)
    messages = [message("one", sent=17), message("two", sent=18)]
    path = written(tmp_path / "jobs.jsonl.zst", ("", messages), header=header)
    query = """
        SELECT message_id, attributes.SentTimestamp::BIGINT
        FROM read_json($1, format = 'newline_delimited') WHERE message_id IS NOT NULL ORDER BY 1
    """
    assert duckdb.execute(query, [str(path)]).fetchall() == [("one", 17), ("two", 18)]
