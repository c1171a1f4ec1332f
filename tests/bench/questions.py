"""What operators, consoles and the gateway's own upkeep ask of PostgreSQL, each as it is asked in service."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import attrs
import psycopg

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.inspection import PostgresInspection
from adapters.postgres.process_watch import _CHANGED
from application.report_usage import report_usage
from domain.ports.audit_reader import AuditFilter
from domain.ports.usage_reader import Span
from entrypoints.operator_tools import OperatorTools, operator_tools
from tests.e2e.house import House, Key

_ACTOR = "test"


@attrs.frozen(kw_only=True)
class Asker:
    """Asks one database, in the name of one tenant where one is named."""

    key: Key
    to_revoke: list[Key]
    """One for each time of asking."""
    tools: OperatorTools
    inspection: PostgresInspection
    connection: psycopg.AsyncConnection

    @property
    def tenant(self) -> str:
        """The tenant's name."""
        return self.key.tenant

    @property
    def of_tenant(self) -> AuditFilter:
        """The tenant's audit."""
        return AuditFilter(tenant_name=self.tenant)

    async def sql(self, query: str) -> None:
        """Plain SQL, as a console's."""
        await (await self.connection.execute(query.encode(), {"tenant": self.tenant})).fetchall()


@attrs.frozen
class Question:
    """One of them."""

    ask: Callable[[Asker], Awaitable[object]]
    flat: bool = True
    """Whether it should cost the same however much there is of others."""


# ---- the command line ----


async def _usage_by_day(asker: Asker) -> None:
    since = asker.tools.clock.now() - timedelta(days=30)
    await asker.tools.usage.by_time(asker.tenant, by=Span.DAY, since=since)


async def _follow(asker: Asker) -> None:
    news = await asker.tools.audit.newest(AuditFilter(), 50)
    await asker.tools.audit.follow(AuditFilter(), news.place)


async def _export(asker: Asker) -> None:
    since = asker.tools.clock.now() - timedelta(days=30)
    async for _page in asker.tools.audit.everything(attrs.evolve(asker.of_tenant, since=since)):
        pass


async def _export_all(asker: Asker) -> None:
    since = asker.tools.clock.now() - timedelta(hours=1)
    async for _page in asker.tools.audit.everything(AuditFilter(since=since)):
        pass


async def _last_request(asker: Asker) -> None:
    news = await asker.tools.audit.newest(asker.of_tenant, 1)
    await asker.tools.audit.newest(AuditFilter(request_id=news.lines[0].request_id), 1)


def _newest(wanted: AuditFilter) -> Callable[[Asker], Awaitable[object]]:
    return lambda asker: asker.tools.audit.newest(wanted, 50)


def _sql(query: str) -> Callable[[Asker], Awaitable[object]]:
    return lambda asker: asker.sql(query)


QUESTIONS: Mapping[str, Question] = {
    "usage --tenant": Question(lambda asker: report_usage(asker.tools.tenants, asker.tools.clock, asker.tenant)),
    "usage --tenant --by day, 30 days": Question(_usage_by_day),
    "usage, the 20 busiest tenants": Question(lambda asker: asker.tools.usage.by_tenant(20), flat=False),
    "list-keys --tenant": Question(lambda asker: asker.tools.tenants.keys(asker.tenant)),
    "list-tenants": Question(lambda asker: asker.tools.tenants.tenants(), flat=False),
    "top": Question(lambda asker: asker.tools.usage.activity(alive_within_s=60, most_tenants=20)),
    "audit --tenant": Question(lambda asker: asker.tools.audit.newest(asker.of_tenant, 50)),
    "audit": Question(_newest(AuditFilter())),
    "audit --event admin": Question(_newest(AuditFilter(event="admin"))),
    "audit --follow, its start": Question(_follow),
    "audit --request, a late one": Question(_last_request),
    "audit --request, an unknown one": Question(_newest(AuditFilter(request_id="00" * 16)), flat=False),
    "audit export --tenant --since 30d": Question(_export),
    "audit export --since 1h": Question(_export_all),
    "revoke-key": Question(lambda asker: asker.tools.administer_keys(_ACTOR).revoke(asker.to_revoke.pop().prefix)),
    "doctor, its look at PostgreSQL": Question(lambda asker: asker.inspection.look()),
    "upkeep: re-reading of changes": Question(_sql(_CHANGED.replace("%(since)s", "neuronetz.ledger_now()"))),
    "upkeep: reaper": Question(_sql("select neuronetz.reap('1 minute'), neuronetz.forget_the_dead('1 minute')")),
    "upkeep: partitions": Question(_sql("select neuronetz.make_audit_partitions()")),
    "upkeep: facts of a tenant": Question(
        _sql("select neuronetz.tenant_facts((select id from neuronetz.tenants where name = %(tenant)s))")
    ),
    "console_tenants": Question(_sql("select * from neuronetz.console_tenants where tenant = %(tenant)s")),
    "console_keys": Question(_sql("select * from neuronetz.console_keys where tenant = %(tenant)s")),
    "console_budgets": Question(_sql("select * from neuronetz.console_budgets where tenant = %(tenant)s")),
    "console_usage_daily": Question(_sql("select * from neuronetz.console_usage_daily where tenant = %(tenant)s")),
    "console_calls": Question(
        _sql(
            "select * from neuronetz.console_calls where tenant = %(tenant)s"
            " and started_at > now() - interval '1 hour' order by started_at desc limit 50"
        )
    ),
    "console_usage() of a tenant": Question(
        _sql(
            "select * from neuronetz.console_usage(now() - interval '30 days', now(),"
            " (select id from neuronetz.tenants where name = %(tenant)s))"
        )
    ),
    "console: newest changes": Question(
        _sql("select at, actor, detail from neuronetz.audit where event = 'admin' order by at desc limit 20")
    ),
}


def seconds_by_question(
    houses: Mapping[str, House], keys: Mapping[str, Sequence[Key]], repeats: int
) -> Mapping[str, Sequence[float]]:
    """The median of each, for each house; every one is asked once before.

    Args:
        houses: whose databases.
        keys: of each house: the first one's tenant is asked about, the last ones are revoked.
        repeats: how often each is asked.
    """
    return asyncio.run(_ask_all(houses, keys, repeats))


async def _ask_all(
    houses: Mapping[str, House], keys: Mapping[str, Sequence[Key]], repeats: int
) -> Mapping[str, Sequence[float]]:
    async with contextlib.AsyncExitStack() as stack:
        askers = [
            await stack.enter_async_context(_asker(house, keys[name][0], keys[name][-repeats - 1 :]))
            for name, house in houses.items()
        ]
        return {name: await _medians_s(question, askers, repeats) for name, question in QUESTIONS.items()}


async def _medians_s(question: Question, askers: Sequence[Asker], repeats: int) -> Sequence[float]:
    found: list[list[float]] = [[] for _ in askers]
    for _ in range(repeats + 1):
        for asker, took_s in zip(askers, found, strict=True):
            began_s = time.perf_counter()
            await question.ask(asker)
            took_s.append(time.perf_counter() - began_s)
    return [statistics.median(took_s[1:]) for took_s in found]


@contextlib.asynccontextmanager
async def _asker(house: House, key: Key, to_revoke: Sequence[Key]) -> AsyncIterator[Asker]:
    inspection = PostgresInspection(DatabaseAddress.read(house.database_url))
    plain = await psycopg.AsyncConnection.connect(house.database_url, autocommit=True)
    async with operator_tools(house.settings) as tools, plain as connection:
        yield Asker(key=key, to_revoke=list(to_revoke), tools=tools, inspection=inspection, connection=connection)
