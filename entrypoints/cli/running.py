"""Commands that run something: the gateway, the migrations, the whole on one machine, a simulated backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import rich_click as click

from entrypoints.cli.printing import examples, note, say
from entrypoints.cli.problems import Failure
from entrypoints.cli.session import Session
from entrypoints.core_files import leave_none
from entrypoints.listening import PortTaken
from entrypoints.observability.listener import MetricsPortTaken
from entrypoints.observing import set_up_logs
from entrypoints.settings import Settings, SettingsError
from entrypoints.state_file import state_file

_PORT = click.IntRange(1, 65535)
_SIMULATED_PORT = 11435
"""Beside Ollama's own, so that both can run, and always the same, so that it can be written down."""


@click.command(
    "serve",
    epilog=examples(
        "neuronetz-gateway serve --host 127.0.0.1 --port 8080",
        "neuronetz-gateway --env-file /etc/neuronetz/gateway.env serve --processes 4",
    ),
)
@click.option("--host", metavar="H", help="Address to listen on.  [default: HOST]")
@click.option("--port", type=_PORT, help="TCP port to listen on.  [default: PORT]")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Gateway processes that share the port; each can fill one CPU core.  [default: PROCESSES]",
)
@click.pass_obj
def serve(session: Session, *, host: str | None, port: int | None, processes: int | None) -> None:
    """Migrate the database and serve.

    SIGTERM or Ctrl-C stops: running calls are given DRAIN_TIMEOUT_S to end. A second one cuts them at once.

    With several processes SIGHUP replaces them one by one, each with settings read afresh, and loses no call; one that
    dies is started again. With one process, and when its terminal is closed, SIGHUP stops like SIGTERM.
    """

    def given(settings: Settings) -> Settings:
        return attrs.evolve(
            settings,
            host=host or settings.host,
            port=port or settings.port,
            processes=processes or settings.processes,
        )

    settings = given(session.settings)
    settings.need("DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "OLLAMA_BACKENDS")
    leave_none()
    if settings.processes > 1:
        _serve_with_several(settings, lambda: given(session.read_again()), session.program)
    else:
        _serve_alone(settings)


def _serve_alone(settings: Settings) -> None:
    from adapters.postgres.migrating import CannotMigrate  # noqa: PLC0415  as below
    from entrypoints import launch  # noqa: PLC0415  the server is not loaded for the sake of other commands

    try:
        launch.serve(settings, settings.host, settings.port)
    except (PortTaken, MetricsPortTaken, launch.GatewayBroken, CannotMigrate) as error:
        raise Failure(str(error)) from error


def _serve_with_several(settings: Settings, reread: Callable[[], Settings], program: Sequence[str]) -> None:
    from entrypoints.parent import keeping  # noqa: PLC0415  as above

    set_up_logs(settings.log_level, settings.log_format)
    try:
        keeping.keep(keeping.Orders(settings=settings, reread=reread, program=program))
    except keeping.NotPrepared as error:
        raise SettingsError(error.problems) from error
    except (PortTaken, MetricsPortTaken, keeping.NoneListens, keeping.SomeKilled) as error:
        raise Failure(str(error)) from error


@click.command("migrate")
@click.pass_obj
def migrate(session: Session) -> None:
    """Bring the database to the newest schema. `serve` does so too."""
    database_url = session.settings.need_database_url()
    from adapters.postgres import migrating  # noqa: PLC0415  Alembic is not loaded for the sake of other commands

    try:
        applied = migrating.upgrade(database_url.unwrap())
    except migrating.CannotMigrate as error:
        raise Failure(str(error)) from error
    say(f"Migrated: {', '.join(applied)}." if applied else "The database has the newest schema already.")


@click.command("quickstart")
@click.option("--once", is_flag=True, help="Show one answer and end.")
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), metavar="D", help="Where to keep state.")
@click.option("--run-as", metavar="U", help="Account that the stores run as, when started by root.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="Address to listen on.")
@click.option("--port", type=_PORT, default=8080, show_default=True, help="TCP port to listen on.")
@click.pass_obj
def quickstart(
    session: Session, *, once: bool, state_dir: Path | None, run_as: str | None, host: str, port: int
) -> None:
    """Run everything on this machine: real stores, a first tenant and key, and one real answer.

    The stores come with the package. Other commands on this machine find them as long as this runs. With another
    --state-dir, name its file to them: neuronetz-gateway --env-file D/gateway.env list-tenants
    """
    from adapters.postgres.migrating import CannotMigrate  # noqa: PLC0415  as below
    from entrypoints import launch  # noqa: PLC0415  as below
    from entrypoints import quickstart as whole  # noqa: PLC0415  loads the server and the stores' supervisor
    from entrypoints.quickstart_screen import NoAnswer  # noqa: PLC0415  as above

    state = state_dir or session.default_state_dir
    env_file = None if state_dir is None else state_file(state).absolute()
    wishes = whole.Wishes(once=once, state_dir=state, env_file=env_file, run_as=run_as, host=host, port=port)
    try:
        whole.quickstart(session.settings_of_quickstart(state), wishes)
    except (PortTaken, launch.GatewayBroken, CannotMigrate, NoAnswer) as error:
        raise Failure(str(error)) from error


@click.command("simulate", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def simulate(ctx: click.Context, *, arguments: tuple[str, ...]) -> None:
    """Run a simulated Ollama, for trying the gateway without a model. Takes --host, --port and more: see --help."""
    from entrypoints.simulator.serving import main as run  # noqa: PLC0415  a program of its own

    note("This is a simulated backend: it has no model.")
    ctx.exit(run(list(arguments), prog="neuronetz-gateway simulate", port=_SIMULATED_PORT))
