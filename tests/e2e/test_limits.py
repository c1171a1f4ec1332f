"""Every limit and every budget, of key and of tenant: reached, refused as documented, and open again when its window
turns. Redis and PostgreSQL are real; only their clocks are the test's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import attrs
import httpx
import psycopg
import pytest
from dependency_injector import providers

from adapters.redis.limit_store import RedisLimitStore
from domain.budgets import Budgets, Window
from domain.limits import Limits, Scope
from domain.policies import Policy
from entrypoints.container import Parts
from entrypoints.embedded import EmbeddedStores
from entrypoints.gateway import open_gateway
from entrypoints.launch import run_server
from tests.e2e.house import House, Key

NOON = datetime(2026, 3, 30, 12, tzinfo=UTC)
CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
SCOPES = list(Scope)


@pytest.fixture(scope="module")
def closed_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("limits"), "--tokens", "5") as opened:
        yield opened


@attrs.define
class Clock:
    """The one clock of both stores."""

    house: House
    now: datetime = NOON

    def now_ms(self) -> int:
        return int(self.now.timestamp() * 1000)

    def set(self, now: datetime) -> None:
        self.now = now
        with psycopg.connect(self.house.database_url, autocommit=True) as connection:
            connection.execute("update neuronetz.test_clock set at = %s", (now,))
            connection.execute("select neuronetz.make_audit_partitions()")

    def advance(self, span: timedelta) -> None:
        self.set(self.now + span)


@attrs.define
class Served:
    """A gateway in this process, whose stores' clocks the test moves."""

    house: House
    clock: Clock
    client: httpx.AsyncClient

    async def chat(self, key: Key, **changes: object) -> httpx.Response:
        return await self.client.post("/api/chat", json=CHAT | changes, headers=key.headers)

    async def openai_chat(self, key: Key) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json=CHAT, headers=key.headers)

    async def key(self, scope: Scope, policy: Policy) -> Key:
        policies = {f"{scope.value}_policy": policy}
        return await asyncio.to_thread(lambda: self.house.new_key(**policies))  # type: ignore[arg-type]  # one of two policies

    async def all_settled(self) -> None:
        await asyncio.to_thread(self.house.settled)


@pytest.fixture
async def served(closed_house: House) -> AsyncIterator[Served]:
    settings = closed_house.settings
    parts = Parts(settings=providers.Object(settings))
    clock = Clock(closed_house)
    await asyncio.to_thread(clock.set, NOON)
    parts.limits.override(providers.Singleton(RedisLimitStore, parts.limit_lane, parts.scripts, now_ms=clock.now_ms))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    stop = asyncio.Event()
    async with open_gateway(settings, parts) as gateway:
        server = asyncio.create_task(run_server(gateway, settings, listener, stop))
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            with contextlib.suppress(httpx.HTTPError):
                await client.get("/readyz")
            yield Served(closed_house, clock, client)
        stop.set()
        await server


@pytest.mark.parametrize("scope", SCOPES)
async def test_requests_per_minute(served: Served, scope: Scope) -> None:
    key = await served.key(scope, Policy(limits=Limits(rpm=2)))

    first, second, third = [await served.chat(key) for _ in range(3)]

    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert third.headers["x-error-code"] == third.json()["code"] == "rate_limited"
    assert third.headers["retry-after"] == "60"

    served.clock.advance(timedelta(seconds=60))  # the second in which they were charged still counts, whole
    assert (await served.chat(key)).status_code == 429
    served.clock.advance(timedelta(seconds=1))
    assert (await served.chat(key)).status_code == 200


@pytest.mark.parametrize("scope", SCOPES)
async def test_tokens_per_minute(served: Served, scope: Scope) -> None:
    key = await served.key(scope, Policy(limits=Limits(tpm=2000)))

    answers: list[httpx.Response] = []
    while not answers or answers[-1].status_code == 200:
        answers.append(await served.openai_chat(key))
        await served.all_settled()
        await asyncio.sleep(0.05)  # the refund follows the settlement on its own connection
    refused = answers[-1]

    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "tokens"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-ratelimit-limit-tokens"] == "2000"
    served.clock.advance(timedelta(seconds=61))
    assert (await served.openai_chat(key)).status_code == 200


