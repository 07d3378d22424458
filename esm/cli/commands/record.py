"""`esm record`, as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from esm.cli.commands.amounts import BYTES, MOMENT, SPAN, check_between
from esm.cli.commands.options import endpoint, logged
from esm.cli.past.record import Options, run_record

__all__ = ["record_command"]


@click.command("record", short_help="Record a stream, or what is in a queue, into a file.")
@click.argument("source", metavar="ARN")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="FILE.zst is compressed."
)
@click.option("--trim-horizon", is_flag=True, help="From the oldest record kept, not from now.")
@click.option("--from", "since", type=MOMENT, metavar="TIME", help="From this time on, not from now.")
@click.option("--until", type=MOMENT, metavar="TIME", help="Up to this time.")
@click.option("--duration", type=SPAN, metavar="SPAN", help="For so long: 30s, 10m, 2h.")
@click.option("--records", type=click.IntRange(min=1), metavar="N", help="So many records.")
@click.option("--copy", is_flag=True, help="Of a queue: receive each message, and show it to others again at once.")
@click.option("--drain", is_flag=True, help="Of a queue: take the messages, each once it is on the disk.")
@click.option("--redact", multiple=True, metavar="PATH", help="JSON path of what is not to be kept; may be repeated.")
@click.option("--rotate-size", type=BYTES, metavar="SIZE", help="Another file after so much: 64MB.")
@click.option("--rotate-every", type=SPAN, metavar="SPAN", help="Another file after so long: 1h.")
@endpoint
@logged("warning")
def record_command(**typed: Any) -> int:
    """Record what comes on a stream, or what is in a queue, to be replayed.

    A stream is read beside everybody else, all shards, through splits and merges, and no position is stored. A queue's
    messages are copied (which counts as a receive of each: a queue with a dead-letter queue may move them there) or
    taken; of a message group of a FIFO queue a copy sees the first ten at most. Goes on until it has what was asked
    for, or Ctrl-C. FILE is written as FILE.part until it is complete.

    A file is JSON Lines: a header, then one record a line, for jq, DuckDB and esm replay.

    \b
        esm record arn:aws:kinesis:eu-west-1:123456789012:stream/orders -o orders.jsonl.zst --live --duration 10m
        esm record arn:aws:kinesis:eu-west-1:123456789012:stream/orders -o all.jsonl --trim-horizon --records 1000 \\
            --redact '$.card' --redact '$..email' --endpoint-url http://127.0.0.1:4566
        esm record arn:aws:sqs:eu-west-1:123456789012:jobs -o jobs.jsonl --copy --live --duration 1m
    """  # noqa: D301  # click's own mark
    check_between(typed["since"], typed["until"], "--from and --until")
    return run_record(Options(**typed))
