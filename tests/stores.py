"""Real stores for tests: PostgreSQL and Valkey, started once a session from their wheels.

A plugin: `pytest_plugins = ["tests.stores"]` in the top conftest. Every test that asks for `database_url` has a
database of its own, copied from one that was migrated once, in which one function is replaced: `ledger_now()` reads the
table `test_clock`, so that `DatabaseClock` moves the time of this database and of nothing else.

Where the stores cannot be started, tests that need them are skipped; under CI they fail.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres.migrating import upgrade
from entrypoints.embedded import EmbeddedError, EmbeddedStores, start_stores

TEST_CLOCK = """
    create table neuronetz.test_clock (at timestamptz);
    insert into neuronetz.test_clock values (null);
    grant select on neuronetz.test_clock to public;
    create or replace function neuronetz.ledger_now() returns timestamptz language sql stable parallel safe
    as $$ select coalesce((select at from neuronetz.test_clock), now()) $$;
"""


@pytest.fixture(scope="session")
def stores() -> Iterator[EmbeddedStores]:
    """Both stores, for the whole session."""
    with tempfile.TemporaryDirectory(prefix="nz-stores-", ignore_cleanup_errors=True) as root:
        Path(root).chmod(0o755)  # the servers' own account must be able to pass
        try:
            running = start_stores(Path(root) / "state", durable=False)
        except EmbeddedError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(f"the stores must start under CI: {error}")
            pytest.skip(f"the stores cannot be started here: {error}")
        with running:
            yield running


def _at(url: str, database: str) -> str:
    """The same server, another database."""
    return make_conninfo("", **{**conninfo_to_dict(url), "dbname": database})


def _run(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def migrated_template(stores: EmbeddedStores) -> str:
    """The name of a database that is migrated, with the test clock in it."""
    name = "migrated_template"
    _run(stores.database_url, sql.SQL("create database {}").format(sql.Identifier(name)))
    upgrade(_at(stores.database_url, name))
    with psycopg.connect(_at(stores.database_url, name)) as connection:
        connection.execute(TEST_CLOCK)
    return name


@pytest.fixture
def database_url(stores: EmbeddedStores, migrated_template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    name = f"test_{uuid4().hex}"
    copy = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(migrated_template))
    _run(stores.database_url, copy)
    yield _at(stores.database_url, name)
    _run(stores.database_url, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database_url(stores: EmbeddedStores) -> Iterator[str]:
    """A database with nothing in it."""
    name = f"test_{uuid4().hex}"
    _run(stores.database_url, sql.SQL("create database {}").format(sql.Identifier(name)))
    yield _at(stores.database_url, name)
    _run(stores.database_url, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


class DatabaseClock:
    """The time of one test database, and of fakes that are given the same clock. Stands still once it is set."""

    def __init__(self, database_url: str | None, now: datetime | None = None) -> None:
        """Shows `now`, or the real time, until it is set; without a database it drives fakes alone."""
        self._url = database_url
        self._now = now or datetime.now(UTC)

    def now(self) -> datetime:
        """The time, as `ledger_now()` says it."""
        return self._now

    async def set(self, now: datetime) -> None:
        """Moves to `now`, and sees to it that the audit has partitions there."""
        self._now = now.astimezone(UTC)
        if self._url is not None:
            await asyncio.to_thread(self._write)

    async def advance(self, span: timedelta) -> None:
        """Moves ahead."""
        await self.set(self._now + span)

    def _write(self) -> None:
        if self._url is None:
            return
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("update neuronetz.test_clock set at = %s", (self._now,))
            connection.execute("select neuronetz.make_audit_partitions()")
