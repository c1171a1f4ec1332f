"""A second signal: the operator does not want to wait for running calls, and still nothing is lost."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key
from tests.e2e.programs import eventually

BODY = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "options": {"num_predict": 1000}}
CALLS = 4


@pytest.fixture(scope="module")
def slow_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    options = ("--token-delay-ms", "100", "--tokens", "1000", "--num-parallel", "8")
    with House.open(stores, tmp_path_factory.mktemp("second"), *options) as opened:
        yield opened


def stream(url: str, key: Key, lines: list[str]) -> threading.Thread:
    def read() -> None:
        with httpx.stream("POST", f"{url}/api/chat", json=BODY, headers=key.headers, timeout=60) as answer:
            lines.extend(answer.iter_lines())

    reader = threading.Thread(target=read)
    reader.start()
    return reader


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cuts_running_calls_at_once_and_settles_all(slow_house: House, number: signal.Signals) -> None:
    gateway = slow_house.add_gateway(DRAIN_TIMEOUT_S="60")
    gateway.wait_ready()
    key = slow_house.new_key()
    answers: list[list[str]] = [[] for _ in range(CALLS)]
    readers = [stream(gateway.url, key, lines) for lines in answers]
    for _ in eventually(10):
        if slow_house.open_holds() == CALLS:
            break

    gateway.send(number)
    time.sleep(1)
    assert gateway.running
    began = time.monotonic()
    gateway.send(number)
    status = gateway.wait(30)
    for reader in readers:
        reader.join(5)

    assert status == 0
    assert time.monotonic() - began < 8
    assert all(json.loads(lines[-1])["code"] == "shutting_down" for lines in answers)
    assert slow_house.open_holds() == 0
    outcomes = slow_house.rows("select outcome from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    assert [row["outcome"] for row in outcomes] == ["shut_down"] * CALLS
