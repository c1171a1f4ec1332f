"""Tenants and keys in PostgreSQL. Every change and its audit row are one transaction.

Generations, notices to the gateways and the time stamps are the work of triggers, so that a change made here and one
made with psql are the same. A row is locked before it is compared and changed: of two who change it at once, the second
sees and records what the first made of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from adapters.postgres.pool import Pool
from adapters.postgres.register_steps import Steps, no_such_key
from adapters.postgres.rows import (
    COPY_KEY,
    KEY_USE,
    KEYS,
    KNOWN_KEY,
    SET_ALIASES,
    SET_KEY_POLICY,
    SET_PROMPT_LOG,
    SET_TENANT_POLICY,
    TENANTS,
    WINDOWS,
    key_of,
    known_key_of,
    policy_columns,
    policy_of,
    tenant_of,
    window_use_of,
)
from domain.budgets import WindowUse
from domain.faults import FaultCode
from domain.limits import Scope
from domain.policies import AliasChange, Change, TenantState
from domain.ports.registers import ApiKey, KeyRegister, KeyUse, KnownKey, Taken, Tenant, TenantRegister, Unknown

_PATIENCE_S = 10.0
"""An operator waits longer than a request does."""
_LIST_PATIENCE_S = 60.0
"""All tenants are as many as there are: 100,000 with their keys' number take seconds on a busy machine."""


