"""PostgreSQL killed, frozen and started again under load: what was answered is in the books, and nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.budget_ledger import PostgresBudgetLedger
from adapters.postgres.lane import Lane
from adapters.postgres.migrating import upgrade
from adapters.postgres.pool import Pool
from adapters.postgres.process_watch import Watch
from adapters.postgres.registers import PostgresKeyRegister, PostgresTenantRegister
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.budget_ledger import Granted, HoldRequest
from domain.settlement import Charge, Outcome
from entrypoints.embedded import EmbeddedError, EmbeddedStores, start_stores
from tests.adapters.postgres.conftest import Desk
from tests.contracts.budget_ledger import LedgerBench, a_hold, an_end
from tests.stores import DatabaseClock

pytestmark = [pytest.mark.stores, pytest.mark.storm]


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStores]:
    """Stores of this module's own, to be broken."""
    root = Path(tmp_path_factory.mktemp("breakable"))
    for directory in (root, *root.parents[:3]):
        if directory.owner() == root.owner() and directory != Path("/tmp"):  # noqa: S108 - the one that is open to all
            directory.chmod(0o755)
    try:
        stores = start_stores(root / "state", durable=False)
    except EmbeddedError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with stores:
        upgrade(stores.database_url)
        yield stores


@pytest.fixture
async def fragile(breakable: EmbeddedStores) -> AsyncIterator[Desk]:
    breakable.postgres.start()
    address = DatabaseAddress.read(breakable.database_url)
    process_id = uuid4()
    lane, pool = Lane(address, process_id), Pool(address)
    await lane.start()
    yield Desk(
        url=breakable.database_url,
        address=address,
        process_id=process_id,
        lane=lane,
        pool=pool,
        ledger=PostgresBudgetLedger(lane, pool),
        register=PostgresTenantRegister(pool),
    )
    await lane.stop()
    await pool.close()


def bench_of(desk: Desk) -> LedgerBench:
    return LedgerBench(
        ledger=desk.ledger, register=desk.register, clock=DatabaseClock(None), lines=desk.lines, reap=desk.reap
    )


async def test_postgresql_killed_under_load(fragile: Desk, breakable: EmbeddedStores) -> None:
    key = await bench_of(fragile).a_key()
    granted: set[UUID] = set()
    stop = asyncio.Event()

    async def call(hold: HoldRequest) -> None:
        try:
            verdict = await fragile.ledger.hold(hold)
        except StoreUnavailable:
            fragile.ledger.settle(an_end(hold, outcome=Outcome.NOT_SENT))
            return
        assert isinstance(verdict, Granted)
        granted.add(UUID(hold.request_id))
        fragile.ledger.settle(an_end(hold, Charge(prompt=10, output=5)))

    async def work() -> None:
        while not stop.is_set():
            await call(a_hold(key))
            await asyncio.sleep(0.005)

    workers = [asyncio.create_task(work()) for _ in range(20)]
    for _ in range(3):
        await asyncio.sleep(0.3)
        breakable.postgres.kill()
        await asyncio.sleep(0.5)
        breakable.postgres.start()
    await asyncio.sleep(1.5)
    stop.set()
    await asyncio.gather(*workers)
    await fragile.ledger.drain(10)

    assert fragile.ledger.unsettled() == 0
    assert await fragile.rows("select 1 from neuronetz.holds where tenant_id = %s", UUID(key.tenant_id)) == []
    charged = await fragile.rows(
        "select request_id from neuronetz.audit where tenant_id = %s and event = 'finished' and prompt_tokens > 0",
        UUID(key.tenant_id),
    )
    assert {UUID(str(row[0])) for row in charged} == granted
    assert len(charged) == len(granted)
    assert await bench_of(fragile).total(key) == (15 * len(granted), 0)


async def test_a_frozen_postgresql_refuses_within_its_second_and_serves_again(
    fragile: Desk, breakable: EmbeddedStores
) -> None:
    key = await bench_of(fragile).a_key()
    hold = a_hold(key)
    breakable.postgres.suspend()
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await fragile.ledger.hold(hold)
        with pytest.raises(StoreUnavailable):
            await fragile.ledger.ping()
        with pytest.raises(StoreUnavailable) as refused:
            await PostgresKeyRegister(fragile.pool).find(key.prefix)
        took_s = time.monotonic() - began
        fragile.ledger.settle(an_end(hold, outcome=Outcome.NOT_SENT))
    finally:
        breakable.postgres.resume()
    await fragile.ledger.drain(10)

    assert refused.value.code is FaultCode.IDENTITY_UNAVAILABLE
    assert took_s < 4
    assert fragile.ledger.unsettled() == 0
    assert await bench_of(fragile).total(key) == (0, 0)


async def test_everything_serves_again_within_five_seconds_of_postgresqls_return(
    fragile: Desk, breakable: EmbeddedStores
) -> None:
    key = await bench_of(fragile).a_key()
    heard: asyncio.Queue[str | None] = asyncio.Queue()

    async def hear(_tenant_id: str, key_id: str | None, _generation: int, _what: str) -> None:
        heard.put_nowait(key_id)

    watching = asyncio.create_task(Watch(fragile.address, fragile.process_id, hear).run())
    await asyncio.sleep(0.3)
    breakable.postgres.kill()
    for _ in range(12):
        with pytest.raises(StoreUnavailable):
            await fragile.register.tenants()
        await asyncio.sleep(0.5)
    breakable.postgres.start()
    began = time.monotonic()

    while True:
        try:
            await fragile.ledger.ping()
            await fragile.register.revoke_key(key.prefix, actor="test")
            break
        except StoreUnavailable:
            assert time.monotonic() - began < 5
            await asyncio.sleep(0.1)
    async with asyncio.timeout(6):
        while await heard.get() != key.id:
            pass

    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
