"""What every key cache does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

import attrs

from domain.budgets import Budgets
from domain.limits import Limits
from domain.policies import Caller, Policy, TenantState
from domain.ports.key_cache import KeyCache
from tests.fakes.surroundings import FakeClock


@attrs.frozen
class CacheBench:
    """A cache and the clock that dates its records."""

    cache: KeyCache
    clock: FakeClock


def a_caller(clock: FakeClock, tenant_id: str = "t1") -> Caller:
    return Caller(
        tenant_id=tenant_id,
        tenant_name="Ärzte",
        tenant_state=TenantState.ACTIVE,
        tenant_generation=3,
        tenant_policy=Policy(limits=Limits(rpm=60), budgets=Budgets(daily=10**12), models=frozenset({"a", "b"})),
        key_id="k1",
        key_prefix="nz_abcd1234",
        key_name="laptop",
        key_generation=2,
        key_policy=Policy(limits=Limits(tpm=5, concurrency=1)),
        revoked_at=None,
        expires_at=clock.now() + timedelta(days=1, microseconds=7),
        prompt_log_ttl_s=604_800,
        aliases={"registry.ollama.ai/library/gpt-4o:latest": "registry.ollama.ai/library/llama3.2:latest"},
    )


class KeyCacheContract:
    async def test_an_unknown_key_is_not_known(self, bench: CacheBench) -> None:
        assert await bench.cache.recall(secrets.token_bytes(32)) is None

    async def test_what_is_remembered_comes_back_whole(self, bench: CacheBench) -> None:
        fingerprint, caller = secrets.token_bytes(32), a_caller(bench.clock)

        bench.cache.remember(fingerprint, caller)

        assert await bench.cache.recall(fingerprint) == caller

    async def test_one_key_never_finds_another(self, bench: CacheBench) -> None:
        first, second = secrets.token_bytes(32), secrets.token_bytes(32)
        bench.cache.remember(first, a_caller(bench.clock, "t1"))
        bench.cache.remember(second, a_caller(bench.clock, "t2"))

        found = await bench.cache.recall(second)

        assert found is not None
        assert found.tenant_id == "t2"

    async def test_of_many_at_once_each_finds_its_own(self, bench: CacheBench) -> None:
        prints = [secrets.token_bytes(32) for _ in range(50)]
        for at, fingerprint in enumerate(prints):
            bench.cache.remember(fingerprint, a_caller(bench.clock, f"t{at}"))

        found = await asyncio.gather(*(bench.cache.recall(fingerprint) for fingerprint in prints))

        assert [caller.tenant_id for caller in found if caller] == [f"t{at}" for at in range(50)]

    async def test_the_last_word_holds(self, bench: CacheBench) -> None:
        fingerprint, caller = secrets.token_bytes(32), a_caller(bench.clock)
        bench.cache.remember(fingerprint, caller)

        newer = attrs.evolve(caller, key_generation=9)
        bench.cache.remember(fingerprint, newer)

        assert await bench.cache.recall(fingerprint) == newer

    async def test_after_a_minute_nothing_is_believed(self, bench: CacheBench) -> None:
        fingerprint = secrets.token_bytes(32)
        bench.cache.remember(fingerprint, a_caller(bench.clock))

        bench.clock.advance(61)

        assert await bench.cache.recall(fingerprint) is None
