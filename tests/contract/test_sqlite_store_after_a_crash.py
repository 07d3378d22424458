"""A store of positions on a full disk, in another event loop, and after `kill -9`."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from esm.errors import StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores.sqlite import SqliteStore

LEASE = Lease(LeaseKey("m", "s", "shardId-0"), Checkpoint(Position.trim_horizon()))

WRITER = """
import asyncio, sys
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    (lease,) = await store.load("m")
    lease = await store.take(lease, f"writer of {lease.epoch}")
    first = int(lease.checkpoint.settled or 0) + 1
    for number in range(first, first + 1_000_000):
        lanes = LanePositions((str(number),) * 10)
        lease = await store.checkpoint(lease, Checkpoint(lease.checkpoint.start, (lanes,)))
        print(number, flush=True)

asyncio.run(main())
"""

HALF_WAY = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE esm_lease SET owner = 'thief', epoch = 99, settled = '99'")
connection.execute("CREATE TABLE ballast AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
                   " SELECT i, hex(zeroblob(50)) AS zeros FROM n")
print("written, not committed", flush=True)
sys.stdin.read()
"""


def settled(number: int) -> Checkpoint:
    return Checkpoint(Position.trim_horizon(), (LanePositions((str(number),)),))


async def prepared(file: Path) -> Lease:
    store = SqliteStore(file)
    await store.open()
    await store.create([LEASE])
    await store.close()
    return LEASE


async def row(file: Path) -> Lease:
    store = SqliteStore(file)
    await store.open()
    (found,) = await store.load("m")
    await store.close()
    return found


def environment() -> dict[str, str]:
    """Without coverage, whose own file would fill the disk, or be left half written."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return inherited | {"PYTHONPATH": str(Path(__file__).parents[2])}


def started(program: str, file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def killed(process: subprocess.Popen[str]) -> str:
    """What it had still said when it died."""
    process.send_signal(signal.SIGKILL)
    assert process.stdin is not None
    assert process.stdout is not None
    rest = process.stdout.read()
    assert process.wait(30) == -signal.SIGKILL
    process.stdin.close()
    process.stdout.close()
    return rest


@pytest.mark.parametrize("acknowledged", [1, 7, 600])
def test_after_kill_9_the_last_acknowledged_checkpoint_stands(tmp_path: Path, acknowledged: int) -> None:
    file = tmp_path / "esm.db"
    asyncio.run(prepared(file))
    last = 0
    for epoch in (1, 2):
        writer = started(WRITER, file)
        assert writer.stdout is not None
        heard = [writer.stdout.readline() for _ in range(acknowledged)]
        rest = killed(writer).splitlines(keepends=True)
        last = int([line for line in heard + rest if line.endswith("\n")][-1])
        found = asyncio.run(row(file))
        assert last <= int(found.checkpoint.settled or 0) <= last + 1  # the last answer may not have been heard
        assert found.epoch == epoch
    assert last >= 2 * acknowledged


def test_a_stopped_process_is_waited_for_by_nobody_and_writes_nothing_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "esm.db"
    asyncio.run(prepared(file))
    writer = started(WRITER, file)
    assert writer.stdout is not None
    heard = [int(writer.stdout.readline()) for _ in range(100)]
    writer.send_signal(signal.SIGSTOP)

    async def take_it() -> Lease:
        store = SqliteStore(file)
        await store.open()
        (row,) = await store.load("m")
        taken = await store.take(row, "b")
        await store.checkpoint(taken, settled(10**9))
        await store.close()
        return taken

    taken = asyncio.run(take_it())
    writer.send_signal(signal.SIGCONT)
    heard += map(int, writer.stdout.read().splitlines())
    assert writer.wait(30) == 1  # its lease is lost
    writer.communicate()
    assert int(taken.checkpoint.settled or 0) >= max(heard)
    assert asyncio.run(row(file)).checkpoint.settled == str(10**9)


def test_after_kill_9_within_a_transaction_the_checkpoint_before_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "esm.db"
    asyncio.run(prepared(file))
    writer = started(HALF_WAY, file)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written, not committed\n"
    assert Path(f"{file}-wal").stat().st_size > 1_000_000
    killed(writer)
    assert asyncio.run(row(file)) == LEASE


@pytest.mark.parametrize("at_once", [1, 10])
def test_a_full_disk_is_a_store_error_and_nothing_is_written(tmp_path: Path, at_once: int) -> None:
    async def scenario() -> None:
        store = SqliteStore(tmp_path / "esm.db")
        await store.open()
        leases = [Lease(LeaseKey("m", "s", f"{n}"), LEASE.checkpoint) for n in range(at_once)]
        await store.create(leases)
        mine = [await store.take(lease, "a") for lease in leases]
        await _may_grow_by(store, 0)
        wide = Checkpoint(Position.trim_horizon(), (LanePositions(("1" * 56,) * 300),))
        answers = await asyncio.gather(*(store.checkpoint(one, wide) for one in mine), return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreError] * at_once
        assert all("SQLITE_FULL" in str(answer) for answer in answers)
        await _may_grow_by(store, 1000)
        assert sorted(await store.load("m"), key=lambda one: one.key) == mine
        await asyncio.gather(*(store.checkpoint(one, wide) for one in mine))
        await store.close()

    asyncio.run(scenario())


async def _may_grow_by(store: SqliteStore, more: int) -> None:
    """Pages that the file may get yet."""
    pages = await store._do(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    limit = f"PRAGMA max_page_count = {pages + more}"
    await store._do(lambda db: db.execute(limit).fetchone())


def test_a_write_that_the_system_refuses_is_a_store_error(tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that fails in the middle of a write."""
    wide = WRITER.replace("* 10)", "+ ('9' * 56,) * 40)")  # more than a slot takes
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n" + wide
    file = tmp_path / "esm.db"
    asyncio.run(prepared(file))
    writer = subprocess.run(
        [sys.executable, "-c", limited, str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environment(),
    )
    assert writer.returncode == 1
    assert "esm.errors.StoreError" in writer.stderr
    assert asyncio.run(row(file)).checkpoint.settled == writer.stdout.splitlines()[-1]


def test_a_store_belongs_to_the_event_loop_that_opened_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "esm.db")
    asyncio.run(store.open())
    with pytest.raises(StoreError, match="another event loop"):
        asyncio.run(store.load("m"))
    asyncio.run(store.close())
    assert not [thread for thread in threading.enumerate() if thread.name == "esm-sqlite"]


