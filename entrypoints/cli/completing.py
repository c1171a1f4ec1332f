"""What the shell offers at a Tab: names of tenants, aliases and prefixes of keys, if the database says them at once.

Who presses Tab waits; so if the database does not answer within 300 ms, or at any trouble, nothing is offered and
nothing is said. And what a shell puts on a command line it may also run: only names that no shell reads anything into
are offered, because names come from a database that others write too.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stderr

import attrs
import rich_click as click

from domain.models import as_typed
from entrypoints.cli import wiring
from entrypoints.cli.session import Session
from entrypoints.operator_tools import OperatorTools

_WAIT_S = 0.3
_MOST_TENANTS = 1_000
"""Those that used most this month, because to look at all of very many would take too long."""
_MOST_OWNERS = 50
_MOST_OFFERED = 200
_PLAIN = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.@+-]*", re.ASCII)


def complete_tenant(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of tenants that begin so."""

    async def names(tools: OperatorTools) -> Sequence[str]:
        return [use.tenant_name for use in await tools.usage.by_tenant(_MOST_TENANTS)]

    return _offered(ctx, names, incomplete)


def complete_alias(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Aliases that begin so, of the tenant that was named."""
    tenant = ctx.params.get("tenant")

    async def aliases(tools: OperatorTools) -> Sequence[str]:
        return sorted(map(as_typed, (await tools.tenants.tenant(tenant)).aliases)) if tenant else []

    return _offered(ctx, aliases, incomplete)


def complete_prefix(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Prefixes of keys that begin so: of the tenant that was named, else of those that used most."""
    tenant = ctx.params.get("tenant")

    async def prefixes(tools: OperatorTools) -> Sequence[str]:
        owners = [tenant] if tenant else [use.tenant_name for use in await tools.usage.by_tenant(_MOST_OWNERS)]
        keys = [key for owner in owners for key in await tools.tenants.keys(owner)]
        return [key.prefix for key in keys if key.revoked_at is None]

    return _offered(ctx, prefixes, incomplete)


def _offered(
    ctx: click.Context, look: Callable[[OperatorTools], Awaitable[Sequence[str]]], incomplete: str
) -> list[str]:
    session = ctx.find_object(Session) or Session()
    session.env_file = session.env_file or ctx.find_root().params.get("env_file")

    async def looked() -> Sequence[str]:
        settings = attrs.evolve(session.settings, redis_url=None)  # not needed, and one connection less to wait for
        wiring.load_database()  # before the clock runs: 300 ms are for the database, not for our own imports
        async with asyncio.timeout(_WAIT_S), session.open_tools(settings) as tools:
            return await look(tools)

    found: Sequence[str] = ()
    with contextlib.suppress(Exception), redirect_stderr(io.StringIO()):
        found = asyncio.run(looked())
    return [name for name in found if name.startswith(incomplete) and _PLAIN.fullmatch(name)][:_MOST_OFFERED]
