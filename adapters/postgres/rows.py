"""Rows of `tenants` and `api_keys` as the domain's values, and policies as the columns they are kept in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.budgets import EPOCH, Budgets, Window, WindowUse
from domain.limits import Limits, Scope
from domain.policies import Caller, Policy, TenantState
from domain.ports.registers import ApiKey, KnownKey, Tenant

Row = dict[str, Any]

WINDOW_KINDS = (Window.DAILY, Window.MONTHLY, Window.TOTAL)
"""The window of each `kind`."""


def policy_of(row: Row, prefix: str = "") -> Policy:
    """The policy in a row whose columns begin with `prefix`."""
    models = row[f"{prefix}models"]
    return Policy(
        limits=Limits(rpm=row[f"{prefix}rpm"], tpm=row[f"{prefix}tpm"], concurrency=row[f"{prefix}concurrency"]),
        budgets=Budgets(
            daily=row[f"{prefix}daily_tokens"],
            monthly=row[f"{prefix}monthly_tokens"],
            total=row[f"{prefix}total_tokens"],
        ),
        models=None if models is None else frozenset(models),
    )


def policy_columns(policy: Policy) -> Row:
    """The columns of a policy."""
    return {
        "rpm": policy.limits.rpm,
        "tpm": policy.limits.tpm,
        "concurrency": policy.limits.concurrency,
        "daily_tokens": policy.budgets.daily,
        "monthly_tokens": policy.budgets.monthly,
        "total_tokens": policy.budgets.total,
        "models": None if policy.models is None else sorted(policy.models),
    }


def tenant_of(row: Row) -> Tenant:
    """A tenant, from `TENANTS`."""
    return Tenant(
        id=str(row["id"]),
        name=row["name"],
        state=TenantState(row["state"]),
        policy=policy_of(row),
        generation=row["generation"],
        created_at=row["created_at"],
        key_count=row["key_count"],
        aliases=row["aliases"],
    )


def key_of(row: Row) -> ApiKey:
    """A key, from `KEYS`."""
    return ApiKey(
        id=str(row["id"]),
        tenant_id=str(row["tenant_id"]),
        tenant_name=row["tenant_name"],
        name=row["name"],
        prefix=row["prefix"],
        policy=policy_of(row),
        generation=row["generation"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        prompt_log_ttl_s=row["prompt_log_ttl_s"],
    )


def known_key_of(row: Row) -> KnownKey:
    """A key with its tenant and its hash, from `KNOWN_KEY`."""
    return KnownKey(
        caller=Caller(
            tenant_id=str(row["tenant_id"]),
            tenant_name=row["tenant_name"],
            tenant_state=TenantState(row["tenant_state"]),
            tenant_generation=row["tenant_generation"],
            tenant_policy=policy_of(row, "tenant_"),
            key_id=str(row["id"]),
            key_prefix=row["prefix"],
            key_name=row["name"],
            key_generation=row["generation"],
            key_policy=policy_of(row),
            revoked_at=row["revoked_at"],
            expires_at=row["expires_at"],
            prompt_log_ttl_s=row["prompt_log_ttl_s"],
            aliases=row["tenant_aliases"],
        ),
        secret_hash=row["secret_hash"],
        as_of=row["as_of"],
    )


def window_use_of(row: Row, *, scope: Scope, policy: Policy, now: datetime) -> WindowUse:
    """One current window, from `WINDOWS`."""
    window = WINDOW_KINDS[row["kind"]]
    return WindowUse(
        scope=scope,
        window=window,
        used=row["used"],
        held=row["held"],
        limit=policy.budgets.limit(window),
        starts=EPOCH if window is Window.TOTAL else window.start(now),
        ends=window.end(now),
    )


TENANTS = """
    select t.*, (select count(*) from neuronetz.api_keys k where k.tenant_id = t.id and k.revoked_at is null)
        as key_count
    from neuronetz.tenants t
"""

KEYS = """
    select k.*, t.name as tenant_name, least(w.touched_at, k.revoked_at) as last_used_at
    from neuronetz.api_keys k
    join neuronetz.tenants t on t.id = k.tenant_id
    left join neuronetz.budget_windows w
        on w.tenant_id = k.tenant_id and w.scope_id = k.budget_id and w.kind = 2 and w.starts_at = neuronetz.dawn()
