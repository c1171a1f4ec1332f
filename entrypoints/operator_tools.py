"""What administration works with, built from the adapters on first use, so that `--help` connects to nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import attrs

from application.administer_keys import AdministerKeys
from application.administer_tenants import AdministerTenants, Announcer
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.registers import TenantRegister
from domain.ports.surroundings import Clock, Entropy, PasswordHash
from entrypoints.settings import Settings

_ANNOUNCEMENT_PATIENCE_S = 1.0
"""An operator's command can wait longer than a caller's request."""


@attrs.frozen(kw_only=True)
class OperatorTools:
    """The ports that administration uses."""

    tenants: TenantRegister
    announcer: Announcer
    passwords: PasswordHash
    entropy: Entropy
    clock: Clock

    def administer_tenants(self, actor: str) -> AdministerTenants:
        """The use cases for tenants, in somebody's name."""
        return AdministerTenants(register=self.tenants, announcer=self.announcer, actor=actor)

    def administer_keys(self, actor: str) -> AdministerKeys:
        """The use cases for keys, in somebody's name."""
        return AdministerKeys(
            register=self.tenants,
            announcer=self.announcer,
            passwords=self.passwords,
            entropy=self.entropy,
            clock=self.clock,
            actor=actor,
        )


class NoAnnouncer:
    """Stands where REDIS_URL is not set: nobody can be told."""

    async def announce(self, _tenant_id: str, _generations: Sequence[tuple[str, int]], /) -> None:
        """Says that it cannot."""
        raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "REDIS_URL is not set.")


@asynccontextmanager
async def operator_tools(settings: Settings) -> AsyncIterator[OperatorTools]:
    """The tools for one command; closed with it.

    Raises:
        SettingsError: DATABASE_URL is not set.
    """
    # Loaded here and not above: `--help` and the commands for backends need none of it.
    from adapters.postgres.address import DatabaseAddress  # noqa: PLC0415
    from adapters.postgres.pool import Pool  # noqa: PLC0415
    from adapters.postgres.registers import PostgresTenantRegister  # noqa: PLC0415
    from adapters.system.clock import SystemClock  # noqa: PLC0415
    from adapters.system.entropy import SystemEntropy  # noqa: PLC0415
    from adapters.system.passwords import Argon2Passwords  # noqa: PLC0415

    pool = Pool(DatabaseAddress.read(settings.need_database_url().unwrap()), name="neuronetz-cli", most=1)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pool.close)
        passwords = Argon2Passwords(workers=1)
        stack.push_async_callback(passwords.aclose)
        yield OperatorTools(
            tenants=PostgresTenantRegister(pool),
            announcer=await stack.enter_async_context(_announcer(settings)),
            passwords=passwords,
            entropy=SystemEntropy(),
            clock=SystemClock(),
        )


@asynccontextmanager
async def _announcer(settings: Settings) -> AsyncIterator[Announcer]:
    if settings.redis_url is None:
        yield NoAnnouncer()
        return
    from adapters.redis.lane import Lane  # noqa: PLC0415  as above
    from adapters.redis.limit_store import RedisLimitStore  # noqa: PLC0415  as above
    from adapters.redis.scripts import read_scripts  # noqa: PLC0415  as above

    scripts = read_scripts()
    lane = Lane(settings.redis_url.unwrap(), scripts, budget_s=_ANNOUNCEMENT_PATIENCE_S)
    await lane.start()
    try:
        yield RedisLimitStore(lane, scripts)
    finally:
        await lane.aclose()
