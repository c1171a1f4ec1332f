"""A register in memory, as small as the commands' tests need. Rules of the real one that matter here are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import attrs

from domain.budgets import Window, WindowUse
from domain.limits import Scope
from domain.policies import EVERYTHING, Policy, TenantState
from domain.ports.registers import ApiKey, KeyUse, Taken, Tenant, TenantRegister, Unknown

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


class StubRegister(TenantRegister):
    def __init__(self) -> None:
        self.by_name: dict[str, Tenant] = {}
        self.by_prefix: dict[str, ApiKey] = {}
        self.hashes: dict[str, str] = {}
        self.actors: list[str] = []
        self.used: dict[str, tuple[int, int]] = {}
        self.uses: list[KeyUse] = []

    async def add_tenant(self, name: str, *, actor: str) -> Tenant:
        if name in self.by_name:
            raise Taken(f"there is a tenant {name} already")
        self.actors.append(actor)
        tenant = Tenant(
            id=f"t{len(self.by_name) + 1}",
            name=name,
            state=TenantState.ACTIVE,
            policy=EVERYTHING,
            generation=1,
            created_at=NOW,
        )
        self.by_name[name] = tenant
        return tenant

    async def tenants(self) -> Sequence[Tenant]:
        return [await self.tenant(name) for name in sorted(self.by_name)]

    async def tenant(self, name: str) -> Tenant:
        if name not in self.by_name:
            raise Unknown(f"there is no tenant {name}")
        count = sum(key.tenant_name == name and key.revoked_at is None for key in self.by_prefix.values())
        return attrs.evolve(self.by_name[name], key_count=count)

    async def set_tenant_state(self, name: str, state: TenantState, *, actor: str) -> Tenant:
        return await self._change_tenant(await self.tenant(name), actor, state=state)

    async def set_tenant_policy(self, name: str, policy: Policy, *, actor: str) -> Tenant:
        return await self._change_tenant(await self.tenant(name), actor, policy=policy)

    async def _change_tenant(self, tenant: Tenant, actor: str, **changes: object) -> Tenant:
        self.actors.append(actor)
        self.by_name[tenant.name] = attrs.evolve(tenant, generation=tenant.generation + 1, **changes)  # type: ignore[arg-type]  # the callers above name fields of the right kind
        return await self.tenant(tenant.name)

    async def add_key(
        self, tenant_name: str, *, name: str, prefix: str, secret_hash: str, expires_at: datetime | None, actor: str
    ) -> ApiKey:
        tenant = await self.tenant(tenant_name)
        if any(key.name == name and not key.revoked_at for key in await self.keys(tenant_name)):
            raise Taken(f"the tenant {tenant_name} has a key {name} already")
        self.actors.append(actor)
        self.hashes[prefix] = secret_hash
        self.by_prefix[prefix] = ApiKey(
            id=f"k{len(self.by_prefix) + 1}",
            tenant_id=tenant.id,
            tenant_name=tenant_name,
            name=name,
            prefix=prefix,
            policy=EVERYTHING,
            generation=1,
            created_at=NOW,
            expires_at=expires_at,
            revoked_at=None,
        )
        return self.by_prefix[prefix]

    async def keys(self, tenant_name: str) -> Sequence[ApiKey]:
        await self.tenant(tenant_name)
        return [key for key in self.by_prefix.values() if key.tenant_name == tenant_name]

    async def key(self, prefix: str) -> ApiKey:
        if prefix not in self.by_prefix:
            raise Unknown(f"there is no key {prefix}")
        return self.by_prefix[prefix]

    async def set_key_policy(self, prefix: str, policy: Policy, *, actor: str) -> ApiKey:
        key = await self.key(prefix)
        self.actors.append(actor)
        self.by_prefix[prefix] = attrs.evolve(key, policy=policy, generation=key.generation + 1)
        return self.by_prefix[prefix]

    async def revoke_key(self, prefix: str, *, actor: str) -> ApiKey:
        key = await self.key(prefix)
        if key.revoked_at is None:
            self.actors.append(actor)
            self.by_prefix[prefix] = attrs.evolve(key, revoked_at=NOW, generation=key.generation + 1)
        return self.by_prefix[prefix]

    async def replace_key(self, prefix: str, *, new_prefix: str, secret_hash: str, actor: str) -> ApiKey:
        old = await self.revoke_key(prefix, actor=actor)
        made = await self.add_key(
            old.tenant_name,
            name=old.name,
            prefix=new_prefix,
            secret_hash=secret_hash,
            expires_at=old.expires_at,
            actor=actor,
        )
        self.by_prefix[new_prefix] = attrs.evolve(made, policy=old.policy)
        return self.by_prefix[new_prefix]

    async def window_use(self, tenant_name: str, *, key_prefix: str | None = None) -> Sequence[WindowUse]:
        policy = (await self.key(key_prefix)).policy if key_prefix else (await self.tenant(tenant_name)).policy
        used, held = self.used.get(key_prefix or tenant_name, (0, 0))
        return [
            WindowUse(
                scope=Scope.KEY if key_prefix else Scope.TENANT,
                window=window,
                used=used,
                held=held,
                limit=policy.budgets.limit(window),
                starts=window.start(NOW),
                ends=window.end(NOW),
            )
            for window in Window
        ]

    async def key_use(self, tenant_name: str, *, since: datetime) -> Sequence[KeyUse]:
        await self.tenant(tenant_name)
        return self.uses if since <= NOW else []