"""

KNOWN_KEY = """
    select k.*, t.name as tenant_name, t.state as tenant_state, t.generation as tenant_generation,
        t.rpm as tenant_rpm, t.tpm as tenant_tpm, t.concurrency as tenant_concurrency,
        t.daily_tokens as tenant_daily_tokens, t.monthly_tokens as tenant_monthly_tokens,
        t.total_tokens as tenant_total_tokens, t.models as tenant_models, t.aliases as tenant_aliases,
        neuronetz.ledger_now() as as_of
    from neuronetz.api_keys k
    join neuronetz.tenants t on t.id = k.tenant_id
    where k.prefix = %(prefix)s
"""

WINDOWS = """
    select x.kind, coalesce(w.used, 0) as used, coalesce(w.held, 0) as held, neuronetz.ledger_now() as now
    from (values (0::smallint, date_trunc('day', neuronetz.ledger_now(), 'UTC')),
                 (1::smallint, date_trunc('month', neuronetz.ledger_now(), 'UTC')),
                 (2::smallint, neuronetz.dawn())) x (kind, starts_at)
    left join neuronetz.budget_windows w
        on w.tenant_id = %(tenant_id)s and w.scope_id = %(scope_id)s and w.kind = x.kind and w.starts_at = x.starts_at
    order by x.kind
"""

KEY_USE = """
    select k.prefix, k.name,
        count(*) filter (where a.event = 'started') as requests,
        coalesce(sum(a.prompt_tokens) filter (where a.event in ('finished', 'reaped', 'corrected')), 0)::bigint
            as prompt_tokens,
        coalesce(sum(a.output_tokens) filter (where a.event in ('finished', 'reaped', 'corrected')), 0)::bigint
            as output_tokens,
        coalesce(sum(a.count) filter (where a.event = 'refused'), 0)::bigint as refused
    from neuronetz.audit a
    join neuronetz.api_keys k on k.tenant_id = a.tenant_id and k.id = a.key_id
    where a.tenant_id = %(tenant_id)s and a.at >= %(since)s and a.event <> 'admin'
    group by k.id, k.prefix, k.name, k.created_at
    order by k.created_at, k.prefix
"""

SET_TENANT_POLICY = """
    update neuronetz.tenants
    set rpm = %(rpm)s, tpm = %(tpm)s, concurrency = %(concurrency)s, daily_tokens = %(daily_tokens)s,
        monthly_tokens = %(monthly_tokens)s, total_tokens = %(total_tokens)s, models = %(models)s
    where name = %(name)s
"""

SET_ALIASES = """
    update neuronetz.tenants set aliases = %(aliases)s where name = %(name)s
"""

SET_KEY_POLICY = """
    update neuronetz.api_keys
    set rpm = %(rpm)s, tpm = %(tpm)s, concurrency = %(concurrency)s, daily_tokens = %(daily_tokens)s,
        monthly_tokens = %(monthly_tokens)s, total_tokens = %(total_tokens)s, models = %(models)s
    where prefix = %(prefix)s
"""

SET_PROMPT_LOG = """
    update neuronetz.api_keys set prompt_log_ttl_s = %(prompt_log_ttl_s)s where prefix = %(prefix)s
"""

COPY_KEY = """
    insert into neuronetz.api_keys (prefix, secret_hash, tenant_id, name, expires_at, budget_id, rpm, tpm, concurrency,
        daily_tokens, monthly_tokens, total_tokens, models, prompt_log_ttl_s)
    select %(new_prefix)s, %(secret_hash)s, tenant_id, name, expires_at, budget_id, rpm, tpm, concurrency,
        daily_tokens, monthly_tokens, total_tokens, models, prompt_log_ttl_s
    from neuronetz.api_keys where prefix = %(prefix)s
"""

RECORD = """
    insert into neuronetz.audit (at, tenant_id, event, key_id, key_prefix, actor, detail)
    values (neuronetz.ledger_now(), %(tenant_id)s, 'admin', %(key_id)s, %(key_prefix)s, %(actor)s, %(detail)s)
"""
