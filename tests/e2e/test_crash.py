"""A gateway killed in mid-stream: its hold is closed, its slot and its turn at the backend are free within the lease,
and the audit is whole.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House
from tests.e2e.programs import eventually

CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "options": {"num_predict": 50}}
SLOT_LEASE_S = 30


@pytest.fixture
def doomed_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(
        stores, tmp_path_factory.mktemp("crash"), "--token-delay-ms", "100", "--tokens", "50",
        PROCESS_BEAT_S="1", PROCESS_DEAD_AFTER_S="4", BACKEND_MAX_IN_FLIGHT="1",
    ) as opened:  # fmt: skip
        opened.add_gateway().wait_ready()
        opened.add_gateway().wait_ready()
        yield opened


def test_kill_9_in_mid_stream(doomed_house: House) -> None:
    house = doomed_house
    key = house.new_key(tenant_policy=Policy(limits=Limits(concurrency=1)))
    lines: list[str] = []

    def stream() -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.stream("POST", f"{house.url}/api/chat", json=CHAT, headers=key.headers, timeout=60) as answer,
        ):
            lines.extend(answer.iter_lines())

    reader = threading.Thread(target=stream)
    reader.start()
    for _ in eventually(10):
        if house.open_holds() == 1 and any(entry["output_tokens"] > 3 for entry in house.simulator.log()):
            break
    hold = house.rows("select * from holds")[0]
    house.gateways[0].kill()
    killed_at = time.monotonic()
    reader.join(10)
    other = house.gateways[1]

    def retry() -> int:
        body = CHAT | {"stream": False, "options": {"num_predict": 1}}
        return httpx.post(f"{other.url}/api/chat", json=body, headers=key.headers, timeout=30).status_code

    assert retry() == 429
    house.settled(within_s=15)
    for _ in eventually(SLOT_LEASE_S + 2, 0.5):
        if retry() == 200:
            break
    assert time.monotonic() - killed_at <= SLOT_LEASE_S + 2

    events = house.rows("select * from audit where request_id = %s order by at", hold["request_id"])
    assert [event["event"] for event in events] == ["started", "reaped"]
    assert events[1]["outcome"] == "reaped"
    assert house.used(key) >= hold["tokens"]
    made = next(entry for entry in house.simulator.log() if entry["request_id"] == hold["request_id"].hex)
    assert hold["tokens"] >= made["prompt_tokens"] + made["output_tokens"]
    assert made["ended"] == "hang-up"
