"""The watch: notices are passed on, lost ones are found again, this process beats and the dead are reaped."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import attrs
import psycopg
import pytest

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.process_watch import OnChange, Watch, WatchSettings
from domain.policies import TenantState
from entrypoints.embedded import EmbeddedStores
from tests.adapters.postgres.conftest import Desk
from tests.contracts.budget_ledger import LedgerBench, a_hold
from tests.faults.line import FaultyLine
from tests.logins import login_in

pytestmark = pytest.mark.stores

SOON = WatchSettings(reread_every_s=0.2, beat_every_s=0.1, reap_every_s=0.2, stale_after_s=60)


@attrs.define
class Heard:
    """What a watch passed on."""

    changes: list[tuple[str, str | None, int, str]] = attrs.field(factory=list)
    told: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def hear(self, tenant_id: str, key_id: str | None, generation: int, what: str) -> None:
        self.changes.append((tenant_id, key_id, generation, what))
        self.told.set()

    async def wait_for(self, change: tuple[str, str | None, int, str], within_s: float = 2.0) -> None:
        async with asyncio.timeout(within_s):
            while change not in self.changes:
                self.told.clear()
                await self.told.wait()


Begin = Callable[[OnChange], Awaitable["asyncio.Task[None]"]]


@pytest.fixture
async def begin(desk: Desk) -> AsyncIterator[Begin]:
    tasks = []

    async def start(on_change: OnChange) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(Watch(desk.address, desk.process_id, on_change, SOON).run()))
        await asyncio.sleep(0.2)
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_change_is_passed_on_once(desk: Desk, desk_bench: LedgerBench, begin: Begin) -> None:
    heard = Heard()
    await begin(heard.hear)
    key = await desk_bench.a_key()

    await desk.register.revoke_key(key.prefix, actor="test")
    await desk.register.set_tenant_state(key.tenant_name, TenantState.SUSPENDED, actor="test")
    await heard.wait_for((key.tenant_id, None, 2, "suspended"))
    await asyncio.sleep(0.5)

    assert len(heard.changes) == len(set(heard.changes))
    assert [change for change in heard.changes if change[2] > 1] == [
        (key.tenant_id, key.id, 2, "revoked"),
        (key.tenant_id, None, 2, "suspended"),
    ]


async def test_a_lost_notice_is_found_by_reading_again(desk: Desk, desk_bench: LedgerBench, begin: Begin) -> None:
    heard = Heard()
    key = await desk_bench.a_key()
    await begin(heard.hear)
    await desk.rows("alter table neuronetz.api_keys disable trigger tell_change")

    await desk.register.revoke_key(key.prefix, actor="test")

    await heard.wait_for((key.tenant_id, key.id, 2, "revoked"))


async def test_a_listener_that_fails_is_told_again(desk: Desk, desk_bench: LedgerBench, begin: Begin) -> None:
    heard = Heard()
    key = await desk_bench.a_key()
    failures = iter([True])

    async def fail_once(tenant_id: str, key_id: str | None, generation: int, what: str) -> None:
        if what == "revoked" and next(failures, False):
            raise ConnectionError("not now")
        await heard.hear(tenant_id, key_id, generation, what)

    await begin(fail_once)

    await desk.register.revoke_key(key.prefix, actor="test")

    await heard.wait_for((key.tenant_id, key.id, 2, "revoked"))


async def test_strange_notices_are_ignored(desk: Desk, desk_bench: LedgerBench, begin: Begin) -> None:
    heard = Heard()
    await begin(heard.hear)

    await desk.rows("select pg_notify('neuronetz_changes', 'hello')")
    key = await desk_bench.a_key()

    await heard.wait_for((key.tenant_id, key.id, 1, "changed"))


async def test_a_notice_can_be_anybodys_and_only_what_the_row_says_is_passed_on(
    desk: Desk, desk_bench: LedgerBench, begin: Begin
) -> None:
    heard = Heard()
    key = await desk_bench.a_key()
    await begin(heard.hear)
    await heard.wait_for((key.tenant_id, key.id, 1, "changed"))
    with login_in("neuronetz_reader", desk.url) as url:
        async with await psycopg.AsyncConnection.connect(url) as reader:
            for tenant, named in (
                (key.tenant_id, None),
                (key.tenant_id, key.id),
                (key.tenant_id, key.tenant_id),
                (str(uuid4()), key.id),
            ):
                forged = {"tenant": tenant, "key": named, "generation": 2**52, "what": "revoked"}
                await reader.execute("select pg_notify('neuronetz_changes', %s)", (json.dumps(forged),))

    await desk.register.revoke_key(key.prefix, actor="test")
    await heard.wait_for((key.tenant_id, key.id, 2, "revoked"))

    assert set(heard.changes) == {
        (key.tenant_id, None, 1, "changed"),
        (key.tenant_id, key.id, 1, "changed"),
        (key.tenant_id, key.id, 2, "revoked"),
    }


async def test_what_was_deleted_is_passed_on_as_revoked(desk: Desk, desk_bench: LedgerBench, begin: Begin) -> None:
    heard = Heard()
    key = await desk_bench.a_key()
    await begin(heard.hear)

    await desk.rows("delete from neuronetz.api_keys")

    await heard.wait_for((key.tenant_id, key.id, 2, "revoked"))


async def test_a_lost_connection_is_made_again(desk: Desk, desk_bench: LedgerBench, begin: Begin) -> None:
    heard = Heard()
    await begin(heard.hear)
    await desk.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name like 'neuronetz-watch%%' and datname = current_database()"
    )

    key = await desk_bench.a_key()

    await heard.wait_for((key.tenant_id, key.id, 1, "changed"))


async def test_a_connection_on_which_no_answer_comes_is_given_up(
    desk: Desk, desk_bench: LedgerBench, stores: EmbeddedStores
) -> None:
    heard = Heard()
    key = await desk_bench.a_key()
    with FaultyLine(stores.postgres.ground.sockets / ".s.PGSQL.5432") as line:
        address = DatabaseAddress.read(line.database_url(desk.url))
        watch = asyncio.create_task(Watch(address, desk.process_id, heard.hear, attrs.evolve(SOON, answer_s=0.3)).run())
        await heard.wait_for((key.tenant_id, key.id, 1, "changed"))
        line.deafen(b"neuronetz-watch")

        await desk.register.revoke_key(key.prefix, actor="test")

        await heard.wait_for((key.tenant_id, key.id, 2, "revoked"))
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def test_it_beats_and_takes_its_leave(desk: Desk, begin: Begin) -> None:
    await desk.ledger.ping()
    await desk.rows("update neuronetz.processes set beat_at = now() - interval '1 hour'")
    task = await begin(Heard().hear)
    await asyncio.sleep(0.3)
    beating = await desk.rows("select beat_at > now() - interval '5 seconds' from neuronetz.processes")

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert beating == [(True,)]
    assert await desk.rows("select 1 from neuronetz.processes") == []


async def test_while_it_holds_something_it_does_not_take_its_leave(
    desk: Desk, desk_bench: LedgerBench, begin: Begin
) -> None:
    task = await begin(Heard().hear)
    await desk.ledger.hold(a_hold(await desk_bench.a_key()))

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await desk.rows("select id from neuronetz.processes") == [(desk.process_id,)]


async def test_the_dead_are_reaped(desk: Desk, desk_bench: LedgerBench, begin: Begin) -> None:
    dead = uuid4()
    key = await desk_bench.a_key()
    hold = a_hold(key)
    await desk.ledger.hold(hold)
    await desk.rows(
        "insert into neuronetz.processes (id, host, beat_at) values (%s, 'gone', now() - interval '61 s')", dead
    )
    await desk.rows("update neuronetz.holds set process_id = %s where request_id = %s", dead, UUID(hold.request_id))

    await begin(Heard().hear)
    await asyncio.sleep(0.5)

    assert await desk_bench.total(key) == (100, 0)
    assert await desk.rows("select 1 from neuronetz.processes where id = %s", dead) == []


async def test_what_is_open_and_what_was_reaped_is_known(desk: Desk, desk_bench: LedgerBench) -> None:
    dead = uuid4()
    key = await desk_bench.a_key()
    left, open_still = a_hold(key), a_hold(key)
    for hold in (left, open_still):
        await desk.ledger.hold(hold)
    await desk.rows(
        "insert into neuronetz.processes (id, host, beat_at) values (%s, 'gone', now() - interval '61 s')", dead
    )
    await desk.rows("update neuronetz.holds set process_id = %s where request_id = %s", dead, UUID(left.request_id))
    await desk.rows(
        "update neuronetz.holds set opened_at = now() - interval '90 s' where request_id = %s",
        UUID(open_still.request_id),
    )
    watch = Watch(desk.address, desk.process_id, Heard().hear, SOON)
    task = asyncio.create_task(watch.run())

    async with asyncio.timeout(5):
        while (watch.holds.reaped, watch.holds.open) != (1, 1):  # noqa: ASYNC110  it tells nobody, it is looked at
            await asyncio.sleep(0.02)

    assert 90 <= watch.holds.oldest_s < 120
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_job_that_fails_again_and_again_does_not_stop_the_others(desk: Desk, begin: Begin) -> None:
    newest = "select max(inhrelid::regclass::text) from pg_inherits where inhparent = 'neuronetz.audit'::regclass"
    [(partition,)] = await desk.rows(newest)
    await desk.rows(f"drop table {partition}")
    await desk.rows("alter function neuronetz.reap rename to reap_away")

    await begin(Heard().hear)
    await asyncio.sleep(0.5)

    assert await desk.rows(newest) == [(partition,)]
    await desk.rows("alter function neuronetz.reap_away rename to reap")
