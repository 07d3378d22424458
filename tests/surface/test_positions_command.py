"""`esm positions`: what is shown, what is moved, what is refused, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from esm.cli.command_line import run_command_line
from esm.cli.exits import Exit
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.window import Window
from esm.stores.presence import Presence
from esm.stores.sqlite import SqliteStore
from tests.surface.streams import Stream
from tests.surface.typed import Esm

T = TypeVar("T")
AT = 1_732_200_000_000
LATEST = Position.latest(AT)
APP = """
import esm
async def handle(event, context): print("handed", [r["kinesis"]["partitionKey"] for r in event["Records"]], flush=True)
async def fails(event, context): raise ValueError
orders = esm.EventSourceMapping(
    event_source_arn="{arn}", function={function}, starting_position="TRIM_HORIZON", batch_size=1, uuid="orders",
    filter_criteria={filters},
)
"""


def in_store(folder: Path, act: Callable[[SqliteStore], Awaitable[T]]) -> T:
    async def main() -> T:
        store = SqliteStore(folder / "esm.db")
        await store.open()
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(main())


def lease(shard: int, *settled: str, mapping: str = "orders", **more: object) -> Lease:
    checkpoint = Checkpoint(LATEST, (LanePositions(settled),) if settled else (), **more)  # type: ignore[arg-type]  # a test's own
    return Lease(LeaseKey(mapping, "1.0", f"shardId-{shard}"), checkpoint)


def fill(esm_: Esm, *leases: Lease) -> None:
    in_store(esm_.folder, lambda store: store.create(leases))


def stored(esm_: Esm) -> dict[str, Lease]:
    return {one.key.shard_id: one for one in in_store(esm_.folder, lambda store: store.load_all())}


def test_set_moves_what_is_selected_and_says_from_where_to_where(esm_: Esm) -> None:
    fill(esm_, lease(0, "5", "9"), lease(1, "7"), lease(2, "8", mapping="audits"))
    ended = esm_("positions", "set", "TRIM_HORIZON", "--mapping", "orders")
    assert ended.code == 0
    assert [line.split() for line in ended.out.splitlines()] == [
        ["mapping", "shard", "from", "to"],
        ["orders", "shardId-0", "5", "(TRIM_HORIZON)"],
        ["orders", "shardId-1", "7", "(TRIM_HORIZON)"],
        ["moved", "2", "positions"],
    ]
    rows = stored(esm_)
    assert rows["shardId-0"].checkpoint == rows["shardId-1"].checkpoint == Checkpoint(Position.trim_horizon())
    assert rows["shardId-2"] == lease(2, "8", mapping="audits")


@pytest.mark.parametrize("command", [("set", "end"), ("rewind", "--to", "2h"), ("set", "12")])
def test_a_dry_run_moves_nothing(esm_: Esm, command: tuple[str, ...]) -> None:
    fill(esm_, lease(0, "5"))
    before = stored(esm_)
    ended = esm_("positions", *command, "--shard", "shardId-0", "--dry-run")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "would move 1 position")
    assert stored(esm_) == before
    assert esm_("positions", "log").out == "nothing was ever moved\n"


def test_a_number_is_text_and_of_one_shard(esm_: Esm) -> None:
    fill(esm_, lease(0, "5"), lease(1))
    number = "049590338271490256608559692538361571095921575989136588898"
    refused = esm_("positions", "set", number, "--all")
    assert (refused.code, "orders/shardId-0, orders/shardId-1" in refused.line) == (2, True)
    assert esm_("positions", "set", number, "--shard", "shardId-0").code == 0
    assert stored(esm_)["shardId-0"].checkpoint == Checkpoint(LATEST, (LanePositions((number,)),))
    (row, _) = json.loads(esm_("positions", "show", "--json").out)
    assert row["position"] == number


def test_latest_is_a_moment_and_leaves_alone_what_has_ended(esm_: Esm) -> None:
    fill(esm_, lease(0, "5"), lease(1, "7", ended=True))
    assert esm_("positions", "set", "LATEST", "--all").code == 0
    rows = stored(esm_)
    assert rows["shardId-1"] == lease(1, "7", ended=True)
    assert rows["shardId-0"].checkpoint.start.at is not None
    assert rows["shardId-0"].checkpoint.start.at > AT


def test_rewind_opens_what_has_ended_and_says_what_else_it_does(esm_: Esm) -> None:
    fill(esm_, lease(0, "5", ended=True), lease(1, "7", window=Window(0, 60_000, '{"n":1}')))
    ended = esm_("positions", "rewind", "--to", "2024-11-21T15:40:00+01:00", "--all")
    assert ended.code == 0
    assert "shardId-0 was read to its end" in ended.out
    assert "shardId-1 has an open window: its state is dropped" in ended.out
    assert {one.checkpoint for one in stored(esm_).values()} == {Checkpoint(Position.at_timestamp(AT))}
    assert esm_("positions", "rewind", "--to", "2024-11-21T14:40:00Z", "--all").out.startswith("nothing to move")


def test_every_move_is_in_the_log(esm_: Esm) -> None:
    fill(esm_, lease(0, "5"))
    esm_("positions", "set", "3", "--all")
    esm_("positions", "set", "end", "--all")
    first, second = json.loads(esm_("positions", "log", "--json").out)
    assert (first["command"], first["from"]["position"], first["to"]["position"]) == ("set 3", "5", "3")
    assert (second["command"], second["from"]["ended"], second["to"]["ended"]) == ("set end", False, True)
    assert first["who"].endswith(f"@{socket.gethostname()}")
    assert [first["epoch"], second["epoch"]] == [1, 2]
    assert "set end" in esm_("positions", "log").out.splitlines()[2]


def test_while_a_worker_lives_its_shards_are_moved_by_force_alone(esm_: Esm) -> None:
    fill(esm_, lease(0, "5"), lease(1, "7"))
    in_store(esm_.folder, lambda store: store.take(lease(0, "5"), "worker-1"))
    shown = esm_("positions", "show").out.splitlines()
    assert "worker-1 (gone)" in shown[1]
    presence = Presence(esm_.folder / "esm.db")
    presence.declare("worker-1")
    try:
        assert "worker-1 (gone)" not in esm_("positions", "show").out
        before = stored(esm_)
        for dry in ([], ["--dry-run"]):
            refused = esm_("positions", "set", "LATEST", "--all", *dry)
            assert (refused.code, stored(esm_)) == (Exit.IN_USE, before)
            assert "shardId-0 is read by worker-1, which is running" in refused.line
        assert esm_("positions", "set", "9", "--shard", "shardId-1").code == 0  # nobody reads this one
        assert esm_("positions", "set", "3", "--shard", "shardId-0", "--force").code == 0
    finally:
        presence.close()
    moved = stored(esm_)["shardId-0"]
    assert (moved.owner, moved.epoch, moved.checkpoint.settled) == (None, 2, "3")
    assert json.loads(esm_("positions", "log", "--json").out)[-1]["owner"] == "worker-1"


def test_after_a_worker_was_killed_its_shards_are_moved_without_force(esm_: Esm) -> None:
    fill(esm_, lease(0, "5"))
    in_store(esm_.folder, lambda store: store.take(lease(0, "5"), "worker-1"))
    assert esm_("positions", "set", "3", "--all").code == 0


def test_export_and_import_are_there_and_back(esm_: Esm) -> None:
    fill(esm_, lease(0, "0005", None), lease(1, "7", window=Window(0, 60_000, '{"n":1.50}')), lease(2, ended=True))  # type: ignore[arg-type]  # a lane that has settled nothing
    before = stored(esm_)
    assert esm_("positions", "export", "positions.jsonl").code == 0
    text = (esm_.folder / "positions.jsonl").read_text()
    assert esm_("positions", "export").out == text
    assert esm_("positions", "import", "positions.jsonl").out.startswith("nothing to move")
    assert esm_("positions", "set", "TRIM_HORIZON", "--all").code == 0
    assert esm_("positions", "import", "-", typed=text).code == 0
    after = stored(esm_)
    assert {key: one.checkpoint for key, one in after.items()} == {key: one.checkpoint for key, one in before.items()}
    assert {one.epoch for one in after.values()} == {2}
    other = ("--store", "sqlite:///other.db")
    assert esm_("positions", "import", "positions.jsonl", *other, "--dry-run").code == 0
    assert not (esm_.folder / "other.db").exists()
    assert esm_("positions", "import", "positions.jsonl", *other).code == 0
    assert esm_("positions", "export", *other).out == text


def test_a_bad_file_moves_nothing_at_all(esm_: Esm) -> None:
    fill(esm_, lease(0, "5"), lease(1, "7"))
    esm_("positions", "export", "positions.jsonl")
    esm_("positions", "set", "TRIM_HORIZON", "--all")
    before = stored(esm_)
    text = (esm_.folder / "positions.jsonl").read_text().replace('"7"', "7")
    (esm_.folder / "positions.jsonl").write_text(text)
    refused = esm_("positions", "import", "positions.jsonl")
    assert refused.code == Exit.INVALID
    assert refused.line == "esm: positions.jsonl: line 3: lanes[0][0]: expected `str | null`, got `int`"
    assert stored(esm_) == before


def test_a_file_that_cannot_be_written_or_read_is_no_fault_of_esm(esm_: Esm) -> None:
    fill(esm_, lease(0, "5"))
    refused = esm_("positions", "export", "nowhere/positions.jsonl")
    assert refused.code == Exit.INVALID
    assert refused.line == "esm: FILE='nowhere/positions.jsonl': No such file or directory"
    (esm_.folder / "closed").symlink_to("/proc/self/mem")  # whose beginning cannot be read, by root neither
    refused = esm_("positions", "import", "closed")
    assert (refused.code, refused.line) == (Exit.INVALID, "esm: FILE='closed': Input/output error")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("set", "LATEST"), "Give --mapping or --shard, or --all"),
        (("set", "LATEST", "--all", "--shard", "shardId-0"), "Give --mapping or --shard, or --all"),
        (("set", "latest", "--all"), "POSITION='latest': write TRIM_HORIZON, LATEST, end, or a sequence number"),
        (("set", "\u0663", "--all"), "write TRIM_HORIZON, LATEST, end"),
        (("set", "1" * 129, "--all"), "write TRIM_HORIZON, LATEST, end"),
        (("rewind", "--to", "9" * 5000 + "h", "--all"), "is no time; write ISO 8601 with its zone"),
        (("rewind", "--to", "soon", "--all"), "is no time; write ISO 8601 with its zone"),
        (("rewind", "--to", "2024-11-21T15:40:00", "--all"), "has no zone"),
        (("rewind", "--to", "2999-01-01T00:00:00Z", "--all"), "is in the future"),
        (("rewind", "--to", "99999d", "--all"), "is before 1970"),
        (("set", "LATEST", "--mapping", "other"), "the store has orders; functions and ARNs are known with --app"),
        (("set", "LATEST", "--shard", "shardId-9"), "the store has shardId-0"),
        (("skip", "0"), "0 is not in the range"),
        (("skip", "1"), "Give --app MODULE:OBJECT"),
    ],
)
def test_what_is_refused(
    esm_: Esm,
    typed: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(esm_, lease(0, "5"))
    before = stored(esm_)
    monkeypatch.chdir(esm_.folder)
    assert run_command_line(["positions", *typed]) == Exit.INVALID
    assert said in capsys.readouterr().err
    assert stored(esm_) == before


def test_a_skip_reads_a_real_source_only_on_purpose(esm_: Esm) -> None:
    fill(esm_, lease(0, "5"))
    use(esm_, "arn:aws:kinesis:eu-west-1:000000000000:stream/orders")
    refused = esm_("positions", "skip", "1", "--app", "app:orders")
    assert refused.code == Exit.GUARD
    assert "would read arn:aws:kinesis:eu-west-1:000000000000:stream/orders at AWS" in refused.line


def test_a_mapping_is_named_by_its_function_or_its_source_too(esm_: Esm) -> None:
    arn = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
    use(esm_, arn)
    fill(esm_, lease(0, "5"), lease(1, "7", mapping="audits"))
    for name in ("orders", "handle", arn):
        (row,) = json.loads(esm_("positions", "show", "--json", "--app", "app:orders", "--mapping", name).out)
        assert (row["shard"], row["function"], row["event_source_arn"]) == ("shardId-0", "handle", arn)


def test_help_teaches_by_example(esm_: Esm) -> None:
    for command in ("show", "set", "rewind", "skip", "export", "import", "log"):
        assert f"      esm positions {command}" in esm_("positions", command, "--help").out


@pytest.mark.service
def test_a_poison_pill_is_passed_over_and_the_next_is_delivered(esm_: Esm, stream: Stream) -> None:
    first, *_ = stream.put("0", key="before")
    stream.put("1", key="filtered")
    pill, *_ = stream.put("2", key="pill")
    stream.put("3", key="behind")
    where = ("--endpoint-url", stream.url)
    use(esm_, stream.arn)
    with esm_.running("run", "app:orders", *where, "--json", "--log-level", "debug") as running:
        running.until("checkpoint_stored", settled=first)
        assert running.end()[0] == 0
    at = {one.checkpoint.settled for one in stored(esm_).values()}
    skip = ("positions", "skip", "1", "--app", "app:orders", *where)
    esm_("positions", "set", first, "--all")
    dry = json.loads(esm_(*skip, "--dry-run", "--json").out)
    assert at
    assert (dry["skipped"]["records"], dry["skipped"]["filtered"], dry["skipped"]["last"]) == (1, 1, pill)
    done = esm_(*skip)
    assert done.code == 0, done.err
    assert f"1 of shardId-000000000000, and 1 that filters drop: {dry['skipped']['first']} to {pill}" in done.out
    assert json.loads(esm_("positions", "log", "--json").out)[-1]["command"].endswith(f"to {pill})")
    with esm_.running("run", "app:orders", *where, "--json", "--log-level", "debug") as running:
        running.until("invocation_ended")
        assert running.end()[0] == 0
    assert "handed ['behind']" in running.out
    assert "pill" not in running.out
    many = esm_("positions", "skip", "50", "--app", "app:orders", *where)
    assert "no record is waiting in shardId-000000000000" in many.out


@pytest.mark.service
def test_a_worker_that_runs_is_asked_first_and_goes_on_from_where_its_shard_was_moved_to(
    esm_: Esm, stream: Stream
) -> None:
    (first,) = stream.put("1", key="first")
    use(esm_, stream.arn)
    run = ("run", "app:orders", "--endpoint-url", stream.url, "--json", "--log-level", "debug")
    with esm_.running(*run) as running:
        running.until("checkpoint_stored", settled=first)
        refused = esm_("positions", "set", "TRIM_HORIZON", "--all")
        assert (refused.code, "which is running; stop it first, or add --force" in refused.line) == (Exit.IN_USE, True)
        assert esm_("positions", "set", "TRIM_HORIZON", "--all", "--force").code == 0
        (second,) = stream.put("2", key="second")
        running.until("lease_lost")
        running.until("checkpoint_stored", settled=second)
        assert running.end()[0] == 0
    handed = [line for line in running.out.splitlines() if line.startswith("handed")]
    assert handed[0] == "handed ['first']"
    assert handed[-2:] == ["handed ['first']", "handed ['second']"]
    (moved,) = json.loads(esm_("positions", "log", "--json").out)
    assert (moved["epoch"], moved["from"]["position"], moved["owner"] is None) == (2, first, False)


def use(esm_: Esm, arn: str, function: str = "handle") -> None:
    filters = '[{"partitionKey": [{"anything-but": ["filtered"]}]}]'
    esm_.app(APP.replace("{arn}", arn).replace("{function}", function).replace("{filters}", filters))
