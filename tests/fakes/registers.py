"""Tenants, keys, windows and audit in memory: one `Books` that the fakes of register, ledger and journal share.

What PostgreSQL's triggers do, this does in `_replace`: a change that matters raises the generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import attrs

from domain.budgets import Window, WindowUse
from domain.faults import FaultCode, StoreUnavailable
from domain.limits import Scope
from domain.policies import EVERYTHING, AliasChange, Caller, Change, Policy, TenantState
from domain.ports.registers import ApiKey, KeyRegister, KeyUse, KnownKey, Taken, Tenant, TenantRegister, Unknown

WindowKey = tuple[str, str, Window, datetime]
"""Tenant id, scope id, window, start."""


@attrs.frozen(kw_only=True)
class AuditRow:
    """One line of the audit, as far as tests look at it."""

    at: datetime
    event: str
    tenant_id: str | None
    request_id: str = ""
    key_id: str | None = None
    outcome: str | None = None
    code: str | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    held_tokens: int = 0
    count: int = 1
    actor: str | None = None
    change: str | None = None


@attrs.define
class TenantRow:
    shown: Tenant
    changed_at: datetime
    epoch: int = 0


@attrs.define
class KeyRow:
    shown: ApiKey
    changed_at: datetime
    secret_hash: str
    scope_id: str
    """Of its budget windows: a key that replaces another shares it."""


@attrs.define
class Level:
    """One budget window."""

    used: int = 0
    held: int = 0


def _now() -> datetime:
    return datetime.now(UTC)


@attrs.define
class Books:
    """Everything that PostgreSQL would keep."""

    now: Callable[[], datetime] = _now
    tenants: dict[str, TenantRow] = attrs.field(factory=dict)
    keys: dict[str, KeyRow] = attrs.field(factory=dict)
    windows: dict[WindowKey, Level] = attrs.field(factory=dict)
    audit: list[AuditRow] = attrs.field(factory=list)
    unavailable: bool = False
    """Set it to see what happens while PostgreSQL is away."""

    def ask(self, code: FaultCode) -> None:
        if self.unavailable:
            raise StoreUnavailable(code, "PostgreSQL cannot answer.")

    def level(self, tenant_id: str, scope_id: str, window: Window, start: datetime) -> Level:
        return self.windows.setdefault((tenant_id, scope_id, window, start), Level())

    def tenant_named(self, name: str) -> TenantRow:
        for row in self.tenants.values():
            if row.shown.name == name:
                return row
        raise Unknown(f"There is no tenant `{name}`.")

    def key_at(self, prefix: str) -> KeyRow:
        for row in self.keys.values():
            if row.shown.prefix == prefix:
                return row
        raise Unknown(f"There is no key {prefix}.")

    def record(self, change: str, tenant_id: str, actor: str, key_id: str | None = None) -> None:
        self.audit.append(
            AuditRow(at=self.now(), event="admin", tenant_id=tenant_id, key_id=key_id, actor=actor, change=change)
        )


class MemoryKeyRegister(KeyRegister):
    def __init__(self, books: Books) -> None:
        self._books = books

    async def find(self, prefix: str) -> KnownKey | None:
        self._books.ask(FaultCode.IDENTITY_UNAVAILABLE)
        try:
            row = self._books.key_at(prefix)
        except Unknown:
            return None
        key, tenant = row.shown, self._books.tenants[row.shown.tenant_id].shown
        return KnownKey(
            caller=Caller(
                tenant_id=tenant.id,
                tenant_name=tenant.name,
                tenant_state=tenant.state,
                tenant_generation=tenant.generation,
                tenant_policy=tenant.policy,
                key_id=key.id,
                key_prefix=key.prefix,
                key_name=key.name,
                key_generation=key.generation,
                key_policy=key.policy,
                revoked_at=key.revoked_at,
                expires_at=key.expires_at,
                prompt_log_ttl_s=key.prompt_log_ttl_s,
                aliases=tenant.aliases,
            ),
            secret_hash=row.secret_hash,
            as_of=self._books.now(),
        )

    async def rehash(self, key_id: str, secret_hash: str) -> None:
        self._books.ask(FaultCode.IDENTITY_UNAVAILABLE)
        if key_id in self._books.keys:
            self._books.keys[key_id].secret_hash = secret_hash


class MemoryTenantRegister(TenantRegister):
    def __init__(self, books: Books) -> None:
        self._books = books

    async def add_tenant(self, name: str, *, actor: str) -> Tenant:
        books = self._asked()
        if any(row.shown.name == name for row in books.tenants.values()):
            raise Taken(f"There is a tenant `{name}` already.")
        tenant = Tenant(
            id=str(uuid4()),
            name=name,
            state=TenantState.ACTIVE,
            policy=EVERYTHING,
            generation=1,
            created_at=books.now(),
        )
        books.tenants[tenant.id] = TenantRow(tenant, books.now())
        books.record("add_tenant", tenant.id, actor)
        return tenant

    async def tenants(self) -> Sequence[Tenant]:
        rows = self._asked().tenants.values()
        return sorted((self._shown(row) for row in rows), key=lambda tenant: tenant.name)

    async def tenant(self, name: str) -> Tenant:
        return self._shown(self._asked().tenant_named(name))

    async def set_tenant_state(self, name: str, state: TenantState, *, actor: str) -> Tenant:
        return self._change_tenant(name, attrs.evolve(await self.tenant(name), state=state), "set_tenant_state", actor)

    async def change_tenant_policy(self, name: str, change: Change, *, actor: str) -> Tenant:
        before = await self.tenant(name)
        after = attrs.evolve(before, policy=change(before.policy))
        return self._change_tenant(name, after, "set_tenant_policy", actor)

    async def change_aliases(self, name: str, change: AliasChange, *, actor: str) -> Tenant:
        before = await self.tenant(name)
        return self._change_tenant(name, attrs.evolve(before, aliases=change(before.aliases)), "set_aliases", actor)

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
        books = self._asked()
        tenant = books.tenant_named(tenant_name).shown
        self._require_free(prefix, tenant.id, name)
        key = ApiKey(
            id=str(uuid4()),
            tenant_id=tenant.id,
            tenant_name=tenant.name,
            name=name,
            prefix=prefix,
            policy=EVERYTHING,
            generation=1,
            created_at=books.now(),
            expires_at=expires_at,
            revoked_at=None,
        )
        books.keys[key.id] = KeyRow(key, books.now(), secret_hash, scope_id=str(uuid4()))
        books.record("add_key", tenant.id, actor, key.id)
        return key

    async def keys(self, tenant_name: str) -> Sequence[ApiKey]:
        tenant = self._asked().tenant_named(tenant_name).shown
        return sorted(self._keys_of(tenant.id), key=lambda key: (key.created_at, key.prefix))

    async def key(self, prefix: str) -> ApiKey:
        return self._asked().key_at(prefix).shown

    async def change_key_policy(self, prefix: str, change: Change, *, actor: str) -> ApiKey:
        before = await self.key(prefix)
        return self._change_key(attrs.evolve(before, policy=change(before.policy)), "set_key_policy", actor)

    async def set_prompt_log(self, prefix: str, ttl_s: int | None, *, actor: str) -> ApiKey:
        before = await self.key(prefix)
        return self._change_key(attrs.evolve(before, prompt_log_ttl_s=ttl_s), "set_prompt_log", actor)

    async def revoke_key(self, prefix: str, *, actor: str) -> ApiKey:
        key = await self.key(prefix)
        return self._change_key(attrs.evolve(key, revoked_at=key.revoked_at or self._books.now()), "revoke_key", actor)

    async def replace_key(self, prefix: str, *, new_prefix: str, secret_hash: str, actor: str) -> ApiKey:
        books = self._asked()
        row = books.key_at(prefix)
        if row.shown.revoked_at:
            raise Unknown(f"The key {prefix} is revoked: only a live key can be replaced.")
        if any(other.shown.prefix == new_prefix for other in books.keys.values()):
            raise Taken(f"The prefix {new_prefix} is taken.")
        await self.revoke_key(prefix, actor=actor)
        key = attrs.evolve(
            row.shown, id=str(uuid4()), prefix=new_prefix, generation=1, created_at=books.now(), revoked_at=None
        )
        books.keys[key.id] = KeyRow(key, books.now(), secret_hash, scope_id=row.scope_id)
        books.record("replace_key", key.tenant_id, actor, key.id)
        return key

    async def window_use(self, tenant_name: str, *, key_prefix: str | None = None) -> Sequence[WindowUse]:
        books = self._asked()
        tenant = books.tenant_named(tenant_name).shown
        scope, scope_id, policy = Scope.TENANT, tenant.id, tenant.policy
        if key_prefix is not None:
            row = books.key_at(key_prefix)
            if row.shown.tenant_id != tenant.id:
                raise Unknown(f"There is no key {key_prefix}.")
            scope, scope_id, policy = Scope.KEY, row.scope_id, row.shown.policy
        return [self._use(tenant.id, scope, scope_id, policy, window) for window in Window]

    async def key_use(self, tenant_name: str, *, since: datetime) -> Sequence[KeyUse]:
        tenant = self._asked().tenant_named(tenant_name).shown
        uses = []
        for key in sorted(self._keys_of(tenant.id), key=lambda key: (key.created_at, key.prefix)):
            rows = [row for row in self._books.audit if row.key_id == key.id and row.at >= since]
            rows = [row for row in rows if row.event != "admin"]
            charged = [row for row in rows if row.event in ("finished", "reaped", "corrected")]
            if rows:
                uses.append(
                    KeyUse(
                        key_prefix=key.prefix,
                        key_name=key.name,
                        requests=sum(row.event == "started" for row in rows),
                        prompt_tokens=sum(row.prompt_tokens for row in charged),
                        output_tokens=sum(row.output_tokens for row in charged),
                        refused=sum(row.count for row in rows if row.event == "refused"),
                    )
                )
        return uses

    def _asked(self) -> Books:
        self._books.ask(FaultCode.LEDGER_UNAVAILABLE)
        return self._books

    def _shown(self, row: TenantRow) -> Tenant:
        live = [key for key in self._keys_of(row.shown.id) if key.revoked_at is None]
        return attrs.evolve(row.shown, key_count=len(live))

    def _keys_of(self, tenant_id: str) -> Iterable[ApiKey]:
        return [row.shown for row in self._books.keys.values() if row.shown.tenant_id == tenant_id]

    def _require_free(self, prefix: str, tenant_id: str, name: str) -> None:
        for row in self._books.keys.values():
            key = row.shown
            same_name = key.tenant_id == tenant_id and key.name == name and key.revoked_at is None
            if key.prefix == prefix or same_name:
                raise Taken(f"The key name `{name}` or the prefix {prefix} is taken.")

    def _change_tenant(self, name: str, wanted: Tenant, change: str, actor: str) -> Tenant:
        row = self._books.tenant_named(name)
        if self._shown(row) != wanted:
            row.shown = attrs.evolve(wanted, generation=wanted.generation + 1)
            row.changed_at = self._books.now()
            self._books.record(change, wanted.id, actor)
        return self._shown(row)

    def _change_key(self, wanted: ApiKey, change: str, actor: str) -> ApiKey:
        row = self._books.keys[wanted.id]
        if row.shown != wanted:
            row.shown = attrs.evolve(wanted, generation=wanted.generation + 1)
            row.changed_at = self._books.now()
            self._books.record(change, wanted.tenant_id, actor, wanted.id)
        return row.shown

    def _use(self, tenant_id: str, scope: Scope, scope_id: str, policy: Policy, window: Window) -> WindowUse:
        now = self._books.now()
        level = self._books.windows.get((tenant_id, scope_id, window, window.start(now)), Level())
        return WindowUse(
            scope=scope,
            window=window,
            used=level.used,
            held=level.held,
            limit=policy.budgets.limit(window),
            starts=window.start(now),
            ends=window.end(now),
        )
