"""`esm run`, as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from esm.cli.commands.options import drain_timeout, endpoint, logged, of_a_file, store, template, which
from esm.cli.running.run import Options, run

__all__ = ["run_command"]


@click.command("run", short_help="Run mappings until SIGTERM or Ctrl-C.")
@which
@store
@endpoint
@template
@click.option(
    "--create-resources", is_flag=True, help="For a FILE: make its streams, tables and queues; local AWS only."
)
@drain_timeout
@click.option("--watch", is_flag=True, help="Load code and mappings anew when their files change; for development.")
@click.option("--http", metavar="ADDRESS", help="Answer probes there, as 127.0.0.1:8080; more in the README.")
@click.option(
    "--http-token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What probes must bear; else ESM_HTTP_TOKEN. Needed where the address is not loopback.",
)
@click.option(
    "--http-host", "http_hosts", multiple=True, metavar="NAME", help="A further name that probes may call it by."
)
@logged("info")
def run_command(**typed: Any) -> int:
    """Run the mappings of MODULE:OBJECT, or of a template, until SIGTERM or Ctrl-C.

    OBJECT is an EventSourceMapping, several of them, or a function that gives them. A signal stops reading and lets
    what is out end; a second one ends at once. On a terminal there is a table, elsewhere there are log lines.

    FILE is a SAM, CloudFormation or CDK template, a serverless.yml, or a file of esm's own (see: esm schema). Its
    functions run from the folders that it names. What it defines is in --account and --region.

    \b
        esm run app:mappings --endpoint-url http://127.0.0.1:4566
        esm run app:mappings --live --only handle --store sqlite:////var/lib/esm/positions.db
        esm run shop.workers:make_mappings --live --json --drain-timeout 50
        esm run app:mappings --live --http 127.0.0.1:8080
        esm run template.yaml --endpoint-url http://127.0.0.1:4566 --create-resources --watch
        esm run template.yaml --live --account 123456789012 --region eu-west-1 --parameter Stage=prod
    """  # noqa: D301  # click's own mark
    of_a_file(typed["target"])
    return run(Options(**typed))
