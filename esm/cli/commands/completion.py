"""`esm completion`, as it is typed."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion_command"]

_SHELLS = ("bash", "fish", "zsh")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options.

    \b
        eval "$(esm completion bash)"                               in ~/.bashrc
        eval "$(esm completion zsh)"                                in ~/.zshrc
        esm completion fish >~/.config/fish/completions/esm.fish    once
    """  # noqa: D301  # click's own mark
    complete = get_completion_class(shell)
    if complete is not None:
        click.echo(complete(context.find_root().command, {}, "esm", "_ESM_COMPLETE").source())