def test_a_loop_that_ends_before_its_answer_takes_nothing_with_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "esm.db")
    go_on = threading.Event()

    async def left_behind() -> None:
        await store.open()
        await store.create([LEASE])
        call = asyncio.create_task(store._do(lambda _: go_on.wait(10)))
        await asyncio.sleep(0)
        call.cancel()

    asyncio.run(left_behind())
    go_on.set()
    asyncio.run(store.close())
    assert asyncio.run(row(tmp_path / "esm.db")) == LEASE


def test_a_program_that_forgets_to_close_ends_and_keeps_what_was_answered(tmp_path: Path) -> None:
    program = WRITER.replace("range(first, first + 1_000_000)", "range(first, first + 3)")
    asyncio.run(prepared(tmp_path / "esm.db"))
    writer = started(program, tmp_path / "esm.db")
    said, _ = writer.communicate(timeout=30)
    assert (writer.returncode, said) == (0, "1\n2\n3\n")
    assert asyncio.run(row(tmp_path / "esm.db")).checkpoint.settled == "3"


def test_the_stored_shape_is_the_documented_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SqliteStore(tmp_path / "esm.db")
        await store.open()
        lanes = (LanePositions(("0042",)), LanePositions((None, "43")))
        await store.create([Lease(LEASE.key, Checkpoint(Position.latest(7), lanes, ended=True), ("p", "q"))])
        await store.close()

    asyncio.run(scenario())
    with closing(sqlite3.connect(tmp_path / "esm.db")) as connection:
        names = [column[1] for column in connection.execute("PRAGMA table_info(esm_lease)")]
        assert dict(zip(names, connection.execute("SELECT * FROM esm_lease").fetchone(), strict=True)) == {
            "mapping": "m",
            "stream": "s",
            "shard_id": "shardId-0",
            "parents": '["p","q"]',
            "owner": None,
            "epoch": 0,
            "beat": 0,
            "checkpoint": '{"start":{"type":"LATEST","at":7,"sequence_number":null},'
            '"lanes":[{"settled":["0042"]},{"settled":[null,"43"]}],"ended":true,"window":null}',
            "settled": "42",
            "ended": 1,
            "newest": None,
        }
