"""A crash at every await of what goes on beside the calls: it recovers, or the process ends itself.

Nothing dies silently: a loop that is dead and of which nobody knows is worse than a dead process, which is started
again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import httpx
import pytest
import uvloop

from entrypoints.embedded import EmbeddedStores
from tests.canaries.crashes import Crash
from tests.canaries.running import PATIENCE_S, Running, running
from tests.e2e.house import House, Key

pytestmark = pytest.mark.stores

OWNERS = (
    "adapters.postgres.lane.Lane._run",
    "adapters.postgres.usage_journal.PostgresUsageJournal._run",
    "adapters.redis.lane.Lane._stay_connected",
)
"""Without which every call would wait in vain."""
OTHERS = (
    "adapters.postgres.process_watch.Watch.run",
    "adapters.postgres.usage_journal.PostgresUsageJournal._write",
    "adapters.redis.lane.Lane._read",
    "adapters.redis.lane.Lane._write",
    "adapters.redis.subscriber.Subscriber.run",
    "adapters.redis.subscriber.Subscriber._read",
    "adapters.redis.subscriber.Subscriber._keep_alive",
    "application.upkeep.Upkeep.run",
    "application.upkeep.for_ever",
    "application.prompt_purge.PromptPurge.run",
    "application.prompt_log.PromptLog.run",
    "entrypoints.observability.exposition.Exposition.run",
)
ENDS = {"adapters.postgres.usage_journal.PostgresUsageJournal._write"}
"""Works that end by themselves, and are begun again."""
MOST_AWAITS = 12
REACHED_S = 0.7
"""In which a loop of a served gateway comes to all that it does at once."""
SECRET = {"PROMPT_LOG_KEY": "a-secret-of-prompts-for-tests-that-is-long-enough"}


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("loops"), "--tokens=3", **SECRET) as opened:
        yield opened


@pytest.mark.parametrize("where", [*OWNERS, *(pytest.param(one, marks=pytest.mark.nightly) for one in OTHERS)])
def test_a_loop_that_crashes_at_any_await_recovers_or_ends_the_process(house: House, where: str) -> None:
    key = house.new_key()
    wrong = []
    for nth in range(MOST_AWAITS):
        crash = Crash(where, nth)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            found = loop.run(_crash(house, key, crash))
        if not crash.struck:
            break
        wrong += [f"at await {nth}: {found}"] if found else []
    assert wrong == []


async def _crash(house: House, key: Key, crash: Crash) -> str | None:
    """What is wrong after it."""
    async with running(house, crash) as gateway:
        wrong: str | None = "nobody was asked"
        began_s = asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while wrong is not None and not gateway.gateway.broken.is_set():
                    await asyncio.sleep(0.02)
                    wrong = await _wrong(gateway, key, crash)
                    if not crash.struck and asyncio.get_running_loop().time() - began_s < REACHED_S:
                        wrong = wrong or "it may still come to that await"
        if gateway.gateway.broken.is_set():
            return None
        await gateway.idle()
        return wrong


async def _wrong(gateway: Running, key: Key, crash: Crash) -> str | None:
    if not await _is_served(gateway, key):
        return "it does not serve, and goes on running"
    if crash.struck and crash.where not in ENDS and not gateway.planner.runs(crash.where):
        return "it serves, and its loop is dead"
    return None


async def _is_served(gateway: Running, key: Key) -> bool:
    body = {"model": "sim-chat", "messages": [{"role": "user", "content": "hello"}]}
    with contextlib.suppress(httpx.TransportError):
        await gateway.client.post("/api/chat", json=body)  # a stranger's, for the journal
        return (await gateway.client.post("/api/chat", json=body, headers=key.headers)).status_code == 200
    return False
