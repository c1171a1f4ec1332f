"""A model that lost its last slot, as Ollama's may: found, named, gone round, and back after a restart."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key
from tests.e2e.programs import Gateway, Simulator, cli, eventually, free_port

PATIENCE_S = 2
ASK = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "options": {"num_predict": 3}}


class Fragile:
    """A backend whose resets cost a slot for ever, and which has only one. It keeps its address when it restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.simulator = self._start()

    def _start(self) -> Simulator:
        options = ("--num-parallel", "1", "--resets-cost-slots", "--token-delay-ms", "20", "--tokens", "200")
        return Simulator(self._folder, "--port", str(self._port), *options, name="fragile")

    def lose_its_slot(self) -> None:
        """Another client of that server leaves by a reset."""
        body = json.dumps({**ASK, "options": {}}).encode()
        with socket.create_connection(("127.0.0.1", self._port)) as line:
            line.sendall(b"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            line.recv(100)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for _ in eventually(5):
            if not self.simulator.state()["in_flight"]:
                break
        assert self.simulator.state()["slots_taken"] == {"sim-chat:latest": 1}

    def restart(self) -> None:
        """As its operator would."""
        self.simulator.stop()
        self.simulator = self._start()


@attrs.frozen
class Site:
    """Two gateways that share their stores: one has a second backend, the other only the fragile one."""

    house: House
    fragile: Fragile
    backends: str
    metrics_port: int
    lucky: Gateway
    poor: Gateway
    key: Key

    def ask(self, gateway: Gateway, **changes: Any) -> httpx.Response:
        return httpx.post(f"{gateway.url}/api/chat", json={**ASK, **changes}, headers=self.key.headers, timeout=30)

    def sees(self, gateway: Gateway) -> str:
        return str(httpx.get(f"{gateway.url}/readyz", timeout=10).json()["parts"]["backend:fragile"])


@pytest.fixture
def site(stores: EmbeddedStores, tmp_path: Path) -> Iterator[Site]:
    fragile, metrics_port = Fragile(tmp_path), free_port()
    try:
        with House.open(stores, tmp_path, FIRST_BYTE_TIMEOUT_S=str(PATIENCE_S)) as house:
            only = {"name": "fragile", "url": fragile.simulator.url}
            both = json.dumps([only, {"name": "sound", "url": house.simulator.url}])
            lucky = house.add_gateway(OLLAMA_BACKENDS=both, METRICS_BIND=f"127.0.0.1:{metrics_port}")
            poor = house.add_gateway(OLLAMA_BACKENDS=json.dumps([only]))
            for gateway in house.gateways:
                gateway.wait_ready()
            yield Site(house, fragile, both, metrics_port, lucky, poor, house.new_key())
    finally:
        fragile.simulator.stop()


def test_a_wedged_model_is_found_named_gone_round_and_taken_back_after_a_restart(site: Site) -> None:
    house, fragile = site.house, site.fragile
    assert site.ask(site.poor).status_code == 200
    for _ in eventually(10):  # the gateways have seen that it is loaded, so it is their first choice
        if all("sim-chat" in httpx.get(f"{one.url}/api/ps", headers=site.key.headers).text for one in house.gateways):
            break
    fragile.lose_its_slot()

    with ThreadPoolExecutor(2) as pool:
        in_vain = list(pool.map(lambda _: site.ask(site.lucky), range(2)))

    assert {answer.json()["code"] for answer in in_vain} == {"backend_timeout"}
    # From now on nobody waits: the one gateway goes round it, and the other knows without having waited itself.
    served = [site.ask(site.lucky) for _ in range(3)]
    assert {answer.status_code for answer in served} == {200}
    for _ in eventually(10):
        if site.sees(site.poor) != "ok":
            break
    told = site.ask(site.poor)
    assert (told.status_code, told.json()["code"]) == (503, "model_wedged")
    assert told.headers["retry-after"]
    assert site.ask(site.poor, model="sim-think").status_code == 200, "its other models are served"

    # It is named, with what to do.
    assert site.sees(site.lucky) == "sim-chat:latest does not answer any more: restart Ollama there"
    assert httpx.get(f"{site.lucky.url}/readyz").status_code == 200
    metrics = httpx.get(f"http://127.0.0.1:{site.metrics_port}/metrics").text
    assert 'neuronetz_model_wedged{backend="fragile",model="sim-chat:latest"} 1.0' in metrics
    examined = cli(house.environ | {"OLLAMA_BACKENDS": site.backends}, house.folder, "doctor", "--json")
    (found,) = [one for one in json.loads(examined.stdout) if one["subject"] == "wedged.fragile"]
    assert (examined.returncode, found["level"]) == (1, "problem")
    assert "Restart Ollama on fragile" in found["remedy"]

    fragile.restart()
    for _ in eventually(20):
        if site.sees(site.poor) == site.sees(site.lucky) == "ok":
            break
    assert site.ask(site.poor).status_code == 200
    house.settled()
    rows = house.rows("select outcome, code from audit where event = 'finished'")
    assert sorted(row["outcome"] for row in rows if row["outcome"] != "done") == ["not_sent", "timed_out", "timed_out"]
