"""Brings the schema up to date before anything is served.

Several gateways may start at once: one session lock in PostgreSQL lets one migrate while the others wait, then see
that nothing is left to do. The migrations lie beside the packages, in a checkout and in the wheel alike.

A migration that waits for a table's lock makes everybody else wait behind it. So it waits for half a second only, lets
them pass, and tries again: a forgotten transaction of a stranger delays the migration and not the calls.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from adapters.postgres.address import SCHEMA, DatabaseAddress

MIGRATIONS = Path(__file__).parents[2] / "migrations"
_LOCK = "hashtextextended('neuronetz.migrations', 0)"
_PAUSE_S = 0.2
_TABLE_LOCK_TIMEOUT = "500ms"


class CannotMigrate(RuntimeError):
    """The schema could not be brought up to date; says why and what to do."""


def upgrade(database_url: str, *, lock_patience_s: float = 60.0, target: str = "head") -> Sequence[str]:
    """Applies every migration that is missing, and returns their revisions, oldest first.

    Args:
        database_url: of the schema's owner, if anything is missing.
        lock_patience_s: how long to wait for others, in all.
        target: the revision to end at; tests begin at former ones.

    Raises:
        CannotMigrate: somebody else holds a lock for too long, or the database refused.
        ValueError: the URL has no form we know.
    """
    try:
        with _connected(database_url) as connection:
            _wait_for_lock(connection, lock_patience_s)
            _make_schema(connection)
            before = _revision(connection)
            config = _config()
            missing = _newer_than(before, config, target)
            if missing:
                config.attributes["connection"] = connection
                _apply(connection, config, target, lock_patience_s)
            return missing
    except psycopg.Error as error:
        raise CannotMigrate(_sentence(error)) from error


def current(database_url: str) -> str | None:
    """The revision the database is at; None for an empty one.

    Raises:
        CannotMigrate: the database cannot be asked.
        ValueError: the URL has no form we know.
    """
    try:
        with _connected(database_url) as connection:
            return _revision(connection)
    except psycopg.Error as error:
        raise CannotMigrate(_sentence(error)) from error


@contextmanager
def _connected(database_url: str) -> Iterator[Connection]:
    parameters = DatabaseAddress.read(database_url).parameters(
        name="neuronetz-migrate", connect_timeout_s=10, settings={"lock_timeout": _TABLE_LOCK_TIMEOUT}
    )
    # SQLAlchemy is only asked to carry the connection: it never sees the URL, so it cannot print it
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(**parameters), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except Exception as error:
        cause = getattr(error, "orig", None)
        if isinstance(cause, psycopg.Error):
            raise cause from error
        raise
    finally:
        engine.dispose()


def _wait_for_lock(connection: Connection, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not connection.execute(text(f"select pg_try_advisory_lock({_LOCK})")).scalar_one():
        connection.commit()
        if time.monotonic() > deadline:
            raise CannotMigrate(
                f"Another program has been migrating this database for more than {patience_s:.0f} s. "
                "Look for `neuronetz-migrate` in pg_stat_activity."
            )
        time.sleep(_PAUSE_S)
    connection.commit()


def _make_schema(connection: Connection) -> None:
    # looked at first: `create schema if not exists` is refused to whom may not create one, even if it is there
    if connection.execute(text(f"select to_regnamespace('{SCHEMA}') is null")).scalar_one():
        connection.execute(text(f"create schema {SCHEMA}"))
    connection.commit()


def _apply(connection: Connection, config: Config, target: str, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            command.upgrade(config, target)
        except (DBAPIError, psycopg.errors.LockNotAvailable) as error:
            connection.rollback()
            if not isinstance(getattr(error, "orig", error), psycopg.errors.LockNotAvailable):
                raise
            if time.monotonic() > deadline:
                raise CannotMigrate(
                    f"Other transactions have kept a table locked for more than {patience_s:.0f} s. "
                    "Look for old ones in pg_stat_activity (xact_start), end them, and start again."
                ) from error
            time.sleep(_PAUSE_S)
        else:
            connection.commit()
            return


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    revision = context.get_current_revision()
    connection.commit()
    return revision


def _newer_than(revision: str | None, config: Config, target: str) -> Sequence[str]:
    script = ScriptDirectory.from_config(config)
    known = [one.revision for one in script.walk_revisions()]
    if revision is not None and revision not in known:
        raise CannotMigrate(
            f"The database is at revision {revision}, which this program does not know: it was migrated by a newer one."
        )
    return [one.revision for one in reversed(list(script.iterate_revisions(target, revision or "base")))]


def _sentence(error: psycopg.Error) -> str:
    what = error.diag.message_primary or str(error).strip() or type(error).__name__
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        what += ". Run `neuronetz-gateway migrate` with the DATABASE_URL of the schema's owner, then start again."
    return f"The database could not be migrated: {what}"
