"""Tenants, keys and budget windows as JSON documents and as cells of tables. A contract: names here do not change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

from domain.budgets import Budgets, WindowUse
from domain.keys import KeyState, key_state
from domain.limits import Limits
from domain.models import as_typed, shortest
from domain.policies import Aliases, Policy
from domain.ports.registers import ApiKey, Tenant
from entrypoints.cli.printing import number

Document = dict[str, Any]


def policy_document(policy: Policy) -> Document:
    """Limits, budgets and models; null where none is set."""
    return {
        "limits": attrs.asdict(policy.limits),
        "budgets": attrs.asdict(policy.budgets),
        "models": None if policy.models is None else models_in_short(policy.models),
    }


def tenant_document(tenant: Tenant) -> Document:
    """A tenant with its policy."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "state": str(tenant.state),
        "key_count": tenant.key_count,
        "created_at": tenant.created_at,
        **policy_document(tenant.policy),
        "aliases": alias_documents(tenant.aliases),
    }


def alias_documents(aliases: Aliases) -> Sequence[Document]:
    """A tenant's own names for models, in order."""
    return [{"alias": alias, "model": model} for alias, model in sorted(aliases_in_short(aliases).items())]


def aliases_in_short(aliases: Aliases) -> dict[str, str]:
    """Names as people write them."""
    return {as_typed(alias): shortest(model) for alias, model in aliases.items()}


def key_document(key: ApiKey, now: datetime) -> Document:
    """A key with its own policy."""
    return {
        "id": key.id,
        "tenant": key.tenant_name,
        "name": key.name,
        "prefix": key.prefix,
        "state": str(state_of(key, now)),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "prompt_log_ttl_s": key.prompt_log_ttl_s,
        **policy_document(key.policy),
    }


def window_document(use: WindowUse) -> Document:
    """Where one budget window stands, in tokens."""
    return {
        "scope": str(use.scope),
        "window": str(use.window),
        "used": use.used,
        "held": use.held,
        "left": use.left,
        "limit": use.limit,
        "starts": use.starts,
        "ends": use.ends,
    }


def state_of(key: ApiKey, now: datetime) -> KeyState:
    """What the key may do now."""
    return key_state(revoked_at=key.revoked_at, expires_at=key.expires_at, now=now)


def models_in_short(models: frozenset[str]) -> Sequence[str]:
    """Names as people write them, in order."""
    return sorted(shortest(name) for name in models)


def span_in_words(seconds: int) -> str:
    """As it would be written in an option: `7d`, `36h`, `90m`."""
    for unit, letter in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"


def limits_in_words(limits: Limits) -> Sequence[str]:
    """As `60 req/min` and `4 at once`."""
    parts = [(limits.rpm, "req/min"), (limits.tpm, "tok/min"), (limits.concurrency, "at once")]
    return [f"{number(value)} {unit}" for value, unit in parts if value is not None] or ["none"]


def budgets_in_words(budgets: Budgets) -> Sequence[str]:
    """As `100,000 a day` and `9,000,000 in all`, of tokens."""
    parts = [(budgets.daily, "a day"), (budgets.monthly, "a month"), (budgets.total, "in all")]
    return [f"{number(value)} {unit}" for value, unit in parts if value is not None] or ["none"]


def models_in_words(models: frozenset[str] | None) -> Sequence[str]:
    """As `llama3.2:latest` and `phi3:latest`."""
    if models is None:
        return ["all"]
    return models_in_short(models) or ["none"]


def aliases_in_words(aliases: Aliases) -> str:
    """As `gpt-4o-mini = llama3.2:latest`."""
    return ", ".join(f"{alias} = {model}" for alias, model in sorted(aliases_in_short(aliases).items())) or "none"


def policy_in_words(policy: Policy, *, whose: str = "") -> dict[str, str]:
    """A policy as facts."""
    facts = {
        "limits": limits_in_words(policy.limits),
        "budgets": budgets_in_words(policy.budgets),
        "models": models_in_words(policy.models),
    }
    return {f"{whose}{name}".capitalize(): ", ".join(words) for name, words in facts.items()}
