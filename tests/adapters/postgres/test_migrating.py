"""Migrations: once, whoever comes first, and in plain words when not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from adapters.postgres.migrating import CannotMigrate, current, upgrade


@pytest.mark.stores
def test_an_empty_database_is_brought_up_to_date_once(empty_database_url: str) -> None:
    before = current(empty_database_url)

    applied = [upgrade(empty_database_url), upgrade(empty_database_url)]

    assert before is None
    assert applied == [["0001", "0002", "0003", "0004"], []]
    assert current(empty_database_url) == "0004"


@pytest.mark.stores
def test_of_several_who_start_at_once_one_migrates(empty_database_url: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        applied = list(pool.map(upgrade, [empty_database_url] * 3))

    assert sorted(list(one) for one in applied) == [[], [], ["0001", "0002", "0003", "0004"]]


@pytest.mark.stores
def test_a_lock_that_is_never_released_is_an_error(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as stranger:
        stranger.execute("select pg_advisory_lock(hashtextextended('neuronetz.migrations', 0))")

        with pytest.raises(CannotMigrate, match="Another program"):
            upgrade(empty_database_url, lock_patience_s=0.3)


@pytest.mark.stores
def test_a_newer_database_is_not_touched(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as stranger:
        stranger.execute("update neuronetz.alembic_version set version_num = '9999'")

    with pytest.raises(CannotMigrate, match="9999"):
        upgrade(empty_database_url)


def test_a_database_that_is_not_there_is_an_error_without_the_password() -> None:
    with pytest.raises(CannotMigrate) as error:
        upgrade("postgresql://app:topsecret@127.0.0.1:1/none")

    assert "topsecret" not in str(error.value)
