"""The group that all commands belong to, and where errors become sentences and exit statuses."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import rich_click as click
import structlog
from click.exceptions import Exit

from entrypoints import tracebacks
from entrypoints.cli import (
    aliases,
    audit,
    backends,
    children,
    completion,
    doctor,
    keys,
    policies,
    prompts,
    running,
    tenants,
    top,
    usage,
)
from entrypoints.cli.printing import complain, examples
from entrypoints.cli.problems import EXIT_STATUSES, STATUS_FAILED, STATUS_INTERRUPTED, sentences
from entrypoints.cli.session import Session
from entrypoints.version import own_version

_PANELS: dict[str, list[click.Command]] = {
    "Run": [running.quickstart, running.serve, running.migrate, running.simulate],
    "Tenants": [
        tenants.create_tenant,
        tenants.list_tenants,
        tenants.show_tenant,
        tenants.suspend_tenant,
        tenants.resume_tenant,
    ],
    "Keys": [keys.create_key, keys.list_keys, keys.show_key, keys.rotate_key, keys.revoke_key],
    "What may be used": [
        policies.set_limits,
        policies.set_budgets,
        policies.set_models,
        aliases.set_alias,
        aliases.list_aliases,
        usage.usage,
    ],
    "Prompt log": [prompts.set_prompt_logging, prompts.prompts],
    "Backends": [backends.add_backend, backends.remove_backend, backends.list_backends],
    "Operation": [doctor.doctor, top.top, audit.audit, completion.completion],
}


class _Root(click.RichGroup):
    """Tells what went wrong, whichever command it was."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; leaves with the status that says how it went."""
        session = ctx.ensure_object(Session)
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            raise Exit(STATUS_INTERRUPTED) from None
        except (click.ClickException, Exit, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001  the last net: nothing of it may be told unseen
            told = sentences(error, session)
            if told is None and session.environ.get("LOG_LEVEL", "").lower() == "debug":
                click.echo(tracebacks.of(error), err=True)
            for sentence in told or [_unexpected(error)]:
                complain(sentence)
            raise Exit(STATUS_FAILED) from None


def _unexpected(error: Exception) -> str:
    """Without the error's own text, which nobody has looked at for secrets."""
    return f"Something unexpected failed ({type(error).__name__}); set LOG_LEVEL=debug to see where."


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "neuronetz-gateway quickstart",
        "neuronetz-gateway create-tenant --name acme",
        "neuronetz-gateway create-key --tenant acme --name first",
    )
    + EXIT_STATUSES,
)
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read settings from this file; the environment wins over it.  [default: .env here, if there is one]",
)
@click.version_option(own_version())
@click.pass_obj
def cli(session: Session, *, env_file: Path | None) -> None:
    """A secure, multi-tenant gateway in front of self-hosted Ollama."""
    session.env_file = env_file
    _quiet_logs()


for _title, _commands in _PANELS.items():
    cli.add_panel(click.RichCommandPanel(_title, commands=[str(command.name) for command in _commands]))
    for _command in _commands:
        cli.add_command(_command)
for _command in (children.serve_child, children.serve_prepare):
    cli.add_command(_command)


def _quiet_logs() -> None:
    """Keeps libraries' lines out of what commands print. Serving sets up logs of its own."""
    logging.getLogger().addHandler(logging.NullHandler())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def main() -> None:
    """The command line."""
    try:
        cli(prog_name="neuronetz-gateway")
    except KeyboardInterrupt:
        sys.exit(STATUS_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(STATUS_FAILED)
