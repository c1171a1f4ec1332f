"""The command that prints what makes a shell complete our commands, options, tenants and keys.

The script is click's own for each shell: at a Tab it runs this program with a variable set, and `root` answers.
"""

from __future__ import annotations

import rich_click as click
from click.shell_completion import get_completion_class

PROGRAM = "neuronetz-gateway"
_VARIABLE = "_NEURONETZ_GATEWAY_COMPLETE"
_INSTALLING = {
    "bash": "neuronetz-gateway completion bash > ~/.local/share/bash-completion/completions/neuronetz-gateway",
    "zsh": "neuronetz-gateway completion zsh > ~/.zfunc/_neuronetz-gateway  (~/.zfunc in $fpath before compinit)",
    "fish": "neuronetz-gateway completion fish > ~/.config/fish/completions/neuronetz-gateway.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_INSTALLING)))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    """Print the completion script of bash, zsh or fish, with a line that says how to install it."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    script = (kind.source_template % kind(ctx.find_root().command, {}, PROGRAM, _VARIABLE).source_vars()).strip()
    first, _, rest = script.partition("\n")
    remark = f"# To install it: {_INSTALLING[shell]}"
    # zsh looks at the first line, where its own remark must stay.
    click.echo("\n".join([first, remark, rest] if first.startswith("#") else [remark, first, rest]))
