"""What administration works with, built from the adapters on first use, so that `--help` connects to nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

import attrs

from application.administer_keys import AdministerKeys
from application.administer_tenants import AdministerTenants, Announcer
from application.read_prompts import ReadPrompts
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.audit_reader import AuditReader
from domain.ports.audit_seals import SealedAudit
from domain.ports.prompt_journal import KeptPrompts
from domain.ports.registers import TenantRegister
from domain.ports.surroundings import Clock, Entropy, PasswordHash
from domain.ports.turns import Turns
from domain.ports.usage_reader import UsageReader
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
    audit: AuditReader
    sealed_audit: SealedAudit
    usage: UsageReader
    kept_prompts: KeptPrompts
    read_prompts: Callable[[str], AbstractAsyncContextManager[ReadPrompts]]
    """For an actor; opens the store of the hour keys, which other commands do not need."""
    turns: Turns | None = None
    """To be looked at, never taken; None where REDIS_URL is not set."""

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
    from adapters.postgres.audit_reader import PostgresAuditReader  # noqa: PLC0415
    from adapters.postgres.kept_prompts import PostgresKeptPrompts  # noqa: PLC0415
    from adapters.postgres.pool import Pool  # noqa: PLC0415
    from adapters.postgres.registers import PostgresTenantRegister  # noqa: PLC0415
    from adapters.postgres.sealed_audit import PostgresSealedAudit  # noqa: PLC0415
    from adapters.postgres.usage_reader import PostgresUsageReader  # noqa: PLC0415
    from adapters.system.clock import SystemClock  # noqa: PLC0415
    from adapters.system.entropy import SystemEntropy  # noqa: PLC0415
    from adapters.system.passwords import Argon2Passwords  # noqa: PLC0415

    pool = Pool(DatabaseAddress.read(settings.need_database_url().unwrap()), name="neuronetz-cli", most=1)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pool.close)
        passwords = Argon2Passwords(workers=1)
        stack.push_async_callback(passwords.aclose)
        announcer, turns = await stack.enter_async_context(_limit_side(settings))
        kept = PostgresKeptPrompts(pool)
        yield OperatorTools(
            tenants=PostgresTenantRegister(pool),
            announcer=announcer,
            passwords=passwords,
            entropy=SystemEntropy(),
            clock=SystemClock(),
            audit=PostgresAuditReader(pool),
            sealed_audit=PostgresSealedAudit(pool),
            usage=PostgresUsageReader(pool),
            kept_prompts=kept,
            read_prompts=partial(_read_prompts, settings, kept),
            turns=turns,
        )


@asynccontextmanager
async def _limit_side(settings: Settings) -> AsyncIterator[tuple[Announcer, Turns | None]]:
    if settings.redis_url is None:
        yield NoAnnouncer(), None
        return
    from adapters.redis.lane import Lane  # noqa: PLC0415  as above
    from adapters.redis.limit_store import RedisLimitStore  # noqa: PLC0415  as above
    from adapters.redis.scripts import read_scripts  # noqa: PLC0415  as above
    from adapters.redis.turns import RedisTurns  # noqa: PLC0415  as above

    scripts = read_scripts()
    lane = Lane(settings.redis_url.unwrap(), scripts, budget_s=_ANNOUNCEMENT_PATIENCE_S)
    await lane.start()
    try:
        most = {address.name: address.most_in_flight for address in settings.addresses}
        turns = RedisTurns(
            lane,
            scripts,
            process_id="operator",
            most_in_flight=most,
            depth=settings.queue_depth * len(most),
            wait_s=settings.queue_wait_s,
        )
        yield RedisLimitStore(lane, scripts), turns
    finally:
        await lane.aclose()


@asynccontextmanager
async def _read_prompts(settings: Settings, kept: KeptPrompts, actor: str) -> AsyncIterator[ReadPrompts]:
    from adapters.redis.hour_keys import RedisHourKeys  # noqa: PLC0415  as above
    from adapters.redis.lane import Lane  # noqa: PLC0415  as above
    from adapters.redis.scripts import read_scripts  # noqa: PLC0415  as above
    from adapters.system.encryption import AesGcmEncryption  # noqa: PLC0415  as above

    lane = Lane(settings.need_redis_url().unwrap(), read_scripts(), budget_s=_ANNOUNCEMENT_PATIENCE_S)
    await lane.start()
    try:
        encryption = AesGcmEncryption(settings.need_prompt_log_keys())
        yield ReadPrompts(kept=kept, hour_keys=RedisHourKeys(lane), encryption=encryption, actor=actor)
    finally:
        await lane.aclose()
