"""`esm replay`, as it is typed."""

from __future__ import annotations

from typing import Any

import click

from esm.cli.commands.amounts import MOMENT, check_between
from esm.cli.commands.options import Command, choosing, drain_timeout, endpoint, logged
from esm.cli.past.replay import Options, run_replay

__all__ = ["replay_command"]

_WHOLE = click.IntRange(min=0)


def _settings(command: Command) -> Command:
    """A mapping's settings, in Lambda's words."""
    for decorate in (
        click.option("--maximum-concurrency", type=_WHOLE, metavar="N", help="Calls at once, of messages."),
        click.option(
            "--destination-config", metavar="ARN|file:///...", help="Where failure records go.  [default: none]"
        ),
        click.option("--filter-criteria", multiple=True, metavar="JSON", help="A pattern; may be repeated."),
        click.option("--function-response-types", multiple=True, metavar="TYPE", help="ReportBatchItemFailures"),
        click.option("--tumbling-window-in-seconds", type=_WHOLE, metavar="N"),
        click.option("--bisect-batch-on-function-error/--no-bisect-batch-on-function-error", default=None),
        click.option("--maximum-record-age-in-seconds", type=int, metavar="N"),
        click.option("--maximum-retry-attempts", type=int, metavar="N", help="[default: 0, or the mapping's]"),
        click.option("--parallelization-factor", type=_WHOLE, metavar="N"),
        click.option("--maximum-batching-window-in-seconds", type=_WHOLE, metavar="N"),
        click.option("--batch-size", type=_WHOLE, metavar="N"),
    ):
        command = decorate(command)
    return command


def _which(command: Command) -> Command:
    """Who gets the records, and which of them."""
    for decorate in (
        click.option("--table-key", "key_names", multiple=True, metavar="NAME", help="Of an export: the table's key."),
        click.option("--source-arn", metavar="ARN", help="What events name, when the file does not tell."),
        click.option("--format", type=click.Choice(["recording", "dynamodb-export", "firehose", "failures"])),
        click.option("--key", "keys", multiple=True, help="Records of this key alone; may be repeated."),
        click.option("--shard", "shards", multiple=True, help="Records of this shard alone; may be repeated."),
        click.option("--to", "end", type=MOMENT, metavar="TIME", help="Records before this time.  [of a stream: now]"),
        click.option("--from", "start", type=MOMENT, metavar="TIME", help="Records from this time on."),
        choosing,
        click.option("--mapping", metavar="MODULE:OBJECT", help="Or a mapping, with its settings and function."),
        click.option("--function", metavar="NAME", help="app:handler, app.py:handler, or Lambda's app.handler."),
    ):
        command = decorate(command)
    return command


@click.command("replay", short_help="Run recorded records through a function again.")
@click.argument("sources", metavar="FILE...|s3://...|ARN", nargs=-1, required=True)
@_which
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), metavar="N", help="N times the original pace.")
@click.option("--original-pace", is_flag=True, help="As fast as the records came: --speed 1.")
@_settings
@click.option("--invoke", type=click.IntRange(min=1), metavar="N", help="N calls, in this thread: for breakpoint().")
@click.option("--against", metavar="NAME", help="Another function for the same events; say where results differ.")
@click.option("--skip-invalid", is_flag=True, help="Leave out and count lines that are no record.")
@click.option("--max-receive-count", default=1, type=click.IntRange(min=1), show_default=True, help="Of a message.")
@click.option("--store", default="memory:", metavar="URL", help="Where a replay that breaks off can go on from.")
@endpoint
@drain_timeout
@logged("warning")
def replay_command(**typed: Any) -> int:
    """Run the past again: records of a recording, or of a stream between two times, through a function.

    They go through the same batches, order, filters, retries and windows as live ones, under the settings of a mapping
    or those typed, as fast as possible or at a pace. The positions of a live mapping are neither read nor written.
    With --function a batch that fails is given up at once, unless --maximum-retry-attempts says otherwise. Besides
    recordings it reads Lambda's failure records with their events, DynamoDB exports, and Firehose files of raw records.

    \b
        esm replay orders.jsonl.zst --function app:handle
        esm replay orders-*.jsonl.zst --mapping app:mappings --only handle --batch-size 500 --original-pace
        esm replay orders.jsonl --function app:handle --key 'table 4' --invoke 1
        esm replay orders.jsonl --function app:handle --against fixed.py:handle --batch-size 1
        esm replay s3://failures/aws/lambda/ --function app:handle --live
        esm replay arn:aws:kinesis:eu-west-1:123456789012:stream/orders --function app:handle --live \\
            --from 2026-01-05T10:00:00Z --to 2026-01-05T11:00:00Z
        esm replay export.json.gz --table-key id --function app:handle
    """  # noqa: D301  # click's own mark
    check_between(typed["start"], typed["end"], "--from and --to")
    return run_replay(Options(**typed))
