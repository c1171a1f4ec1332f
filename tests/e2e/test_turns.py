"""Two gateways before one backend: together they give it no more than its cap, and serve in the order of arrival."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
import redis

from adapters.redis import names
from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House
from tests.e2e.programs import eventually

CAP = 2
CALLS = 12
LONG_TOKENS, SHORT_TOKENS = 80, 4


@pytest.fixture
def narrow_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    options = ("--num-parallel", "100", "--token-delay-ms", "50", "--tokens", str(LONG_TOKENS))
    with House.open(
        stores, tmp_path_factory.mktemp("turns"), *options, BACKEND_MAX_IN_FLIGHT=str(CAP), QUEUE_DEPTH=str(CALLS)
    ) as opened:
        opened.add_gateway()
        opened.add_gateway()
        for gateway in opened.gateways:
            gateway.wait_ready()
        yield opened


def inference(house: House) -> list[dict[str, Any]]:
    """What the backend served, in the order of its arrival there."""
    log = [entry for entry in house.simulator.log() if entry["kind"] == "inference"]
    return sorted(log, key=lambda entry: int(entry["sequence"]))


def most_at_once(calls: Sequence[dict[str, Any]]) -> int:
    """In flight as each began, by the backend's own clock."""
    spans = [(float(call["started_at_s"]), float(call["ended_at_s"])) for call in calls]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def test_two_gateways_share_one_cap_and_one_line(narrow_house: House) -> None:
    house = narrow_house
    key = house.new_key()
    statuses: dict[int, int] = {}

    def call(number: int) -> None:
        body = {
            "model": "sim-chat",
            "messages": [{"role": "user", "content": str(number)}],
            "stream": number % 3 > 0,
            # The first ones last until all others are in line.
            "options": {"num_predict": LONG_TOKENS if number < CAP else SHORT_TOKENS},
        }
        url = f"{house.gateways[number % 2].url}/api/chat"
        statuses[number] = httpx.post(url, json=body, headers=key.headers, timeout=60).status_code

    callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLS)]
    with redis.Redis.from_url(house.redis_url) as plain:
        for number, caller in enumerate(callers):
            caller.start()
            for _ in eventually(10, 0.005):  # read in this order, whoever moves on meanwhile is not counted twice
                arrived = len(inference(house)) + int(str(plain.zcard(names.QUEUE[0])))
                if arrived > number:
                    break
        for caller in callers:
            caller.join(30)
        for _ in eventually(5):
            if not list(plain.scan_iter("nz:{turns}:*")):
                break

    log = inference(house)
    assert statuses == dict.fromkeys(range(CALLS), 200)
    assert most_at_once(log) == CAP
    served = [int(entry["body"]["messages"][0]["content"]) for entry in log]
    # Turns that were given together may reach the backend in either order.
    assert all(abs(place - number) < CAP for place, number in enumerate(served)), served
