"""What the commands show: plan, positions, version, the table on a terminal, JSON for machines."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import tomllib
from importlib.metadata import version

import pytest
from rich.console import Console

from esm.cli.running.halts import Halts
from esm.cli.running.live import LiveTable
from esm.cli.running.summary import as_text
from esm.cli.running.tally import Tally
from esm.runtime import driver
from esm.runtime.status import MappingStatus, ShardStatus, WorkerStatus
from esm.telemetry import facts
from esm.telemetry.observer import Observers
from tests.surface.streams import Stream
from tests.surface.typed import PATIENCE, Esm

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
APP = """
import esm

async def handle(event, context): print("handed", len(event["Records"]))
def audit(event, context): pass

orders = esm.EventSourceMapping(
    event_source_arn="{arn}", function=handle, starting_position="TRIM_HORIZON", batch_size=10
)
audits = esm.EventSourceMapping(
    event_source_arn="{arn}", function="app.audit", starting_position="LATEST", enabled=False,
    bisect_batch_on_function_error=True, uuid="the-audits",
)
mappings = [orders, audits]
def make(): return iter(mappings)
class inner: both = tuple(mappings)
"""


def use(esm_: Esm, arn: str = ARN) -> None:
    esm_.app(APP.replace("{arn}", arn))


@pytest.mark.parametrize("target", ["app:mappings", "app:make", "app:inner.both"])
def test_plan_lists_every_mapping(esm_: Esm, target: str) -> None:
    use(esm_)
    ended = esm_("plan", target)
    assert (ended.code, ended.err) == (0, "")
    orders, audits = ended.out.split("\n\n")
    assert orders.startswith(f"handle < {ARN}\n")
    assert "app:handle (awaited), timeout 3 s" in orders
    assert "  batch_size = 10  *" in orders
    assert "  parallelization_factor = 1\n" in orders
    assert audits.startswith(f"audit < {ARN} (not enabled)\n")
    assert "app:audit (in a thread)" in audits
    assert "bisect_batch_on_function_error = true  *" in audits
    assert list(esm_.folder.glob("*.db")) == []


def test_plan_as_json_speaks_as_aws_does(esm_: Esm) -> None:
    use(esm_)
    (audits,) = json.loads(esm_("plan", "app:mappings", "--only", "the-audits", "--json").out)
    assert audits["UUID"] == "the-audits"
    assert audits["EventSourceArn"] == ARN
    assert audits["BisectBatchOnFunctionError"] is True
    assert audits["Enabled"] is False


def test_a_choice_of_mappings(esm_: Esm) -> None:
    use(esm_)
    assert esm_("plan", "app:mappings", "--only", "handle").out == esm_("plan", "app:orders").out
    assert esm_("plan", "app:mappings", "--except", "the-audits").out == esm_("plan", "app:orders").out


def test_modules_are_found_in_another_folder(esm_: Esm) -> None:
    use(esm_)
    (esm_.folder / "elsewhere").mkdir()
    (esm_.folder / "app.py").rename(esm_.folder / "elsewhere" / "app.py")
    assert esm_("plan", "app:mappings").code == 3
    assert esm_("plan", "app:mappings", "--app-dir", "elsewhere").code == 0


def test_the_version(esm_: Esm) -> None:
    compiled = "" if str(driver.__file__).endswith(".py") else ", compiled"
    assert esm_("--version").out == f"{version('asyncio-esm')}\n"
    assert esm_("version").out == f"{version('asyncio-esm')}{compiled}\n"


def test_help_teaches_by_example(esm_: Esm) -> None:
    for command in (
        (),
        ("run",),
        ("plan",),
        ("positions", "show"),
        ("filter",),
        ("filter", "explain"),
        ("filter", "lint"),
    ):
        ended = esm_(*command, "--help")
        assert ended.code == 0
        assert re.search(rf"^ +esm {' '.join(command) or 'run'} ?", ended.out, re.MULTILINE)


def test_a_run_has_no_fact_built_of_each_checkpoint() -> None:
    observers = Observers([Tally(), Halts(lambda: None)])
    assert not observers.wants(facts.CheckpointStored)
    assert observers.wants(facts.ShardHalted)


@pytest.mark.parametrize("group", ["filter", "positions"])
def test_no_line_of_a_group_s_commands_is_cut(esm_: Esm, group: str) -> None:
    listed = esm_(group, "--help").out.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_the_file_in_the_help_of_schema_is_one(esm_: Esm) -> None:
    shown = esm_("schema", "--help").out
    text = shown[shown.index("[[EventSourceMappings]]") : shown.index("esm schema >")]
    assert tomllib.loads(text)["Functions"]["orders"] == {"Handler": "app.handle", "CodeUri": "src"}


def test_help_fits_on_a_screen_and_no_line_is_cut(esm_: Esm) -> None:
    help_, _, exits = esm_("--help").out.partition("Exit codes:")
    assert len(help_.splitlines()) <= 40
    assert exits
    listed = help_.partition("Commands:")[2]
    assert "what-if" in listed
    assert "..." not in listed


def test_positions_of_no_store(esm_: Esm) -> None:
    ended = esm_("positions", "show", "--store", "sqlite:///none.db")
    assert ended.code == 7
    assert "there is no such file" in ended.line
    assert esm_("positions", "show", "--store", "memory:").code == 7
    assert list(esm_.folder.iterdir()) == []


@pytest.mark.service
def test_what_was_settled_is_shown_and_not_read_again(esm_: Esm, stream: Stream) -> None:
    *_, last = stream.put(*"abcdefghijklmno")
    use(esm_, stream.arn)
    arguments = ("run", "app:mappings", "--endpoint-url", stream.url, "--json", "--log-level", "debug")
    with esm_.running(*arguments) as running:
        running.until("checkpoint_stored", settled=last)
        shown = esm_("positions", "show", "--json")  # while the worker runs
        assert running.end(signal.SIGINT)[0] == 0
    (mapping,) = running.summary["mappings"]
    assert (mapping["records"], mapping["invocations"]) == (15, 2)
    (lease,) = json.loads(shown.out)
    assert lease["owner"]
    assert (lease["position"], lease["ended"], lease["epoch"]) == (last, False, 1)
    text = esm_("positions", "show").out
    assert text.split("\n")[0].split() == ["mapping", "shard", "owner", "epoch", "position", "ended"]
    assert text.split("\n")[1].split()[1:] == ["shardId-000000000000", "-", "2", last, "no"]

    with esm_.running(*arguments) as running:
        running.until("polled")
        assert running.end()[0] == 0
    assert running.summary["mappings"][0]["invocations"] == 0


@pytest.mark.service
def test_a_table_on_a_terminal(esm_: Esm, stream: Stream) -> None:
    stream.put("a", "b", "c")
    use(esm_, stream.arn)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 160, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "esm", "run", "app:orders", "--endpoint-url", stream.url],
        cwd=esm_.folder,
        env=esm_.environment() | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    try:
        while "handle < orders" not in shown or "handed" not in shown:
            shown += os.read(ours, 65536).decode()
        process.send_signal(signal.SIGINT)
        while part := read(ours):
            shown += part
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    for column in ("records/s", "lag", "in flight", "retries", "errors"):
        assert column in shown
    assert "esm: running, Ctrl-C stops it" in shown
    assert "handed 3" in shown
    assert "ended clean" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("shard", ["shardId-000000000000", "shardId-00000001764547200000-cfcd2084"])
def test_a_table_on_a_narrow_terminal_is_folded_and_not_cut(shard: str) -> None:
    shown = io.StringIO()
    console = Console(width=80, file=shown)
    console.print(
        LiveTable(Tally(), console).table(status_of(ShardStatus(shard_id=shard, state="reading", behind_ms=1_200)))
    )
    assert "\u2026" not in shown.getvalue()
    for word in ("mapping", "shard", "state", "records/s", "lag", "retries", "errors", "handle", "reading", "1.2 s"):
        assert f"{word} " in shown.getvalue()


def test_the_lag_is_that_of_what_is_read_and_not_settled_too() -> None:
    shard = ShardStatus(shard_id="1", state="reading", behind_ms=0, oldest_age_ms=7_200_000)
    shown = io.StringIO()
    console = Console(width=160, file=shown)
    console.print(LiveTable(Tally(), console).table(status_of(shard)))
    assert "2 h 0 min" in shown.getvalue()
    assert as_text(status_of(shard), Tally(), 0, 1_000).splitlines()[1].endswith("2 h 0 min")


def test_the_summary_names_the_shards_that_were_halted() -> None:
    halted = ShardStatus(shard_id="shardId-000000000001", state="halted", last_error="17 calls hang")
    text = as_text(status_of(ShardStatus(shard_id="shardId-000000000000", state="stopped"), halted), Tally(), 0, 1_000)
    assert text.splitlines()[2:] == [
        "halted: handle < orders, shardId-000000000001: 17 calls hang",
        "ended clean after 1.0 s",
    ]


def status_of(*shards: ShardStatus) -> WorkerStatus:
    mapping = MappingStatus(
        uuid="1",
        event_source_arn=ARN,
        function_name="handle",
        state="Enabled",
        state_transition_reason="User action",
        last_processing_result="OK",
        shards=shards,
    )
    return WorkerStatus(id="here", stopping=False, mappings=(mapping,))


def read(terminal: int) -> str:
    """What stands on it; "" once its other end is closed."""
    try:
        return os.read(terminal, 65536).decode()
    except OSError:
        return ""
