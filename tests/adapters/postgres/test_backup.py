"""A dump taken while a gateway serves is a whole, and what is restored from it serves on: docs/DEPLOYMENT.md."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from tests.bulk import sums, unbalanced
from tests.dumping import another_database, dump, restore
from tests.e2e.house import House, Key
from tests.e2e.programs import Gateway, eventually

pytestmark = pytest.mark.stores

CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}]}
SHAPE = """
    select 'trigger' as kind, tgrelid::regclass::text || ' ' || pg_get_triggerdef(oid) as what
        from pg_trigger where not tgisinternal
    union all
    select 'partition', inhrelid::regclass::text || ' ' || pg_get_expr(c.relpartbound, c.oid)
        from pg_inherits join pg_class c on c.oid = inhrelid where c.relkind = 'r'
    union all
    select 'constraint', conrelid::regclass::text || ' ' || pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'neuronetz'::regnamespace and conrelid <> 0
    union all
    select 'index', pg_get_indexdef(i.indexrelid)
        from pg_index i join pg_class c on c.oid = i.indexrelid where c.relnamespace = 'neuronetz'::regnamespace
    union all
    select 'privilege', c.relname || ' ' || a.grantee::regrole::text || ' ' || a.privilege_type
        from pg_class c cross join aclexplode(c.relacl) a
        where c.relnamespace = 'neuronetz'::regnamespace and a.grantee <> c.relowner and a.grantee <> 0
    union all
    select 'function', oid::regprocedure::text || prosecdef || coalesce(proconfig::text, '')
        || (prosecdef and has_function_privilege('public', oid, 'execute'))
        from pg_proc where pronamespace = 'neuronetz'::regnamespace
    order by 1, 2
"""


@pytest.fixture
def house(stores: EmbeddedStores, tmp_path: Path) -> Iterator[House]:
    with House.open(stores, tmp_path, PROCESS_BEAT_S="0.5", PROCESS_DEAD_AFTER_S="5") as opened:
        yield opened


def chat(gateway: Gateway, key: Key, **changes: object) -> int:
    body = CHAT | {"stream": False} | changes
    return httpx.post(f"{gateway.url}/api/chat", json=body, headers=key.headers, timeout=30).status_code


def shape(url: str) -> list[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        return [(str(kind), str(what)) for kind, what in connection.execute(SHAPE.encode()).fetchall()]


@contextmanager
def traffic(house: House, gateway: Gateway, key: Key) -> Iterator[None]:
    """Two streams that do not go on, and two callers who do, until the gateway is killed at the end."""
    house.simulator.behave({"behaviour": {"stall_after_objects": 2, "stall_s": 60}, "times": 2})

    def stall() -> None:
        with httpx.stream("POST", f"{gateway.url}/api/chat", json=CHAT, headers=key.headers, timeout=60) as answer:
            answer.read()

    def go_on() -> None:
        while True:
            chat(gateway, key)

    with ThreadPoolExecutor(4) as pool:
        streams = [pool.submit(stall) for _ in range(2)]
        _until(house, "select count(*) >= 2 as so from holds where state = 'open'")
        callers = [pool.submit(go_on) for _ in range(2)]
        _until(house, "select count(*) > 20 as so from audit where event = 'finished'")
        try:
            yield
        finally:
            gateway.kill()
            for one in (*streams, *callers):
                assert isinstance(one.exception(30), httpx.HTTPError)


def _until(house: House, query: str) -> None:
    for _ in eventually(20):
        if house.rows(query)[0]["so"]:
            return


def dump_with_sums(url: str, file: Path) -> dict[str, int]:
    """Dumps, and tells what the books said at that very snapshot."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        [(snapshot,)] = connection.execute("select pg_export_snapshot()")
        dump(url, file, snapshot=snapshot)
        return sums(connection)


def test_what_is_restored_from_a_dump_under_load_serves_on(
    house: House, stores: EmbeddedStores, tmp_path: Path
) -> None:
    first = house.add_gateway()
    first.wait_ready()
    busy, revoked = house.new_key(), house.new_key()
    limited = house.new_key(tenant_policy=Policy(limits=Limits(rpm=2)))
    house.revoke(revoked)
    assert [chat(first, limited) for _ in range(3)] == [200, 200, 429]
    with traffic(house, first, busy):
        then = dump_with_sums(house.database_url, tmp_path / "dump")
    assert then["open_holds"] >= 2 < then["used"]

    with another_database(house.database_url) as url:
        restore(tmp_path / "dump", url)

        assert books(url) == (then, 0)
        assert shape(url) == shape(house.database_url)
        with psycopg.connect(url, autocommit=True) as connection:  # the minute of the limited one is not over
            last = "update neuronetz.test_clock set at = (select max(at) from neuronetz.audit where tenant_id = %s)"
            connection.execute(last, (limited.tenant_id,))
        second = house.add_gateway(DATABASE_URL=url, REDIS_URL=f"{stores.redis_url}?db=7")  # with nothing in it
        try:
            second.wait_ready()
            assert chat(second, limited) == 429  # rebuilt from the audit
            assert chat(second, revoked) == 401
            let_time_go_on(url)
            assert chat(second, busy) == 200
            for _ in eventually(20):
                if books(url)[0]["held"] == 0:
                    break
        finally:
            second.stop()
        now, unequal = books(url)
    assert now["reaped_holds"] == then["open_holds"] + then["reaped_holds"]
    assert unequal == 0


def let_time_go_on(url: str) -> None:
    """And waits until the gateway has lived in it, since its former beats are of another time."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("update neuronetz.test_clock set at = null")
        for _ in eventually(10):
            alive = connection.execute("select from neuronetz.processes where beat_at > now() - interval '1 second'")
            if alive.rowcount:
                return


def books(url: str) -> tuple[dict[str, int], int]:
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return sums(connection), unbalanced(connection)
