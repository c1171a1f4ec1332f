"""Any history: memory and Redis answer alike, and no 60 seconds hold more than a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.redis.lane import Lane
from adapters.redis.limit_store import RedisLimitStore
from adapters.redis.scripts import Scripts
from domain.limits import Limits
from domain.ports.limit_store import Admission, Admitted, LimitStore
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.contracts.limit_store import LimitBench, Tenant
from tests.fakes.limit_store import MemoryLimitStore
from tests.fakes.surroundings import FakeClock


@attrs.frozen
class Ask:
    request: int
    key: str
    tokens: int
    calls: int


@attrs.frozen
class Release:
    request: int
    key: str
    refund: int


@attrs.frozen
class Beat:
    request: int
    key: str


@attrs.frozen
class Pass:
    seconds: float


Step = Ask | Release | Beat | Pass

_keys = st.sampled_from(["k1", "k2"])
_requests = st.integers(0, 15)
_limits = st.builds(
    Limits,
    rpm=st.none() | st.integers(1, 6),
    tpm=st.none() | st.integers(1, 60),
    concurrency=st.none() | st.integers(1, 4),
)
_asks = st.builds(
    Ask, request=_requests, key=_keys, tokens=st.integers(0, 30), calls=st.sampled_from([1, 1, 1, 1, 2, 0])
)
_steps = st.lists(
    _asks
    | _asks
    | st.builds(Release, request=_requests, key=_keys, refund=st.integers(0, 40))
    | st.builds(Beat, request=_requests, key=_keys)
    | st.builds(Pass, seconds=st.sampled_from([0.3, 1.0, 7.7, 29.0, 31.0, 59.9, 60.0, 61.0, 200.0])),
    max_size=60,
)


async def play(
    store: LimitStore, clock: FakeClock, steps: Sequence[Step], limits: Limits, key_limits: Limits
) -> list[tuple[float, Ask, Admission]]:
    async def never(_tenant_id: str) -> None:
        raise NotImplementedError

    tenant = await Tenant(bench=LimitBench(store, clock, never), limits=limits, key_limits=key_limits).filled()
    history: list[tuple[float, Ask, Admission]] = []
    for step in steps:
        match step:
            case Ask(request, key, tokens, calls):
                verdict = await tenant.admit(f"{key}-{request}", key=key, tokens=tokens, calls=calls)
                history.append((clock.monotonic_s(), step, verdict))
            case Release(request, key, refund):
                tenant.release(f"{key}-{request}", refund, key=key)
            case Beat(request, key):
                await store.heartbeat([(tenant.id, key, f"{key}-{request}")])
            case Pass(seconds):
                clock.advance(seconds)
    return history


@given(steps=_steps, limits=_limits, key_limits=_limits)
@settings(max_examples=60, deadline=None)
def test_no_60_seconds_hold_more_calls_than_the_limit(steps: list[Step], limits: Limits, key_limits: Limits) -> None:
    asks = [attrs.evolve(step, request=at) if isinstance(step, Ask) else step for at, step in enumerate(steps)]
    clock = FakeClock()

    history = asyncio.run(play(MemoryLimitStore(clock.now_ms), clock, asks, limits, key_limits))

    won = [(at, ask) for at, ask, verdict in history if isinstance(verdict, Admitted)]
    for limit, mine in ((limits.rpm, ("k1", "k2")), (key_limits.rpm, ("k1",)), (key_limits.rpm, ("k2",))):
        counted = [(at, ask.calls) for at, ask in won if ask.key in mine]
        for start, _ in counted:
            inside = sum(calls for at, calls in counted if start <= at <= start + 60)
            assert limit is None or inside <= limit


@pytest.mark.stores
@given(steps=_steps, limits=_limits, key_limits=_limits)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_redis_answer_alike(
    valkey: ValkeyUnderTest, scripts: Scripts, steps: list[Step], limits: Limits, key_limits: Limits
) -> None:
    async def both() -> None:
        memory_clock, redis_clock = FakeClock(), FakeClock()
        lane = Lane(valkey.url, scripts)
        await lane.start()
        real = RedisLimitStore(lane, scripts, now_ms=redis_clock.now_ms)
        try:
            expected = await play(MemoryLimitStore(memory_clock.now_ms), memory_clock, steps, limits, key_limits)
            assert await play(real, redis_clock, steps, limits, key_limits) == expected
        finally:
            await lane.aclose()

    asyncio.run(both())
