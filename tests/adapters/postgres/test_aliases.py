"""Aliases in the database: what may stand there, that a change by plain SQL is told and recorded, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg.types.json import Jsonb
from sqlalchemy import NullPool, create_engine

from adapters.postgres.migrating import MIGRATIONS, current, upgrade
from adapters.postgres.registers import PostgresKeyRegister
from domain.models import canonical
from domain.policies import MAX_ALIASES
from domain.refusals import Refusal
from tests.adapters.postgres.conftest import Ask, Desk
from tests.adapters.postgres.former_program import former_program
from tests.bulk import Size, fill, sums
from tests.contracts.budget_ledger import LedgerBench
from tests.domain.test_models import CLOUD_TAGS, HOSTS, MALFORMED, TAGS

pytestmark = pytest.mark.stores

GPT, LLAMA, QWEN = (canonical(name) for name in ("gpt-4o-mini", "llama3.2", "qwen3:8b"))
SET = "update neuronetz.tenants set aliases = %s where name = 'one'"


@pytest.fixture
def console(as_role: Callable[[str], Ask]) -> Ask:
    return as_role("neuronetz_console")


async def test_a_console_changes_aliases_and_it_is_told_and_recorded(desk: Desk, console: Ask) -> None:
    console("insert into neuronetz.tenants (name, aliases) values ('one', %s)", Jsonb({GPT: LLAMA}))
    async with await psycopg.AsyncConnection.connect(desk.url, autocommit=True) as listener:
        await listener.execute("listen neuronetz_changes")
        console(f"{SET} and aliases <> '{{}}'", Jsonb({GPT: QWEN}))
        told = [notice.payload async for notice in listener.notifies(timeout=5, stop_after=1)]

    [row] = console("select generation, aliases from neuronetz.tenants")
    assert row == {"generation": 2, "aliases": {GPT: QWEN}}
    assert '"generation" : 2' in told[0]
    assert '"what" : "changed"' in told[0]
    rows = await desk.rows(
        "select detail->>'change', detail->'before'->'aliases', detail->'after'->'aliases' from neuronetz.audit"
        " where event = 'admin' and detail ? 'login' order by at"
    )
    assert rows[1:] == [("change_tenant", {GPT: LLAMA}, {GPT: QWEN})]
    assert console("select aliases from neuronetz.console_tenants") == [{"aliases": {GPT: QWEN}}]


def test_a_reader_sees_aliases_in_the_view_and_a_gateway_changes_none(as_role: Callable[[str], Ask]) -> None:
    assert as_role("neuronetz_reader")("select aliases from neuronetz.console_tenants") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role("neuronetz_gateway")("update neuronetz.tenants set aliases = '{}'")


async def test_what_our_register_records_is_recorded_once(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    await desk.register.change_aliases(key.tenant_name, lambda _: {GPT: LLAMA}, actor="op")

    rows = await desk.rows("select detail->'after' from neuronetz.audit where detail->'after' ? 'aliases'")

    assert rows == [({"aliases": {GPT: LLAMA}},)]


async def test_of_two_tenants_each_has_its_own(desk: Desk, desk_bench: LedgerBench) -> None:
    one, other = await desk_bench.a_key(), await desk_bench.a_key()
    await desk.register.change_aliases(one.tenant_name, lambda _: {GPT: LLAMA}, actor="op")
    await desk.register.change_aliases(other.tenant_name, lambda _: {GPT: QWEN}, actor="op")

    found = [await PostgresKeyRegister(desk.pool).find(key.prefix) for key in (one, other)]

    assert [known.caller.aliases for known in found if known] == [{GPT: LLAMA}, {GPT: QWEN}]


@pytest.mark.parametrize(
    "aliases",
    [
        None, "text", ["list"], 1, {GPT: None}, {GPT: 1}, {GPT: [LLAMA]}, {GPT: {LLAMA: LLAMA}}, {GPT: ""}, {"": LLAMA},
        {"gpt-4o-mini": LLAMA}, {GPT: "llama3.2:latest"}, {GPT: LLAMA.upper()}, {GPT + "\n": LLAMA}, {f" {GPT}": LLAMA},
        {GPT: f"{LLAMA}-cloud"}, {"registry.ollama.ai/library/gpt-oss:120b-cloud": LLAMA}, {GPT: LLAMA + "é"},
        {f"{'h' * 351}/n/m:t": LLAMA}, {GPT: f"h/n/{'m' * 81}:t"},
        {f"registry.ollama.ai/library/a{nth}:latest": LLAMA for nth in range(MAX_ALIASES + 1)},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_set_of_full_names_is_refused(console: Ask, aliases: object) -> None:
    console("insert into neuronetz.tenants (name) values ('one')")

    with pytest.raises(psycopg.errors.CheckViolation, match="tenants_aliases_are_full_names"):
        console(SET, Jsonb(aliases))


def test_as_many_as_may_be_are_accepted(console: Ask) -> None:
    full = {f"registry.ollama.ai/library/a{nth}:latest": LLAMA for nth in range(MAX_ALIASES)}
    console("insert into neuronetz.tenants (name, aliases) values ('one', %s)", Jsonb(full))

    assert console("select aliases from neuronetz.tenants") == [{"aliases": full}]


def test_the_database_and_the_gateway_agree_on_what_a_full_name_is(database_url: str) -> None:
    kinds = ("h:1/n/m:t", "_/_/_:_", f"{'h' * 350}/{'n' * 80}/{'m' * 80}:{'t' * 80}", "h/n/m:x-cloudy", "h/n/x-cloud:t")
    places = (*HOSTS, "h:1/n/", "hf.co/me/", "-h/n/", "h/n.s/")
    names = [*kinds, *filter(str.isprintable, MALFORMED)]
    names += map(
        "".join, product(places, ("m", "M", "m.2", "-m", "m:"), (*TAGS, *CLOUD_TAGS, ":8b-q4_K_M", ":8b-q4_k_m"))
    )
    with psycopg.connect(database_url) as owner:
        rows = owner.execute("select n, neuronetz.is_model_name(n) from unnest(%s::text[]) n", (names,)).fetchall()

    assert [(name, verdict) for name, verdict in rows if verdict is not _is_full(name)] == []
    assert 10 < sum(verdict for _, verdict in rows) < len(rows) / 2


def _is_full(name: str) -> bool:
    try:
        return canonical(name) == name
    except Refusal:
        return False


def test_there_is_a_way_back_and_forth_that_loses_nothing_else(empty_database_url: str) -> None:
    upgrade(empty_database_url, target="0002")
    fill(empty_database_url, Size(tenants=10, keys=20, calls=200, open_calls=2))
    before = _tenants_and_sums(empty_database_url)

    assert upgrade(empty_database_url) == ["0003", "0004"]
    with psycopg.connect(empty_database_url) as owner:
        owner.execute("update neuronetz.tenants set aliases = %s", (Jsonb({GPT: LLAMA}),))
        owner.execute("update neuronetz.tenants set aliases = '{}'")
        owner.rollback()
    _downgrade(empty_database_url, "0002")

    assert current(empty_database_url) == "0002"
    assert _tenants_and_sums(empty_database_url) == before
    with former_program(empty_database_url) as program:
        assert program.call(program.administer()) == "granted"
    assert upgrade(empty_database_url) == ["0003", "0004"]


def _tenants_and_sums(url: str) -> tuple[object, ...]:
    with psycopg.connect(url) as connection:
        tenants = connection.execute("select (to_jsonb(t) - 'aliases')::text from neuronetz.tenants t order by 1")
        views = connection.execute("select t::text from neuronetz.console_tenants t order by 1")
        grants = connection.execute(
            "select grantee, privilege_type, column_name from information_schema.column_privileges"
            " where table_schema = 'neuronetz' and table_name in ('tenants', 'console_tenants') order by 1, 2, 3"
        )
        functions = connection.execute(
            "select p.proname, md5(p.prosrc) from pg_proc p where p.pronamespace = 'neuronetz'::regnamespace order by 1"
        )
        return (*(cursor.fetchall() for cursor in (tenants, views, grants, functions)), sums(connection))


def _downgrade(url: str, revision: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