@pytest.mark.parametrize("scope", SCOPES)
async def test_calls_at_once(served: Served, scope: Scope) -> None:
    key = await served.key(scope, Policy(limits=Limits(concurrency=1)))
    served.house.simulator.behave({"behaviour": {"first_byte_delay_s": 1.0}, "times": 1})

    running = asyncio.create_task(served.chat(key))
    await asyncio.sleep(0.5)
    refused = await served.chat(key)

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert (await running).status_code == 200
    await served.all_settled()
    await asyncio.sleep(0.05)
    assert (await served.chat(key)).status_code == 200


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("window", "turns_at"),
    [
        (Window.DAILY, datetime(2026, 3, 31, tzinfo=UTC)),
        (Window.MONTHLY, datetime(2026, 4, 1, tzinfo=UTC)),
        (Window.TOTAL, None),
    ],
)
async def test_token_budgets(served: Served, scope: Scope, window: Window, turns_at: datetime | None) -> None:
    key = await served.key(scope, Policy(budgets=Budgets(**{window.value: 700})))

    while (answer := await served.chat(key)).status_code == 200:
        await served.all_settled()
    compatible = await served.openai_chat(key)

    assert answer.status_code == compatible.status_code == 429
    assert answer.json()["code"] == "budget_exhausted"
    assert f"{window} token budget of this {scope}" in answer.json()["error"]
    assert compatible.json()["error"]["type"] == compatible.json()["error"]["code"] == "insufficient_quota"
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    assert served.house.used(key) <= 700

    if turns_at is None:
        assert "x-budget-reset" not in answer.headers
        await asyncio.to_thread(served.clock.set, datetime(2031, 1, 1, tzinfo=UTC))
        assert (await served.chat(key)).status_code == 429
        return
    assert answer.headers["x-budget-reset"] == f"{turns_at:%Y-%m-%dT%H:%M:%SZ}"
    await asyncio.to_thread(served.clock.set, turns_at - timedelta(seconds=1))
    assert (await served.chat(key)).status_code == 429
    await asyncio.to_thread(served.clock.set, turns_at)
    assert (await served.chat(key)).status_code == 200


async def test_both_bind_when_key_and_tenant_have_a_limit(served: Served) -> None:
    def two_keys() -> list[Key]:
        tenant = served.house.new_key(tenant_policy=Policy(limits=Limits(rpm=3))).tenant
        own = Policy(limits=Limits(rpm=2))
        return [served.house.new_key(tenant, key_policy=own), served.house.new_key(tenant, key_policy=own)]

    one, other = await asyncio.to_thread(two_keys)
    statuses = [(await served.chat(key)).status_code for key in (one, one, one, other, other)]

    assert statuses == [200, 200, 429, 200, 429]


async def test_a_refused_call_consumes_nothing(served: Served) -> None:
    key = await served.key(Scope.TENANT, Policy(limits=Limits(rpm=5), budgets=Budgets(daily=10)))

    for _ in range(8):
        assert (await served.chat(key)).headers["x-error-code"] == "budget_exhausted"

    assert served.house.used(key) == 0
    assert (
        served.house.rows("select sum(held)::int as n from budget_windows where tenant_id = %s", key.tenant_id)[0]["n"]
        == 0
    )


async def test_near_its_limit_a_budget_shortens_the_answer_rather_than_refusing(served: Served) -> None:
    key = await served.key(Scope.TENANT, Policy(budgets=Budgets(total=100)))

    answer = await served.chat(key, model="sim-chat", options={"num_predict": 4})

    assert answer.status_code in (200, 429)
    assert served.house.used(key) <= 100


async def test_a_prompt_that_never_fits_a_minute_is_the_callers_fault(served: Served) -> None:
    key = await served.key(Scope.KEY, Policy(limits=Limits(tpm=50)))

    refused = await served.chat(key, messages=[{"role": "user", "content": "x" * 500}])

    assert refused.status_code == 400
    assert refused.json()["code"] == "request_exceeds_tpm"
