"""Who may do what: the roles that the migrations make, the owner's functions, and old months of the audit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.migrating import upgrade
from adapters.postgres.pool import Pool
from adapters.postgres.registers import PostgresTenantRegister
from domain.faults import StoreUnavailable
from tests.adapters.postgres.conftest import Ask, Desk
from tests.logins import login_in, url_for
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores

REFUSED_TO_A_CONSOLE = [
    "update neuronetz.budget_windows set used = 0",
    "insert into neuronetz.budget_windows select * from neuronetz.budget_windows",
    "select from neuronetz.budget_windows for update",
    "delete from neuronetz.holds",
    "update neuronetz.holds set tokens = 0",
    "update neuronetz.processes set beat_at = now()",
    "insert into neuronetz.audit (event) values ('admin')",
    "update neuronetz.audit set actor = 'nobody'",
    "delete from neuronetz.audit",
    "truncate neuronetz.audit",
    "select secret_hash from neuronetz.api_keys",
    "select * from neuronetz.api_keys",
    "update neuronetz.api_keys set secret_hash = 'mine'",
    "update neuronetz.api_keys set budget_id = gen_random_uuid()",
    "update neuronetz.api_keys set prompt_log_ttl_s = 3600",
    "delete from neuronetz.api_keys",
    "delete from neuronetz.tenants",
    "update neuronetz.tenants set generation = 9, limits_epoch = 9",
    "select * from neuronetz.prompts",
    "select * from neuronetz.prompt_hour_keys",
    "select neuronetz.purge_prompts()",
    "select neuronetz.reap('1 second')",
    "select neuronetz.drop_audit_before('2001-01-01')",
    "select neuronetz.make_audit_partitions()",
    "select neuronetz.make_roles()",
    "select neuronetz.take_sealing_turn()",
    "insert into neuronetz.seals select * from neuronetz.seals",
    "delete from neuronetz.seal_rows",
    "update neuronetz.alembic_version set version_num = '0'",
    "create table neuronetz.mine (a int)",
    "alter table neuronetz.tenants disable trigger all",
    "set session_replication_role = replica",
]
REFUSED_TO_A_READER = [
    "select * from neuronetz.tenants",
    "select * from neuronetz.audit",
    "select * from neuronetz.api_keys",
    "select * from neuronetz.prompts",
    "insert into neuronetz.tenants (name) values ('mine')",
    "select neuronetz.record_note(null, '{}')",
]
REFUSED_TO_A_GATEWAY = [
    "delete from neuronetz.audit",
    "update neuronetz.audit set actor = 'nobody'",
    "insert into neuronetz.tenants (name) values ('mine')",
    "update neuronetz.tenants set rpm = 1",
    "update neuronetz.api_keys set revoked_at = now()",
    "select neuronetz.drop_audit_before('2001-01-01')",
    "create table neuronetz.mine (a int)",
    "update neuronetz.seals set root = mac",
    "delete from neuronetz.seals",
    "delete from neuronetz.seal_rows",
    "truncate neuronetz.seals",
]


def test_a_console_is_refused_what_is_not_its_own(as_role: Callable[[str], Ask]) -> None:
    console = as_role("neuronetz_console")

    assert [statement for statement in REFUSED_TO_A_CONSOLE if not _refused(console, statement)] == []


def _refused(ask: Ask, statement: str) -> bool:
    try:
        ask(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_a_reader_reads_the_views_only(as_role: Callable[[str], Ask]) -> None:
    reader = as_role("neuronetz_reader")
    views = ("tenants", "keys", "budgets", "usage_daily", "calls", "usage(now() - interval '1 day', now())")

    assert [reader(f"select * from neuronetz.console_{view}") for view in views] == [[]] * 6  # noqa: S608  names above
    assert [statement for statement in REFUSED_TO_A_READER if not _refused(reader, statement)] == []


def test_a_gateway_adds_to_the_audit_and_changes_nothing_of_the_operators(as_role: Callable[[str], Ask]) -> None:
    gateway = as_role("neuronetz_gateway")

    assert gateway("select neuronetz.make_audit_partitions() + neuronetz.write_prompts('[]') as made") == [{"made": 0}]
    assert gateway("select neuronetz.purge_prompts()") == []
    assert [statement for statement in REFUSED_TO_A_GATEWAY if not _refused(gateway, statement)] == []


async def test_an_operator_with_the_wrong_login_is_told_so(database_url: str) -> None:
    with login_in("neuronetz_gateway", database_url) as url:
        pool = Pool(DatabaseAddress.read(url))
        register = PostgresTenantRegister(pool)

        with pytest.raises(StoreUnavailable, match="refuses this to the login"):
            await register.add_tenant("mine", actor="test")

        assert await register.tenants() == []
        await pool.close()


async def test_old_months_of_the_audit_go_and_the_last_two_stay(desk: Desk, as_role: Callable[[str], Ask]) -> None:
    retention, clock = as_role("neuronetz_retention"), DatabaseClock(desk.url)
    await clock.set(datetime(2027, 1, 15, tzinfo=UTC))
    await clock.set(datetime(2027, 4, 15, tzinfo=UTC))

    for refused in ("2027-04-01", "2027-03-02", None):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            retention("select neuronetz.drop_audit_before(%s::date)", refused)
    [before] = retention("select neuronetz.drop_audit_before('2027-02-01') as gone")
    [after] = retention("select neuronetz.drop_audit_before('2027-03-01') as gone")

    assert "audit_2027_01" in before["gone"]
    assert after["gone"] == ["audit_2027_02"]
    assert retention("select neuronetz.drop_audit_before('2027-03-01') as gone") == [{"gone": []}]
    left = await desk.rows(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'neuronetz.audit'::regclass"
        " and inhrelid::regclass::text like '%%audit_2027%%' order by 1 limit 2"
    )
    assert [str(name).removeprefix("neuronetz.") for (name,) in left] == ["audit_2027_03", "audit_2027_04"]
    told = await desk.rows("select actor from neuronetz.audit where detail->>'change' = 'drop_audit'")
    assert len(told) == 2


async def test_a_month_that_somebody_writes_is_not_waited_for(desk: Desk, as_role: Callable[[str], Ask]) -> None:
    retention = as_role("neuronetz_retention")
    await DatabaseClock(desk.url).set(datetime(2027, 1, 15, tzinfo=UTC))
    await DatabaseClock(desk.url).set(datetime(2027, 4, 15, tzinfo=UTC))
    async with await psycopg.AsyncConnection.connect(desk.url) as writer:
        await writer.execute("select neuronetz.record_note(null, '{}')")

        with pytest.raises(psycopg.errors.LockNotAvailable):
            retention("select neuronetz.drop_audit_before('2027-03-01')")


def test_functions_with_the_owners_rights_are_nobodys_by_default(database_url: str) -> None:
    with psycopg.connect(database_url) as owner:
        loose = owner.execute(
            "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'neuronetz'::regnamespace"
            " and p.prosecdef and has_function_privilege('public', p.oid, 'execute')"
        ).fetchall()
        unfixed = owner.execute(
            "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'neuronetz'::regnamespace"
            " and (p.prosecdef or p.prorettype = 'trigger'::regtype)"
            " and not coalesce(p.proconfig::text, '') like '%search_path=%pg_temp%'"
        ).fetchall()

    assert (loose, unfixed) == ([], [])


@pytest.mark.parametrize("role", ["neuronetz_reader", "neuronetz_console", "neuronetz_gateway"])
@pytest.mark.parametrize("function", ["record_change", "open_total_window"])
def test_a_trigger_of_ours_cannot_be_put_on_somebodys_own_table(database_url: str, role: str, function: str) -> None:
    with login_in(role, database_url) as url, psycopg.connect(url) as login:
        login.execute("create temp table api_keys (tenant_id uuid, id uuid, prefix text)")

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(
                f"create trigger mine after insert on api_keys for each row execute function neuronetz.{function}()"
            )


async def test_a_console_with_a_schema_of_its_own_cannot_hide_a_change(desk: Desk) -> None:
    await desk.register.add_tenant("mine", actor="test")
    await desk.rows("create schema own")
    await desk.rows("grant create, usage on schema own to neuronetz_console")
    with login_in("neuronetz_console", desk.url) as url, psycopg.connect(url) as console:
        console.execute("create function own.never(jsonb, jsonb) returns boolean immutable return false")
        console.execute("create operator own.<> (leftarg = jsonb, rightarg = jsonb, function = own.never)")
        console.execute("set local search_path = own, pg_catalog")
        console.execute("update neuronetz.tenants set rpm = 1000000 where name = 'mine'")
        console.commit()
        console.execute("drop operator own.<> (jsonb, jsonb)")
        console.execute("drop function own.never")
        console.commit()

    assert await desk.rows("select rpm, generation from neuronetz.tenants") == [(1_000_000, 2)]
    assert await desk.rows("select detail->>'change' from neuronetz.audit where actor like 'sql:%%'") == [
        ("change_tenant",)
    ]


@pytest.fixture
def plain_owner(empty_database_url: str) -> Iterator[str]:
    """The URL of a database for an owner who is no superuser and may not make roles."""
    name, password = f"owner_{uuid4().hex[:8]}", uuid4().hex
    parameters = conninfo_to_dict(empty_database_url)
    role, database = sql.Identifier(name), sql.Identifier(str(parameters["dbname"]))
    with psycopg.connect(empty_database_url, autocommit=True) as administrator:
        administrator.execute(sql.SQL("create role {} login password {}").format(role, sql.Literal(password)))
        administrator.execute(sql.SQL("alter database {} owner to {}").format(database, role))
    yield url_for(empty_database_url, name, password)
    with psycopg.connect(empty_database_url, autocommit=True) as administrator:
        administrator.execute(sql.SQL("drop owned by {}").format(role))
        administrator.execute(sql.SQL("alter database {} owner to current_user").format(database))
        administrator.execute(sql.SQL("drop role {}").format(role))


@pytest.mark.usefixtures("migrated_template")  # whose owner made the roles
def test_an_owner_without_the_right_to_make_roles_migrates_all_the_same(
    plain_owner: str, empty_database_url: str
) -> None:
    applied = upgrade(plain_owner)

    with psycopg.connect(plain_owner) as owner:
        assert owner.execute("select neuronetz.make_roles()").fetchone() == ([],)
    with psycopg.connect(empty_database_url) as administrator:  # as if one had never been made; rolled back
        administrator.execute("alter role neuronetz_retention rename to not_there")
        administrator.execute(sql.SQL("set local role {}").format(_user_of(plain_owner)))
        missing = administrator.execute("select neuronetz.make_roles()").fetchone()
        administrator.rollback()
    assert applied[-1:] == ["0004"]
    assert missing == (["neuronetz_retention"],)


def _user_of(url: str) -> sql.Identifier:
    return sql.Identifier(str(conninfo_to_dict(url)["user"]))
