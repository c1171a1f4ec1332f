"""A house for end-to-end tests: its stores, its backend, its gateways, and an operator who makes tenants and keys."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import attrs
import httpx
import psycopg
import redis
from psycopg import sql
from psycopg.rows import dict_row

from adapters.postgres.migrating import upgrade
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from entrypoints.operator_tools import operator_tools
from entrypoints.settings import Settings
from tests.e2e.programs import PEPPER, Gateway, Simulator, eventually
from tests.stores import TEST_CLOCK

T = TypeVar("T")


@contextlib.contextmanager
def fresh_database(stores: EmbeddedStores) -> Iterator[str]:
    """The URL of a migrated database of one's own, with a clock that tests can move."""
    name = f"house_{secrets.token_hex(8)}"
    url = urlunsplit(urlsplit(stores.database_url)._replace(path=f"/{name}"))
    with psycopg.connect(stores.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        upgrade(url)
        with psycopg.connect(url) as connection:
            connection.execute(TEST_CLOCK)
        yield url
    finally:
        with psycopg.connect(stores.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _forget_calls(redis_url: str) -> None:
    """What gateways of other houses held when they were killed: turns, at a backend that may have the name of ours,
    and slots, which would be counted as ours until they run out.
    """
    with redis.Redis.from_url(redis_url) as plain:
        for pattern in ("nz:{turns}:*", "nz:{*}:cc*"):
            for key in plain.scan_iter(pattern, count=1000):
                plain.delete(key)


_ACTOR = "test"
FAST = {"POLL_INTERVAL_S": "1", "LOG_LEVEL": "info", "METRICS_BIND": "off"}


@attrs.frozen
class Key:
    """A key as its holder and its operator know it."""

    text: str
    prefix: str
    id: str
    tenant: str
    tenant_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}


@attrs.define(kw_only=True)
class House:
    """Everything of one test module."""

    folder: Path
    database_url: str
    redis_url: str
    simulator: Simulator
    gateways: list[Gateway] = attrs.field(factory=list)
    extra: dict[str, str] = attrs.field(factory=dict)

    @classmethod
    @contextlib.contextmanager
    def open(cls, stores: EmbeddedStores, folder: Path, *simulator_options: str, **extra: str) -> Iterator[House]:
        with fresh_database(stores) as database_url:
            _forget_calls(stores.redis_url)
            simulator = Simulator(folder, *simulator_options)
            house = cls(
                folder=folder,
                database_url=database_url,
                redis_url=stores.redis_url,
                simulator=simulator,
                extra=extra,
            )
            try:
                yield house
            finally:
                for gateway in house.gateways:
                    gateway.stop()
                simulator.stop()

    # -- programs -----------------------------------------------------------------------------------------------

    @property
    def environ(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "KEY_PEPPER": PEPPER,
            "OLLAMA_BASE_URL": self.simulator.url,
            **FAST,
            **self.extra,
        }

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environ)

    def add_gateway(self, **extra: str) -> Gateway:
        gateway = Gateway(self.environ | extra, self.folder)
        self.gateways.append(gateway)
        return gateway

    @property
    def url(self) -> str:
        return self.gateways[0].url

    def client(self, key: Key, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=key.headers, timeout=30, **options)

    # -- the operator -------------------------------------------------------------------------------------------

    def new_key(
        self,
        tenant: str | None = None,
        *,
        tenant_policy: Policy | None = None,
        key_policy: Policy | None = None,
        expires_at: datetime | None = None,
    ) -> Key:
        """A key of a tenant, which is made if it is not there."""
        return asyncio.run(self._new_key(tenant or f"t-{secrets.token_hex(4)}", tenant_policy, key_policy, expires_at))

    async def _new_key(
        self, tenant: str, tenant_policy: Policy | None, key_policy: Policy | None, expires_at: datetime | None
    ) -> Key:
        async with operator_tools(self.settings) as tools:
            known = {one.name for one in await tools.tenants.tenants()}
            if tenant not in known:
                await tools.tenants.add_tenant(tenant, actor=_ACTOR)
            if tenant_policy is not None:
                await tools.administer_tenants(_ACTOR).change_policy(tenant, lambda _: tenant_policy)
            name = secrets.token_hex(4)
            made = await tools.administer_keys(_ACTOR).create(
                tenant, name=name, expires_at=expires_at, pepper=PEPPER.encode()
            )
            if key_policy is not None:
                await tools.administer_keys(_ACTOR).change_policy(made.key.prefix, lambda _: key_policy)
            return Key(made.text.unwrap(), made.key.prefix, made.key.id, tenant, made.key.tenant_id)

    def revoke(self, key: Key) -> None:
        async def revoke() -> None:
            async with operator_tools(self.settings) as tools:
                await tools.administer_keys(_ACTOR).revoke(key.prefix)

        asyncio.run(revoke())

    def suspend(self, key: Key) -> None:
        async def suspend() -> None:
            async with operator_tools(self.settings) as tools:
                await tools.administer_tenants(_ACTOR).suspend(key.tenant)

        asyncio.run(suspend())

    # -- what the books say -------------------------------------------------------------------------------------

    def rows(self, query: str, *values: Any) -> Sequence[Mapping[str, Any]]:
        """What plain SQL finds, as an operator with psql would see it."""
        with psycopg.connect(self.database_url, row_factory=dict_row, autocommit=True) as connection:
            connection.execute("set search_path to neuronetz")
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def open_holds(self) -> int:
        return int(self.rows("select count(*) as n from holds where state = 'open'")[0]["n"])

    def settled(self, within_s: float = 10) -> None:
        """Waits until no hold is open."""
        for _ in eventually(within_s):
            if self.open_holds() == 0:
                return

    def used(self, key: Key) -> int:
        """Tokens that the tenant has used in all."""
        rows = self.rows(
            "select used from budget_windows where tenant_id = %s and scope_id = %s and kind = 2",
            key.tenant_id,
            key.tenant_id,
        )
        return int(rows[0]["used"]) if rows else 0
