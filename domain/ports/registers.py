"""Tenants and keys: found by the gateway, changed by the operator. Every change carries its audit row along."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import attrs

from domain.budgets import WindowUse
from domain.policies import AliasChange, Aliases, Caller, Change, Policy, TenantState


@attrs.frozen(kw_only=True)
class KnownKey:
    """A key as the register has it: the caller it makes, and the hash that must agree."""

    caller: Caller
    secret_hash: str = attrs.field(repr=False)
    as_of: datetime
    """What the register's clock said; it decides when a key expires."""


@attrs.frozen(kw_only=True)
class Tenant:
    """A tenant, as the operator sees it."""

    id: str
    name: str
    state: TenantState
    policy: Policy
    generation: int
    created_at: datetime
    key_count: int = 0
    aliases: Aliases = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ApiKey:
    """A key, as the operator sees it. Its secret is not known to anyone but its holder."""

    id: str
    tenant_id: str
    tenant_name: str
    name: str
    prefix: str
    policy: Policy
    generation: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = None
    prompt_log_ttl_s: int | None = None
    """How long its prompts and answers are kept; None, the rule, is never."""


@attrs.frozen(kw_only=True)
class KeyUse:
    """What one key has used in a span of time."""

    key_prefix: str
    key_name: str
    requests: int
    prompt_tokens: int
    output_tokens: int
    refused: int


class Unknown(LookupError):
    """There is no tenant or key of that name; says which."""


class Taken(ValueError):
    """A tenant of that name, or a key of that name or prefix, is there already; says which."""


class KeyRegister(Protocol):
    """Finds keys for the gateway."""

    @abstractmethod
    async def find(self, prefix: str) -> KnownKey | None:
        """The key with this public prefix (`nz_abc12345`), whatever its state; None when there is none.

        Raises:
            StoreUnavailable: it cannot be known now, which is not the same as unknown.
        """

    @abstractmethod
    async def rehash(self, key_id: str, secret_hash: str) -> None:
        """Replaces a hash made with weaker parameters. The generation stays."""


class TenantRegister(Protocol):
    """Reads and changes tenants and keys for the operator.

    Names are exact. `actor` says who acts, for the audit row that is written in the same transaction. A change
    returns what it made, with the new generation. `Unknown` and `Taken` are raised where they apply.
    """

    @abstractmethod
    async def add_tenant(self, name: str, *, actor: str) -> Tenant:
        """A new active tenant with no limits and no budgets."""

    @abstractmethod
    async def tenants(self) -> Sequence[Tenant]:
        """All, by name."""

    @abstractmethod
    async def tenant(self, name: str) -> Tenant:
        """One."""

    @abstractmethod
    async def set_tenant_state(self, name: str, state: TenantState, *, actor: str) -> Tenant:
        """Suspends or resumes. A change to what already is writes no audit row."""

    @abstractmethod
    async def change_tenant_policy(self, name: str, change: Change, *, actor: str) -> Tenant:
        """Replaces the policy by what `change` makes of it, which nobody else changes meanwhile."""

    @abstractmethod
    async def change_aliases(self, name: str, change: AliasChange, *, actor: str) -> Tenant:
        """Likewise, the tenant's aliases. What `change` raises leaves everything as it was."""

    @abstractmethod
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
        """A new key. Two keys of one tenant cannot share a name unless the former is revoked."""

    @abstractmethod
    async def keys(self, tenant_name: str) -> Sequence[ApiKey]:
        """All of a tenant, by age."""

    @abstractmethod
    async def key(self, prefix: str) -> ApiKey:
        """One."""

    @abstractmethod
    async def change_key_policy(self, prefix: str, change: Change, *, actor: str) -> ApiKey:
        """Likewise, of a key."""

    @abstractmethod
    async def set_prompt_log(self, prefix: str, ttl_s: int | None, *, actor: str) -> ApiKey:
        """Keeps a key's prompts and answers for so long from now on, or never. What is kept already stays its time."""

    @abstractmethod
    async def revoke_key(self, prefix: str, *, actor: str) -> ApiKey:
        """For good. Revoking again changes nothing."""

    @abstractmethod
    async def replace_key(self, prefix: str, *, new_prefix: str, secret_hash: str, actor: str) -> ApiKey:
        """Rotation: the old key is revoked and a new one takes over name, policy, expiry, prompt log and budgets."""

    @abstractmethod
    async def window_use(self, tenant_name: str, *, key_prefix: str | None = None) -> Sequence[WindowUse]:
        """Where the current windows stand: day, month and total, of the tenant or of one of its keys."""

    @abstractmethod
    async def key_use(self, tenant_name: str, *, since: datetime) -> Sequence[KeyUse]:
        """What each key has used since, from the audit."""
