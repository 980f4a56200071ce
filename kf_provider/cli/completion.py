"""
`kf completion`: what a shell needs to complete `kf`.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> int:
    """
    Print the completion of `kf` for a shell.

    \b
    Examples:
      kf completion bash > ~/.local/share/bash-completion/completions/kf
      kf completion zsh > "${fpath[1]}/_kf"
      kf completion fish > ~/.config/fish/completions/kf.fish
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(completion(ctx.find_root().command, {}, "kf", "_KF_COMPLETE").source())
    return 0
