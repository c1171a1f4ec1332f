"""The pool gives back every place, whatever became of its users."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.pool import Pool
from domain.faults import FaultCode, StoreUnavailable
from tests.adapters.postgres.conftest import Desk

CODE = FaultCode.IDENTITY_UNAVAILABLE


async def sleep(pool: Pool, seconds: float, patience_s: float = 1.0) -> None:
    async with pool.transaction(CODE, patience_s=patience_s) as connection:
        await connection.execute("select pg_sleep(%s)", (seconds,))


@pytest.mark.stores
async def test_a_storm_of_cancelled_users_leaves_every_place_free(desk: Desk) -> None:
    users = [asyncio.create_task(desk.pool.uninterrupted(sleep(desk.pool, 0.02, 5))) for _ in range(100)]
    for nth, user in enumerate(users):
        await asyncio.sleep(0.002)
        if nth % 3:
            user.cancel()
    await asyncio.gather(*users, return_exceptions=True)

    await asyncio.gather(*(sleep(desk.pool, 0.01) for _ in range(4)))


@pytest.mark.stores
async def test_a_block_that_takes_too_long_is_cut(desk: Desk) -> None:
    began = time.monotonic()

    with pytest.raises(StoreUnavailable) as refused:
        await sleep(desk.pool, 5, patience_s=0.3)

    assert time.monotonic() - began < 1
    assert refused.value.code is CODE
    await sleep(desk.pool, 0)


@pytest.mark.stores
@pytest.mark.parametrize("how", ["too late", "cancelled"])
async def test_a_connection_that_was_cut_while_it_was_idle_is_not_given_out(desk: Desk, how: str) -> None:
    async def borrow() -> None:
        async with desk.pool._lent(0.05 if how == "too late" else 5.0):
            await asyncio.sleep(0.2)

    user = asyncio.create_task(borrow())
    if how == "cancelled":
        await asyncio.sleep(0.1)
        user.cancel()
    await asyncio.gather(user, return_exceptions=True)

    await sleep(desk.pool, 0)


@pytest.mark.stores
async def test_who_finds_no_place_is_refused_in_time(desk: Desk) -> None:
    users = [asyncio.create_task(sleep(desk.pool, 2, 5)) for _ in range(4)]
    await asyncio.sleep(0.2)

    with pytest.raises(StoreUnavailable):
        await sleep(desk.pool, 0)

    await asyncio.gather(*users)


@pytest.mark.stores
async def test_idle_connections_that_died_are_not_given_out(desk: Desk) -> None:
    await asyncio.gather(*(sleep(desk.pool, 0.05) for _ in range(4)))
    await desk.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'neuronetz-pool' and datname = current_database()"
    )
    await asyncio.sleep(1.1)

    await asyncio.gather(*(sleep(desk.pool, 0.01) for _ in range(4)))


@pytest.mark.stores
async def test_a_block_that_fails_changes_nothing(desk: Desk) -> None:
    async def fail_half_way() -> None:
        async with desk.pool.transaction(CODE) as connection:
            await connection.execute("insert into neuronetz.tenants (name) values ('half')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_half_way()

    assert await desk.rows("select 1 from neuronetz.tenants") == []


@pytest.mark.stores
async def test_of_errors_only_the_callers_own_are_let_out(desk: Desk) -> None:
    async def run(statement: bytes) -> None:
        async with desk.pool.transaction(CODE) as connection:
            await connection.execute(statement)

    with pytest.raises(psycopg.errors.UniqueViolation):
        await run(b"insert into neuronetz.tenants (name) values ('a'), ('a')")
    with pytest.raises(StoreUnavailable):
        await run(b"select nonsense")


async def test_without_postgresql_it_refuses_without_the_password() -> None:
    pool = Pool(DatabaseAddress.read("postgresql://app:topsecret@127.0.0.1:1/none"))
    await pool.open()

    with pytest.raises(StoreUnavailable) as refused:
        await sleep(pool, 0)

    assert "topsecret" not in f"{refused.value!r} {refused.value.__cause__}"
    await pool.close()
