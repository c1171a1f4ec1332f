"""Making, showing and changing tenants, for the operator.

    register change + audit row, one transaction   ->   announcement to the limit store
    (from here on true)                                 (from here on every gateway knows)

The announcement makes cached identities outdated everywhere before the command returns. When it cannot be made the
change is still true: the ledger refuses holds of outdated callers, and gateways read all generations again within
seconds. So its failure is told, not raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Generic, Protocol, TypeVar

import attrs

from domain.faults import StoreUnavailable
from domain.policies import Policy, TenantState, with_alias, without_alias
from domain.ports.registers import ApiKey, Tenant, TenantRegister

T = TypeVar("T", Tenant, ApiKey)


class Announcer(Protocol):
    """The one thing of `LimitStore` that administration needs."""

    async def announce(self, tenant_id: str, generations: Sequence[tuple[str, int]]) -> None:
        """Makes cached identities older than these generations invalid, everywhere, at once."""


@attrs.frozen(kw_only=True)
class Changed(Generic[T]):
    """What a change made of a tenant or key."""

    now: T
    announced: bool
    """Whether every gateway knows already; otherwise each learns at its next hold, or within seconds."""


async def announced(announcer: Announcer, tenant_id: str, *generations: tuple[str, int]) -> bool:
    """Tells every gateway; False when the limit store cannot be reached."""
    try:
        await announcer.announce(tenant_id, generations)
    except StoreUnavailable:
        return False
    return True


@attrs.frozen(kw_only=True)
class AdministerTenants:
    """The operator's use cases for tenants.

    Attributes:
        actor: who acts, for the audit.
    """

    register: TenantRegister
    announcer: Announcer
    actor: str

    async def create(self, name: str) -> Tenant:
        """A new tenant without limits or budgets. Nothing can have cached it, so nothing is announced."""
        return await self.register.add_tenant(name, actor=self.actor)

    async def suspend(self, name: str) -> Changed[Tenant]:
        """No key of the tenant is good from now on."""
        return await self._settled(await self.register.set_tenant_state(name, TenantState.SUSPENDED, actor=self.actor))

    async def resume(self, name: str) -> Changed[Tenant]:
        """Its keys are good again, those revoked or expired excepted."""
        return await self._settled(await self.register.set_tenant_state(name, TenantState.ACTIVE, actor=self.actor))

    async def change_policy(self, name: str, change: Callable[[Policy], Policy]) -> Changed[Tenant]:
        """Replaces the policy by what `change` makes of it."""
        return await self._settled(await self.register.change_tenant_policy(name, change, actor=self.actor))

    async def set_alias(self, name: str, alias: str, model: str) -> Changed[Tenant]:
        """Lets a name mean a model for this tenant; both canonical.

        Raises:
            TooManyAliases: the tenant has as many as it may have.
        """
        changed = await self.register.change_aliases(
            name, lambda aliases: with_alias(aliases, alias, model), actor=self.actor
        )
        return await self._settled(changed)

    async def remove_alias(self, name: str, alias: str) -> Changed[Tenant]:
        """Lets a name mean nothing of its own again. One that means nothing already is no error."""
        changed = await self.register.change_aliases(
            name, lambda aliases: without_alias(aliases, alias), actor=self.actor
        )
        return await self._settled(changed)

    async def _settled(self, tenant: Tenant) -> Changed[Tenant]:
        told = await announced(self.announcer, tenant.id, (tenant.id, tenant.generation))
        return Changed(now=tenant, announced=told)


async def similar_names(register: TenantRegister, name: str) -> Sequence[str] | None:
    """Names of tenants that `name` may have been meant for, likeliest first; None when there is a tenant `name`."""
    names = [tenant.name for tenant in await register.tenants()]
    if name in names:
        return None
    folded = {known.casefold(): known for known in names}
    return [folded[close] for close in get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
