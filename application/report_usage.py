"""What a tenant has used: where its budget windows stand, and what each key used today and this month.

Days and months are the ledger's own, UTC by PostgreSQL's clock; this host's clock is asked only when the ledger
returns no window to take them from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from application.administer_keys import key_of
from domain.budgets import Window, WindowUse
from domain.ports.registers import KeyUse, TenantRegister
from domain.ports.surroundings import Clock


@attrs.frozen(kw_only=True)
class KeySums:
    """What one key used; None where it was not used at all."""

    prefix: str
    name: str
    today: KeyUse | None
    month: KeyUse | None


@attrs.frozen(kw_only=True)
class UsageReport:
    """All about one tenant, or one key of it."""

    tenant_name: str
    key_prefix: str | None
    windows: Sequence[WindowUse]
    """Of the key first, if one is asked for, then of the tenant, because both bind."""
    keys: Sequence[KeySums]


async def report_usage(
    register: TenantRegister, clock: Clock, tenant_name: str, *, key_prefix: str | None = None
) -> UsageReport:
    """Reads it all.

    Raises:
        Unknown: the tenant, or the key at this tenant.
    """
    keys = [await key_of(register, key_prefix, tenant_name)] if key_prefix else await register.keys(tenant_name)
    of_tenant = await register.window_use(tenant_name)
    of_key = await register.window_use(tenant_name, key_prefix=key_prefix) if key_prefix else ()
    today = await _by_prefix(register, tenant_name, _start(of_tenant, Window.DAILY, clock))
    month = await _by_prefix(register, tenant_name, _start(of_tenant, Window.MONTHLY, clock))
    sums = [
        KeySums(prefix=key.prefix, name=key.name, today=today.get(key.prefix), month=month.get(key.prefix))
        for key in keys
    ]
    return UsageReport(tenant_name=tenant_name, key_prefix=key_prefix, windows=[*of_key, *of_tenant], keys=sums)


async def _by_prefix(register: TenantRegister, tenant_name: str, since: datetime) -> Mapping[str, KeyUse]:
    return {use.key_prefix: use for use in await register.key_use(tenant_name, since=since)}


def _start(windows: Sequence[WindowUse], window: Window, clock: Clock) -> datetime:
    return next((use.starts for use in windows if use.window is window), None) or window.start(clock.now())
