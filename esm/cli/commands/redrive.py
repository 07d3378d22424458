"""`esm redrive`, as it is typed."""

from __future__ import annotations

from typing import Any

import click

from esm.cli.commands.options import choosing, endpoint, logged
from esm.cli.past.redrive import Options, run_redrive

__all__ = ["redrive_command"]


@click.command("redrive", short_help="Run again what failed, from its failure records.")
@click.argument("source", metavar="QUEUE|FILE|s3://...")
@click.option("--function", metavar="NAME", help="Who gets the records: app:handler, or Lambda's app.handler.")
@click.option("--mapping", metavar="MODULE:OBJECT", help="Or the mappings they failed in, with filters and answers.")
@choosing
@click.option("--dry-run", is_flag=True, help="Say what would be done; call nothing, delete nothing.")
@click.option("--one-by-one", is_flag=True, help="A call for each record, instead of one for each document.")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Records in a call.")
@click.option("--attempts", type=click.IntRange(min=1), default=1, show_default=True, help="Calls of a batch at most.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Documents at most.")
@click.option("--store", envvar="ESM_STORE", metavar="URL", help="Where positions are, to tell what was handled since.")
@endpoint
@logged("warning")
def redrive_command(**typed: Any) -> int:
    """Run again what failed: the failure records in a queue, a bucket or a file.

    Each record names a range of a shard. That range is read from its stream again, or taken from the record where S3 or
    a file holds the event; the function is called; and only when all of it succeeded, the record is deleted (of a file:
    struck off in FILE.redriven). What cannot be redriven stays, and the exit code is 14: past retention, unreadable,
    failed again. A dry run receives a queue's messages and shows them again.

    \b
        esm redrive arn:aws:sqs:eu-west-1:123456789012:failed --function app:handle --live --dry-run
        esm redrive arn:aws:sqs:eu-west-1:123456789012:failed --mapping app:mappings --live --one-by-one
        esm redrive s3://failures/aws/lambda/ --function app:handle --endpoint-url http://127.0.0.1:4566
        esm redrive failed.jsonl --function app:handle --endpoint-url http://127.0.0.1:4566
    """  # noqa: D301  # click's own mark
    return run_redrive(Options(**typed))
