"""Five thousand bad keys at a gateway that serves: nothing dear is done for them, and all are on record."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from entrypoints.embedded import EmbeddedStores
from tests.bench.stage import metrics_address
from tests.e2e.house import House
from tests.e2e.programs import eventually
from tests.strangers.bad_keys import KINDS, bad_keys, chance
from tests.strangers.crowd import REFUSED, Crowd
from tests.strangers.toll import cost_since, toll

pytestmark = [pytest.mark.stores, pytest.mark.storm]

WARM, COUNT = 1_000, 5_000
MOST_GROWTH_BYTES = 8 * 2**20


async def send(url: str, good: str, count: int) -> Counter[tuple[int, str]]:
    crowd = Crowd(url, bad_keys(good, chance(11)))
    await crowd.send(count)
    await crowd.aclose()
    return crowd.told


def test_strangers_cost_neither_hash_nor_look_up_nor_memory_and_are_all_on_record(
    stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory
) -> None:
    metrics_url, settings = metrics_address()
    with House.open(stores, tmp_path_factory.mktemp("strangers"), **settings) as house:
        gateway = house.add_gateway()
        gateway.wait_ready()
        key = house.new_key()
        looks = httpx.get(f"{house.url}/v1/models", headers=key.headers)
        warm = asyncio.run(send(house.url, key.text, WARM))
        for _ in eventually(10):
            if toll(house, metrics_url, gateway.pid).refused == WARM:
                break
        before = toll(house, metrics_url, gateway.pid)

        told = asyncio.run(send(house.url, key.text, COUNT))

        cost = cost_since(before, house, metrics_url, gateway.pid, COUNT)
    assert looks.status_code == 200
    assert warm == {REFUSED: WARM}
    assert told == {REFUSED: COUNT}
    assert (cost.refused, cost.turned_away) == (COUNT, COUNT)
    assert (cost.argon2, cost.looked_up, cost.redis_reads) == (0, 0, 0)
    assert cost.rss_bytes < MOST_GROWTH_BYTES


def test_every_kind_of_bad_key_is_bad_in_its_own_way() -> None:
    good = "nz_" + "aB3" * 16
    guesses = chance(11)

    made = {kind: [make(good, guesses) for _ in range(200)] for kind, make in KINDS.items()}

    assert all(key[:11] == good[:11] and len(key) == 51 for key in made["known prefix, wrong secret"])
    assert all(key[:-8] == good[:-8] for key in made["wrong check"])
    assert all(len(key) == 51 and key[:11] != good[:11] for key in made["unknown prefix"] + made["another pepper"])
    assert good not in [key for keys in made.values() for key in keys]
