"""Making, changing and ending API keys, for the operator.

A key's text exists in three places only: in the value returned here, on the operator's screen, and with its holder.
The register is given its Argon2id hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import attrs

from application.administer_tenants import Announcer, Changed, announced
from domain.keys import PREFIX_LENGTH, SECRET_LENGTH, PresentedKey, Secret, mint
from domain.policies import Policy, looser_than_tenant
from domain.ports.registers import ApiKey, TenantRegister, Unknown
from domain.ports.surroundings import Clock, Entropy, PasswordHash


class AlreadyPast(ValueError):
    """An expiry lies in the past; the key would never have been good."""


class NotGood(ValueError):
    """A revoked key cannot be changed or rotated."""


@attrs.frozen(kw_only=True)
class NewKey:
    """A key just made. The only time its text is known."""

    text: Secret
    key: ApiKey
    announced: bool


@attrs.frozen(kw_only=True)
class AdministerKeys:
    """The operator's use cases for keys.

    Attributes:
        actor: who acts, for the audit.
    """

    register: TenantRegister
    announcer: Announcer
    passwords: PasswordHash
    entropy: Entropy
    clock: Clock
    actor: str

    async def create(self, tenant_name: str, *, name: str, expires_at: datetime | None, pepper: bytes) -> NewKey:
        """A new key for a tenant, with no limits or budgets of its own.

        Args:
            tenant_name: whose.
            name: to tell it from the tenant's other keys.
            expires_at: when it stops being good, aware; None for never.
            pepper: the current one.

        Raises:
            AlreadyPast: the expiry.
        """
        if expires_at is not None and expires_at <= self.clock.now():
            raise AlreadyPast(f"the expiry {expires_at:%Y-%m-%d %H:%M:%S} UTC is in the past")
        await self.register.tenant(tenant_name)  # an unknown tenant is told before Argon2id is paid for
        made = self._mint(pepper)
        key = await self.register.add_key(
            tenant_name,
            name=name,
            prefix=made.prefix,
            secret_hash=await self.passwords.hash(made.secret),
            expires_at=expires_at,
            actor=self.actor,
        )
        return await self._new(made, key)

    async def rotate(self, prefix: str, *, pepper: bytes) -> NewKey:
        """A new key in the place of an old one, which is good no longer.

        Raises:
            NotGood: the old one was revoked before.
        """
        await self._not_revoked(prefix)
        made = self._mint(pepper)
        key = await self.register.replace_key(
            prefix, new_prefix=made.prefix, secret_hash=await self.passwords.hash(made.secret), actor=self.actor
        )
        former = await self.register.key(prefix)
        return await self._new(made, key, (former.id, former.generation))

    async def revoke(self, prefix: str) -> Changed[ApiKey]:
        """Ends a key for good."""
        return await self._settled(await self.register.revoke_key(prefix, actor=self.actor))

    async def change_policy(self, prefix: str, change: Callable[[Policy], Policy]) -> Changed[ApiKey]:
        """Replaces a key's own policy by what `change` makes of it.

        Raises:
            NotGood: the key is revoked.
        """
        await self._not_revoked(prefix)
        return await self._settled(await self.register.change_key_policy(prefix, change, actor=self.actor))

    async def set_prompt_log(self, prefix: str, ttl_s: int | None) -> Changed[ApiKey]:
        """Keeps a key's prompts and answers for so many seconds, or no more.

        Raises:
            NotGood: the key is revoked.
        """
        await self._not_revoked(prefix)
        return await self._settled(await self.register.set_prompt_log(prefix, ttl_s, actor=self.actor))

    async def looser_than_tenant(self, key: ApiKey) -> Sequence[str]:
        """Names of the key's values that bind nothing, because its tenant's are tighter."""
        tenant = await self.register.tenant(key.tenant_name)
        return looser_than_tenant(key.policy, tenant.policy)

    def _mint(self, pepper: bytes) -> PresentedKey:
        return mint(self.entropy.base62(PREFIX_LENGTH), self.entropy.base62(SECRET_LENGTH), pepper)

    async def _not_revoked(self, prefix: str) -> ApiKey:
        key = await self.register.key(prefix)
        if key.revoked_at is not None:
            raise NotGood(f"the key {prefix} was revoked on {key.revoked_at:%Y-%m-%d}")
        return key

    async def _new(self, made: PresentedKey, key: ApiKey, *others: tuple[str, int]) -> NewKey:
        told = await announced(self.announcer, key.tenant_id, (key.id, key.generation), *others)
        return NewKey(text=made.secret, key=key, announced=told)

    async def _settled(self, key: ApiKey) -> Changed[ApiKey]:
        told = await announced(self.announcer, key.tenant_id, (key.id, key.generation))
        return Changed(now=key, announced=told)


async def key_of(register: TenantRegister, prefix: str, tenant_name: str) -> ApiKey:
    """A key, which must be this tenant's.

    Raises:
        Unknown: the tenant, the key, or the key at this tenant.
    """
    tenant = await register.tenant(tenant_name)
    key = await register.key(prefix)
    if key.tenant_id != tenant.id:
        raise Unknown(f"the tenant {tenant_name} has no key {prefix}")
    return key
