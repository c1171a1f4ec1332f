"""The steps that reads and changes of tenants and keys are made of, inside one transaction."""

from __future__ import annotations

from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from adapters.postgres.pool import Connection
from adapters.postgres.rows import KEYS, RECORD, TENANTS, Row, key_of, tenant_of
from domain.ports.registers import ApiKey, Tenant, Unknown


class Steps:
    """One transaction, and what can be done in it."""

    def __init__(self, connection: Connection, actor: str) -> None:
        self._connection = connection
        self._actor = actor

    async def run(self, statement: str, **values: Any) -> None:
        """Runs a statement."""
        await self._connection.execute(statement, values)

    async def rows(self, query: str, **values: Any) -> list[Row]:
        """All rows."""
        cursor = await self._connection.execute(query, values)
        return await cursor.fetchall()

    async def one(self, query: str, **values: Any) -> Row | None:
        """The one row, or none."""
        cursor = await self._connection.execute(query, values)
        return await cursor.fetchone()

    async def tenant(self, name: str, *, lock: bool = False) -> Tenant:
        """A tenant by its name, locked if it is to be changed.

        Raises:
            Unknown: there is none.
        """
        query = f"{TENANTS} where t.name = %(name)s {'for update of t' if lock else ''}"
        row = await self.one(query, name=name)
        if row is None:
            raise Unknown(f"There is no tenant `{name}`.")
        return tenant_of(row)

    async def key_row(self, prefix: str, lock: str) -> Row:
        """A key as it is kept.

        Raises:
            Unknown: there is none.
        """
        row = await self.one(f"{KEYS} where k.prefix = %(prefix)s {lock}", prefix=prefix)
        if row is None:
            raise no_such_key(prefix)
        return row

    async def key(self, prefix: str, *, lock: bool = False) -> ApiKey:
        """A key by its prefix, locked if it is to be changed."""
        return key_of(await self.key_row(prefix, "for update of k" if lock else ""))

    async def revoke(self, before: ApiKey) -> ApiKey:
        """Revokes a live key, and records it."""
        await self.run(
            "update neuronetz.api_keys set revoked_at = neuronetz.ledger_now() where prefix = %(prefix)s",
            prefix=before.prefix,
        )
        after = await self.key(before.prefix)
        await self.record("revoke_key", None, after, {"revoked_at": None}, {"revoked_at": after.revoked_at})
        return after

    async def record(
        self, change: str, tenant: Tenant | None, key: ApiKey | None, before: Row | None, after: Row
    ) -> None:
        """Writes the audit row of a change: who, of what, before and after."""
        owner = tenant.id if tenant is not None else key.tenant_id if key is not None else None
        detail = {"change": change, "before": before, "after": after}
        await self.run(
            RECORD,
            tenant_id=owner,
            key_id=None if key is None else key.id,
            key_prefix=None if key is None else key.prefix,
            actor=self._actor,
            detail=Jsonb(detail, dumps=msgspec.json.encode),
        )


def no_such_key(prefix: str) -> Unknown:
    """The error for a prefix that nobody has."""
    return Unknown(f"There is no key {prefix}.")
