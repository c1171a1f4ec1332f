"""Who is calling, and what holds for them: the tenant's policy and the key's, side by side.

A key without a value of its own takes part in the tenant's alone; with one, both hold. Nothing is merged into one
number, because both are counted: two keys of 60 a minute under a tenant of 100 share those 100.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import attrs

from domain.budgets import NO_BUDGETS, Budgets
from domain.limits import NO_LIMITS, Limits


class TenantState(StrEnum):
    """What a tenant's keys may do."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@attrs.frozen(kw_only=True)
class Policy:
    """Limits, budgets and models of one tenant or one key."""

    limits: Limits = NO_LIMITS
    budgets: Budgets = NO_BUDGETS
    models: frozenset[str] | None = None
    """Canonical names that may be used; None means every model of the catalogue."""


EVERYTHING = Policy()

Change = Callable[[Policy], Policy]
"""What becomes of a policy. Applied under the row's lock, so that of two who change it neither undoes the other."""

Aliases = Mapping[str, str]
"""A tenant's own names for models: alias -> model, both in canonical form."""

AliasChange = Callable[[Aliases], Aliases]
"""What becomes of a tenant's aliases. Applied as a `Change` is."""

MAX_ALIASES = 100
"""Of one tenant: they are part of every cached copy of its callers."""


class TooManyAliases(ValueError):
    """A tenant has as many aliases as it may have."""


def with_alias(aliases: Aliases, alias: str, model: str) -> Aliases:
    """The aliases with one more, or with another meaning of one.

    Raises:
        TooManyAliases: there is no room for one more.
    """
    changed = {**aliases, alias: model}
    if len(changed) > MAX_ALIASES:
        raise TooManyAliases(f"a tenant may have {MAX_ALIASES} aliases")
    return changed


def without_alias(aliases: Aliases, alias: str) -> Aliases:
    """The aliases without this one, whether it was there or not."""
    return {name: model for name, model in aliases.items() if name != alias}


@attrs.frozen(kw_only=True)
class Caller:
    """One key and its tenant, as known when it was identified. Cached for at most 30 s; the generations say
    whether a cached copy is still true.
    """

    tenant_id: str
    tenant_name: str
    tenant_state: TenantState
    tenant_generation: int
    tenant_policy: Policy
    key_id: str
    key_prefix: str
    key_name: str
    key_generation: int
    key_policy: Policy
    revoked_at: datetime | None
    expires_at: datetime | None
    prompt_log_ttl_s: int | None = None
    """How long the key's prompts and answers are kept; None, the rule, is never."""
    aliases: Aliases = attrs.field(factory=dict)
    """The tenant's."""

    def meant_by(self, name: str) -> str:
        """The model that a name (canonical form) leads to. An alias comes before a model of the same name, so that
        what a name means does not change with what backends have; and it is followed once: its model is no alias.
        """
        return self.aliases.get(name, name)

    def may_use(self, model: str) -> bool:
        """Whether both lists, where set, name the model (canonical form)."""
        lists = (self.tenant_policy.models, self.key_policy.models)
        return all(allowed is None or model in allowed for allowed in lists)


def looser_than_tenant(key: Policy, tenant: Policy) -> Sequence[str]:
    """The values of a key that are above its tenant's: accepted, but the tenant's still binds."""
    pairs = [
        ("rpm", key.limits.rpm, tenant.limits.rpm),
        ("tpm", key.limits.tpm, tenant.limits.tpm),
        ("concurrency", key.limits.concurrency, tenant.limits.concurrency),
        ("daily", key.budgets.daily, tenant.budgets.daily),
        ("monthly", key.budgets.monthly, tenant.budgets.monthly),
        ("total", key.budgets.total, tenant.budgets.total),
    ]
    above = [n for n, own, theirs in pairs if own is not None and theirs is not None and own > theirs]
    if key.models is not None and tenant.models is not None and not key.models <= tenant.models:
        above.append("models")
    return above
