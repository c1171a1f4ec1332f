"""From every released revision to the newest, with months of data in it: nothing is lost, and what a program of the
former release asks, it may go on asking.
"""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.migrating import CannotMigrate, current, upgrade
from entrypoints.embedded import EmbeddedStores
from tests.adapters.postgres.former_program import former_program
from tests.bulk import Size, fill, sums, unbalanced
from tests.e2e.house import House
from tests.e2e.programs import Simulator
from tests.logins import login_in, url_for

pytestmark = pytest.mark.stores

SMALL = Size(tenants=40, keys=80, calls=1_500, open_calls=12)
KEPT = ("tenants", "api_keys", "budget_windows", "processes", "holds", "audit")


@pytest.fixture
def former_database(empty_database_url: str) -> str:
    """A database at revision 0001 with a few months in it."""
    upgrade(empty_database_url, target="0001")
    fill(empty_database_url, SMALL)
    return empty_database_url


ROWS = """
    select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
    where attrelid = %s::regclass and attnum > 0 and attname not in ('prompt_log_ttl_s', 'aliases')
"""


def rows_of(url: str) -> dict[str, list[str]]:
    """All that the former release wrote, by the columns that it knew."""
    rows: dict[str, list[str]] = {}
    with psycopg.connect(url) as connection:
        for table in KEPT:
            place = sql.Identifier("neuronetz", table)
            [(columns,)] = connection.execute(ROWS, (f"neuronetz.{table}",))
            query = sql.SQL("select row({})::text from {} order by 1").format(sql.SQL(columns), place)
            rows[table] = [row for (row,) in connection.execute(query)]
    return rows


def test_everything_is_as_it_was_after_an_upgrade(former_database: str) -> None:
    before = rows_of(former_database)
    with psycopg.connect(former_database) as connection:
        numbers = sums(connection)

    applied = upgrade(former_database)

    assert applied == ["0002", "0003", "0004"]
    assert rows_of(former_database) == before
    with psycopg.connect(former_database) as connection:
        assert sums(connection) == numbers
        assert unbalanced(connection) == 0
        assert numbers["open_holds"] == numbers["reaped_holds"] == SMALL.open_calls


def test_the_former_program_works_on_beside_the_new_one(former_database: str) -> None:
    with former_program(former_database) as program:
        [known] = program.ask("select * from neuronetz.api_keys where prefix = 'nz_00000001'")
        open_since = program.hold(known, uuid4().hex)
        assert program.batch(holds=[open_since]) == [{"verdict": "granted", "output_tokens": 90}]

        upgrade(former_database)

        program.batch(settles=[program.end(open_since)])
        key = program.administer()
        assert program.call(key) == "granted"
        program.look(key)
        assert program.ask("select count(*) from neuronetz.holds where state = 'open'") == [{"count": 0}]
    with psycopg.connect(former_database) as connection:
        assert unbalanced(connection) == 0
        recorded = connection.execute(
            "select actor from neuronetz.audit where event = 'admin' and detail->>'change' = 'add_tenant'"
        ).fetchall()
    assert recorded == [("cli:former",)]


def test_calls_wait_for_an_upgrade_and_none_fails(former_database: str) -> None:
    stop, failed, calls = threading.Event(), list[BaseException](), list[str]()

    def go_on(number: int) -> None:
        try:
            with former_program(former_database) as program:
                program.ask("set statement_timeout = '10s'")
                [key] = program.ask("select * from neuronetz.api_keys where prefix = %(p)s", p=f"nz_0000000{number}")
                former_hold = program.hold(key, uuid4().hex)
                program.batch(holds=[former_hold])
                while not stop.is_set():
                    hold = program.hold(key, uuid4().hex)
                    [verdict] = program.batch(holds=[hold], settles=[program.end(former_hold)])
                    calls.append(verdict["verdict"])
                    former_hold = hold
                program.batch(settles=[program.end(former_hold)])
        except BaseException as error:  # noqa: BLE001  a thread's failure is the test's
            failed.append(error)

    callers = [threading.Thread(target=go_on, args=(number,)) for number in range(1, 5)]
    for caller in callers:
        caller.start()
    applied = upgrade(former_database)
    so_far = len(calls)
    while len(calls) < so_far + 50 and not failed:
        stop.wait(0.01)
    stop.set()
    for caller in callers:
        caller.join()

    assert failed == []
    assert applied == ["0002", "0003", "0004"]
    assert set(calls) == {"granted"}
    with psycopg.connect(former_database) as connection:
        assert unbalanced(connection) == 0


def test_a_forgotten_transaction_delays_the_upgrade_and_not_the_calls(former_database: str) -> None:
    with psycopg.connect(former_database) as stranger, former_program(former_database) as program:
        stranger.execute("update neuronetz.tenants set rpm = 1 where name = 'tenant-7'")
        program.ask("set lock_timeout = '5s'")
        [key] = program.ask("select * from neuronetz.api_keys where prefix = 'nz_00000001'")

        with pytest.raises(CannotMigrate, match="pg_stat_activity"):
            upgrade(former_database, lock_patience_s=0)

        assert current(former_database) == "0001"
        assert program.call(key) == "granted"
        stranger.rollback()
        assert upgrade(former_database) == ["0002", "0003", "0004"]


def test_a_gateway_upgrades_what_it_finds_and_serves(
    former_database: str, stores: EmbeddedStores, tmp_path: Path
) -> None:
    owner = conninfo_to_dict(former_database)
    url = url_for(former_database, str(owner["user"]), str(owner["password"]))
    simulator = Simulator(tmp_path)
    house = House(folder=tmp_path, database_url=url, redis_url=stores.redis_url, simulator=simulator)
    try:
        gateway = house.add_gateway()
        gateway.wait_ready()
        key = house.new_key("tenant-3")
        body = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
        answer = httpx.post(f"{gateway.url}/api/chat", json=body, headers=key.headers, timeout=30)
        house.settled(20)  # and those of the process that was gone are reaped
    finally:
        for one in (*house.gateways, simulator):
            one.stop()

    assert answer.status_code == 200
    assert current(former_database) == "0004"
    with psycopg.connect(former_database) as connection:
        assert unbalanced(connection) == 0
        assert sums(connection)["reaped_holds"] == 2 * SMALL.open_calls


def test_who_owns_nothing_starts_when_nothing_is_missing_and_is_told_otherwise(
    former_database: str, migrated_template: str
) -> None:
    assert migrated_template  # its owner made the roles
    with login_in("neuronetz_gateway", former_database) as gateway:
        with pytest.raises(CannotMigrate, match="schema's owner"):
            upgrade(gateway)

        upgrade(former_database)

        assert upgrade(gateway) == []
        assert current(gateway) == "0004"
