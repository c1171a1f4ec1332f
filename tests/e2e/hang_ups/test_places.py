"""What a call leaves behind at a backend that goes on without it: its places stay taken as long."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from tests.e2e.hang_ups.clients import Caller, Dialect, Leaving, body_of
from tests.e2e.hang_ups.stage import PROMPT
from tests.e2e.house import House
from tests.e2e.programs import eventually


def inferences(house: House) -> list[dict[str, Any]]:
    return [entry for entry in house.simulator.log() if entry["kind"] == "inference"]


def test_the_places_of_a_prompt_that_the_backend_reads_on_stay_taken(
    stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("prompt")
    options = ("--prompt-delay-ms-per-token", "20", "--tokens", "3")
    with House.open(stores, folder, *options, BACKEND_MAX_IN_FLIGHT="1") as house:
        house.add_gateway().wait_ready()
        one = house.new_key(tenant_policy=Policy(limits=Limits(concurrency=1)))
        other = house.new_key()
        body = body_of(Dialect.NATIVE, "sim-chat", PROMPT, streamed=True, cap=3)
        with house.client(one) as client, house.client(other) as others:
            for _ in range(2):  # the first loads the model, the second teaches the gateway how long such a prompt takes
                assert client.post("/api/chat", content=body).status_code == 200
                for _ in eventually(10):
                    if "sim-chat" in client.get("/api/ps").text:
                        break
            house.settled()
            house.simulator.log(reset=True)

            async def leave() -> float:
                caller = await Caller.ask(house.url, one, Dialect.NATIVE, body)
                for _ in range(1000):
                    if inferences(house):
                        break
                    await asyncio.sleep(0.01)
                caller.leave(Leaving.FIN)
                return time.time()

            left_at = asyncio.run(leave())
            house.settled()
            refused = client.post("/api/chat", content=body)
            others.post("/api/chat", json={"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}]})

        assert refused.status_code == 429
        begun = [entry["started_at_s"] for entry in inferences(house)]
        assert len(begun) == 2
        assert begun[1] - left_at > 1