class PostgresKeyRegister(KeyRegister):
    """Finds keys by their public prefix."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, prefix: str) -> KnownKey | None:
        """See the port."""
        return await self._pool.uninterrupted(self._find(prefix))

    async def rehash(self, key_id: str, secret_hash: str) -> None:
        """See the port."""
        await self._pool.uninterrupted(self._rehash(key_id, secret_hash))

    async def _find(self, prefix: str) -> KnownKey | None:
        async with self._pool.transaction(FaultCode.IDENTITY_UNAVAILABLE) as connection:
            row = await Steps(connection, "").one(KNOWN_KEY, prefix=prefix)
        return None if row is None else known_key_of(row)

    async def _rehash(self, key_id: str, secret_hash: str) -> None:
        async with self._pool.transaction(FaultCode.IDENTITY_UNAVAILABLE) as connection:
            await connection.execute(
                "update neuronetz.api_keys set secret_hash = %s where id = %s", (secret_hash, UUID(key_id))
            )


class PostgresTenantRegister(TenantRegister):
    """Reads and changes tenants and keys."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add_tenant(self, name: str, *, actor: str) -> Tenant:
        """See the port."""
        async with self._changes(actor, f"There is a tenant `{name}` already.") as change:
            await change.run("insert into neuronetz.tenants (name) values (%(name)s)", name=name)
            tenant = await change.tenant(name)
            await change.record("add_tenant", tenant, None, None, {"name": name})
            return tenant

    async def tenants(self) -> Sequence[Tenant]:
        """See the port."""
        async with self._reads(_LIST_PATIENCE_S) as read:
            rows = await read.rows(f"{TENANTS} order by t.name")
        return [tenant_of(row) for row in rows]

    async def tenant(self, name: str) -> Tenant:
        """See the port."""
        async with self._reads() as read:
            return await read.tenant(name)

    async def set_tenant_state(self, name: str, state: TenantState, *, actor: str) -> Tenant:
        """See the port."""
        async with self._changes(actor) as change:
            before = await change.tenant(name, lock=True)
            if before.state is state:
                return before
            await change.run(
                "update neuronetz.tenants set state = %(state)s where name = %(name)s", state=state, name=name
            )
            after = await change.tenant(name)
            await change.record("set_tenant_state", after, None, {"state": before.state}, {"state": state})
            return after

    async def change_tenant_policy(self, name: str, change: Change, *, actor: str) -> Tenant:
        """See the port."""
        async with self._changes(actor) as writing:
            before = await writing.tenant(name, lock=True)
            policy = change(before.policy)
            if before.policy == policy:
                return before
            await writing.run(SET_TENANT_POLICY, name=name, **policy_columns(policy))
            after = await writing.tenant(name)
            await writing.record(
                "set_tenant_policy", after, None, policy_columns(before.policy), policy_columns(after.policy)
            )
            return after

    async def change_aliases(self, name: str, change: AliasChange, *, actor: str) -> Tenant:
        """See the port."""
        async with self._changes(actor) as writing:
            before = await writing.tenant(name, lock=True)
            aliases = change(before.aliases)
            if before.aliases == aliases:
                return before
            await writing.run(SET_ALIASES, name=name, aliases=Jsonb(aliases))
            after = await writing.tenant(name)
            await writing.record("set_aliases", after, None, {"aliases": before.aliases}, {"aliases": after.aliases})
            return after

    async def add_key(
        self,
        tenant_name: str,
        *,
        name: str,
        prefix: str,
        secret_hash: str,
        expires_at: datetime | None,
        actor: str,
    ) -> ApiKey:
        """See the port."""
        taken = f"Tenant `{tenant_name}` has a live key `{name}` already, or the prefix {prefix} is taken."
        async with self._changes(actor, taken) as change:
            tenant = await change.tenant(tenant_name)
            await change.run(
                "insert into neuronetz.api_keys (tenant_id, name, prefix, secret_hash, expires_at)"
                " values (%(tenant_id)s, %(name)s, %(prefix)s, %(secret_hash)s, %(expires_at)s)",
                tenant_id=UUID(tenant.id),
                name=name,
                prefix=prefix,
                secret_hash=secret_hash,
                expires_at=expires_at,
            )
            key = await change.key(prefix)
            await change.record("add_key", tenant, key, None, {"name": name, "expires_at": expires_at})
            return key

    async def keys(self, tenant_name: str) -> Sequence[ApiKey]:
        """See the port."""
        async with self._reads() as read:
            tenant = await read.tenant(tenant_name)
            rows = await read.rows(
                f"{KEYS} where k.tenant_id = %(tenant_id)s order by k.created_at, k.prefix", tenant_id=UUID(tenant.id)
            )
            return [key_of(row) for row in rows]

    async def key(self, prefix: str) -> ApiKey:
        """See the port."""
        async with self._reads() as read:
            return await read.key(prefix)

    async def change_key_policy(self, prefix: str, change: Change, *, actor: str) -> ApiKey:
        """See the port."""
        async with self._changes(actor) as writing:
            before = await writing.key(prefix, lock=True)
            policy = change(before.policy)
            if before.policy == policy:
                return before
            await writing.run(SET_KEY_POLICY, prefix=prefix, **policy_columns(policy))
            after = await writing.key(prefix)
            await writing.record(
                "set_key_policy", None, after, policy_columns(before.policy), policy_columns(after.policy)
            )
            return after

    async def set_prompt_log(self, prefix: str, ttl_s: int | None, *, actor: str) -> ApiKey:
        """See the port."""
        async with self._changes(actor) as change:
            before = await change.key(prefix, lock=True)
            if before.prompt_log_ttl_s == ttl_s:
                return before
            await change.run(SET_PROMPT_LOG, prefix=prefix, prompt_log_ttl_s=ttl_s)
            after = await change.key(prefix)
            former = {"prompt_log_ttl_s": before.prompt_log_ttl_s}
            await change.record("set_prompt_log", None, after, former, {"prompt_log_ttl_s": ttl_s})
            return after

    async def revoke_key(self, prefix: str, *, actor: str) -> ApiKey:
        """See the port."""
        async with self._changes(actor) as change:
            before = await change.key(prefix, lock=True)
            return before if before.revoked_at else await change.revoke(before)

    async def replace_key(self, prefix: str, *, new_prefix: str, secret_hash: str, actor: str) -> ApiKey:
        """See the port. The new key shares the old one's `budget_id` and with it the windows, so calls in flight under
        the old key settle where the new one is counted.
        """
        async with self._changes(actor, f"The prefix {new_prefix} is taken.") as change:
            before = await change.key(prefix, lock=True)
            if before.revoked_at:
                raise Unknown(f"The key {prefix} is revoked: only a live key can be replaced.")
            await change.revoke(before)
            await change.run(COPY_KEY, new_prefix=new_prefix, secret_hash=secret_hash, prefix=prefix)
            after = await change.key(new_prefix)
            await change.record("replace_key", None, after, {"prefix": prefix}, {"prefix": new_prefix})
            return after

    async def window_use(self, tenant_name: str, *, key_prefix: str | None = None) -> Sequence[WindowUse]:
        """See the port."""
        async with self._reads() as read:
            tenant = await read.tenant(tenant_name)
            if key_prefix is None:
                scope, scope_id, policy = Scope.TENANT, UUID(tenant.id), tenant.policy
            else:
                row = await read.key_row(key_prefix, "")
                if str(row["tenant_id"]) != tenant.id:
                    raise no_such_key(key_prefix)
                scope, scope_id, policy = Scope.KEY, row["budget_id"], policy_of(row)
            rows = await read.rows(WINDOWS, tenant_id=UUID(tenant.id), scope_id=scope_id)
            return [window_use_of(row, scope=scope, policy=policy, now=row["now"]) for row in rows]

    async def key_use(self, tenant_name: str, *, since: datetime) -> Sequence[KeyUse]:
        """See the port."""
        async with self._reads() as read:
            tenant = await read.tenant(tenant_name)
            rows = await read.rows(KEY_USE, tenant_id=UUID(tenant.id), since=since)
            return [
                KeyUse(
                    key_prefix=row["prefix"],
                    key_name=row["name"],
                    requests=row["requests"],
                    prompt_tokens=row["prompt_tokens"],
                    output_tokens=row["output_tokens"],
                    refused=row["refused"],
                )
                for row in rows
            ]

    @asynccontextmanager
    async def _reads(self, patience_s: float = _PATIENCE_S) -> AsyncIterator[Steps]:
        async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=patience_s) as connection:
            yield Steps(connection, "")

    @asynccontextmanager
    async def _changes(self, actor: str, taken: str = "The name is taken.") -> AsyncIterator[Steps]:
        try:
            async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S) as connection:
                yield Steps(connection, actor)
        except psycopg.errors.UniqueViolation as error:
            raise Taken(taken) from error
