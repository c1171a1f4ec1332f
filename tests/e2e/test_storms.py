"""Hundreds and thousands of calls at once: nothing over a budget, nothing lost, nothing left behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from domain.budgets import Budgets
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key
from tests.e2e.programs import eventually

CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}]}
ROOM = {"BACKEND_MAX_IN_FLIGHT": "1000", "QUEUE_DEPTH": "2000", "QUEUE_WAIT_S": "60", "LIMITER_TIMEOUT_MS": "5000",
        "LEDGER_TIMEOUT_S": "3"}  # fmt: skip


@pytest.fixture
def wide_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    options = ("--num-parallel", "1000", "--tokens", "20", "--token-delay-ms", "5", "--log-tokens-per-line", "0")
    with House.open(stores, tmp_path_factory.mktemp("storm"), *options, **ROOM) as opened:
        yield opened


async def ask(session: aiohttp.ClientSession, url: str, key: Key, start: asyncio.Event) -> int:
    await start.wait()
    body = CHAT | {"stream": False, "options": {"num_predict": 10}}
    async with session.post(f"{url}/api/chat", json=body, headers=key.headers) as answer:
        await answer.read()
        return answer.status


@pytest.mark.storm
@pytest.mark.timeout(240)
async def test_four_processes_race_for_the_last_thousand_tokens(wide_house: House) -> None:
    house = wide_house
    gateways = await asyncio.to_thread(lambda: [house.add_gateway() for _ in range(4)])
    for gateway in gateways:
        await asyncio.to_thread(gateway.wait_ready)
    key = await asyncio.to_thread(lambda: house.new_key(tenant_policy=Policy(budgets=Budgets(total=1000))))
    start = asyncio.Event()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        calls = [asyncio.create_task(ask(session, one.url, key, start)) for one in gateways for _ in range(200)]
        await asyncio.sleep(0.5)
        start.set()
        statuses = Counter(await asyncio.gather(*calls))
    await asyncio.to_thread(house.settled)

    assert set(statuses) <= {200, 429}, statuses
    assert statuses[200] > 0
    assert statuses[429] > 0
    by_the_backend = sum(
        entry["prompt_tokens"] + entry["output_tokens"]
        for entry in await asyncio.to_thread(house.simulator.log)
        if entry["kind"] == "inference"
    )
    assert house.used(key) == by_the_backend
    assert by_the_backend <= 1000
    assert house.rows("select count(*) as n from audit where event = 'started'")[0]["n"] == statuses[200]


async def hang_up(session: aiohttp.ClientSession, url: str, key: Key, after_s: float) -> bool:
    """Leaves after a while: before the answer, or after some of it. Says whether it had begun."""
    begun = False
    try:
        async with asyncio.timeout(after_s):
            async with session.post(f"{url}/api/chat", json=CHAT, headers=key.headers) as answer:
                begun = answer.status == 200
                async for _ in answer.content:
                    pass
    except (TimeoutError, aiohttp.ClientError):
        pass
    return begun


@pytest.mark.storm
@pytest.mark.timeout(240)
async def test_two_thousand_cancelled_streams_leave_nothing_behind(wide_house: House) -> None:
    house = wide_house
    gateway = await asyncio.to_thread(house.add_gateway)
    await asyncio.to_thread(gateway.wait_ready)
    key = await asyncio.to_thread(house.new_key)
    random_ = random.Random(7)  # noqa: S311  not a secret; the same storm every time
    longest_s = 0.15

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for _ in range(40):
            moments = [random_.uniform(0.001, longest_s) for _ in range(50)]
            begun = await asyncio.gather(*(hang_up(session, gateway.url, key, moment) for moment in moments))
            if sum(begun) < 10:  # this machine is slower: who leaves before anything happens proves little
                longest_s = min(1.5 * longest_s, 3.0)

        await asyncio.to_thread(house.settled)
        for _ in eventually(10):
            state = await asyncio.to_thread(house.simulator.state)
            if not any(state["in_flight"].values()):
                break
        start = asyncio.Event()
        start.set()
        after = [await ask(session, gateway.url, key, start) for _ in range(20)]

    assert after == [200] * 20
    await asyncio.to_thread(house.settled)
    log = [entry for entry in await asyncio.to_thread(house.simulator.log) if entry["kind"] == "inference"]
    assert len(log) > 500
    resets = [entry for entry in log if entry["hang_up_by"] == "rst"]
    assert not resets, f"{len(resets)} of {len(log)} calls were ended by a reset"
    charged = {
        row["id"]: row["charged"]
        for row in house.rows(
            "select replace(request_id::text, '-', '') as id, prompt_tokens + output_tokens as charged "
            "from audit where event = 'finished'"
        )
    }
    free = [e for e in log if charged[e["request_id"]] < e["prompt_tokens"] + e["output_tokens"]]
    assert not free, f"{len(free)} of {len(log)} calls were charged less than the backend made"
