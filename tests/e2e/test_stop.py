"""Stopping and outages: what runs is ended properly and settled; what cannot be recorded is not served."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores, start_stores
from tests.e2e.house import House, Key
from tests.e2e.programs import eventually

CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}]}


def stream(url: str, key: Key, lines: list[str], tokens: int = 100) -> threading.Thread:
    def read() -> None:
        body = CHAT | {"options": {"num_predict": tokens}}
        with httpx.stream("POST", f"{url}/api/chat", json=body, headers=key.headers, timeout=60) as answer:
            lines.extend(answer.iter_lines())

    reader = threading.Thread(target=read)
    reader.start()
    return reader


def running(house: House, count: int) -> None:
    for _ in eventually(10):
        if house.open_holds() == count:
            break
    time.sleep(0.3)


@pytest.fixture
def slow_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    options = ("--token-delay-ms", "50", "--tokens", "100", "--num-parallel", "50")
    with House.open(stores, tmp_path_factory.mktemp("stop"), *options, BACKEND_MAX_IN_FLIGHT="50") as opened:
        yield opened


def test_sigterm_lets_streams_end_that_end_in_time(slow_house: House) -> None:
    gateway = slow_house.add_gateway(DRAIN_TIMEOUT_S="20")
    gateway.wait_ready()
    key = slow_house.new_key()
    answers: list[list[str]] = [[] for _ in range(10)]
    readers = [stream(gateway.url, key, lines, tokens=40) for lines in answers]
    running(slow_house, 10)

    gateway.send(signal.SIGTERM)
    status = gateway.wait(30)
    for reader in readers:
        reader.join(5)

    assert status == 0
    assert all(json.loads(lines[-1])["done"] for lines in answers)
    assert slow_house.open_holds() == 0


def test_sigterm_cuts_the_others_with_a_word_and_settles_all(slow_house: House) -> None:
    gateway = slow_house.add_gateway(DRAIN_TIMEOUT_S="1")
    gateway.wait_ready()
    key = slow_house.new_key()
    answers: list[list[str]] = [[] for _ in range(10)]
    readers = [stream(gateway.url, key, lines) for lines in answers]
    running(slow_house, 10)

    began = time.monotonic()
    gateway.send(signal.SIGTERM)
    status = gateway.wait(30)
    for reader in readers:
        reader.join(5)

    assert status == 0
    assert time.monotonic() - began < 10
    assert all(json.loads(lines[-1])["code"] == "shutting_down" for lines in answers)
    assert slow_house.open_holds() == 0
    outcomes = slow_house.rows("select outcome from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    assert [row["outcome"] for row in outcomes] == ["shut_down"] * 10


@pytest.fixture(scope="module")
def own_stores() -> Iterator[EmbeddedStores]:
    """Stores that a test may break."""

    with tempfile.TemporaryDirectory(prefix="nzbreak-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with start_stores(Path(folder) / "state", durable=False, max_connections=100) as opened:
            yield opened


@pytest.fixture
def breakable_house(own_stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(own_stores, tmp_path_factory.mktemp("break"), "--token-delay-ms", "50", "--tokens", "60") as opened:
        opened.add_gateway().wait_ready()
        yield opened


def ask(house: House, key: Key) -> httpx.Response:
    body = CHAT | {"stream": False, "options": {"num_predict": 1}}
    return httpx.post(f"{house.url}/api/chat", json=body, headers=key.headers, timeout=30)


def serves_again(house: House, key: Key, within_s: float) -> float:
    began = time.monotonic()
    for _ in eventually(within_s):
        if ask(house, key).status_code == 200:
            break
    return time.monotonic() - began


def test_while_redis_is_away_nothing_is_admitted_and_streams_go_on(
    breakable_house: House, own_stores: EmbeddedStores
) -> None:
    house, key = breakable_house, breakable_house.new_key()
    lines: list[str] = []
    assert ask(house, key).status_code == 200
    reader = stream(house.url, key, lines, tokens=60)
    running(house, 1)

    own_stores.valkey.kill()
    refused = [ask(house, key) for _ in range(5)]
    not_ready = httpx.get(f"{house.url}/readyz").status_code
    own_stores.valkey.start()
    took_s = serves_again(house, key, 5)
    reader.join(20)

    assert {answer.status_code for answer in refused} == {503}
    assert {answer.json()["code"] for answer in refused} == {"limiter_unavailable"}
    assert refused[0].headers["retry-after"] == "1"
    assert not_ready == 503
    assert took_s <= 2
    assert json.loads(lines[-1])["done"]
    house.settled()


def test_while_postgres_is_away_nothing_is_admitted_and_streams_settle_later(
    breakable_house: House, own_stores: EmbeddedStores
) -> None:
    house, key = breakable_house, breakable_house.new_key()
    lines: list[str] = []
    assert ask(house, key).status_code == 200
    reader = stream(house.url, key, lines, tokens=40)
    running(house, 1)

    own_stores.postgres.kill()
    refused = [ask(house, key) for _ in range(3)]
    looks = [httpx.get(f"{house.url}{path}", headers=key.headers) for path in ("/api/tags", "/v1/models")]
    reader.join(20)
    own_stores.postgres.start()
    took_s = serves_again(house, key, 8)

    assert {answer.status_code for answer in refused} == {503}
    assert {answer.json()["code"] for answer in refused} == {"ledger_unavailable"}
    assert {look.headers["x-error-code"] for look in looks} == {"ledger_unavailable"}
    assert took_s <= 5
    assert json.loads(lines[-1])["done"]
    house.settled()
    done = [entry for entry in house.simulator.log() if entry["kind"] == "inference"]
    assert house.used(key) == sum(entry["prompt_tokens"] + entry["output_tokens"] for entry in done)


def test_a_flush_of_redis_forgets_no_call_of_the_last_minute(
    breakable_house: House, own_stores: EmbeddedStores
) -> None:
    house = breakable_house
    key = house.new_key(tenant_policy=Policy(limits=Limits(rpm=5)))
    before = [ask(house, key).status_code for _ in range(3)]
    house.settled()

    with redis.Redis.from_url(own_stores.redis_url) as client:
        client.flushall()
    after = [ask(house, key).status_code for _ in range(4)]

    assert before == [200] * 3
    assert after == [200, 200, 429, 429]
