"""Commands that `serve --processes N` starts by itself, hidden from help: nobody else has a use for them."""

from __future__ import annotations

import rich_click as click

from entrypoints.cli.printing import say
from entrypoints.cli.problems import STATUS_FAILED, sentences
from entrypoints.cli.session import Session


@click.command("serve-child", hidden=True)
@click.option("--place", type=int, required=True, help="1 to N.")
@click.option("--listener-fd", type=int, required=True, help="Descriptor of the shared socket.")
@click.option("--line-fd", type=int, required=True, help="Descriptor of the line to the parent.")
@click.option("--only-when-ready", is_flag=True, help="Accept connections only when every part is well.")
@click.pass_context
def serve_child(ctx: click.Context, *, place: int, listener_fd: int, line_fd: int, only_when_ready: bool) -> None:
    """Serve as one of several processes."""
    settings = (ctx.find_object(Session) or Session()).settings
    from entrypoints import launch  # noqa: PLC0415  the server is not loaded for the sake of other commands
    from entrypoints.parent import serving_child as child  # noqa: PLC0415  as above

    try:
        child.serve_child(settings, place, listener_fd, line_fd, only_when_ready=only_when_ready)
    except (child.NotReady, launch.GatewayBroken):
        ctx.exit(STATUS_FAILED)  # the log has said why


@click.command("serve-prepare", hidden=True)
@click.pass_context
def serve_prepare(ctx: click.Context) -> None:
    """Check the settings and migrate; what is wrong goes to stdout, a line each, for the parent to tell."""
    session = ctx.find_object(Session) or Session()
    from adapters.postgres.migrating import CannotMigrate  # noqa: PLC0415  Alembic is not loaded for other commands
    from entrypoints.parent.preparing import prepare  # noqa: PLC0415  as above

    try:
        prepare(session.settings)
    except Exception as error:
        told = [str(error)] if isinstance(error, CannotMigrate) else sentences(error, session)
        if told is None:
            raise
        for sentence in told:
            say(sentence)
        ctx.exit(STATUS_FAILED)
