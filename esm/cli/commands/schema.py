"""`esm schema`, as it is typed."""

from __future__ import annotations

import json

import click

__all__ = ["schema_command"]


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of esm's own file, for editors.

    Such a file names mappings and functions in Lambda's words, and no more than that:

    \b
        [[EventSourceMappings]]
        EventSourceArn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
        FunctionName = "orders"
        StartingPosition = "TRIM_HORIZON"

    \b
        [Functions.orders]
        Handler = "app.handle"
        CodeUri = "src"

    \b
        esm schema >esm.schema.json
        esm plan esm.toml
    """  # noqa: D301  # click's own mark
    from esm.templates.schema import own_schema  # noqa: PLC0415  # other commands need none of it

    click.echo(json.dumps(own_schema(), indent=2))
