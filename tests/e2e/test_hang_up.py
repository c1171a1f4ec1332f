"""A client that leaves: the backend is let go within a second, by half-close; the call is charged for what it used."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key
from tests.e2e.programs import eventually

DIALECTS = ["/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/responses"]
MUST: dict[str, dict[str, Any]] = {"/v1/messages": {"max_tokens": 4096}, "/v1/responses": {"input": "Hi"}}
ENDINGS = ["fin", "rst"]


@pytest.fixture(scope="module")
def slow_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    options = ("--token-delay-ms", "50", "--tokens", "200")
    with House.open(stores, tmp_path_factory.mktemp("hangup"), *options) as opened:
        opened.add_gateway().wait_ready()
        yield opened


def send(
    house: House, key: Key, path: str, *, receive_buffer: int = 0, close: bool = False, **changes: object
) -> socket.socket:
    ask = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], **MUST.get(path, {})}
    body = json.dumps(ask | changes).encode()
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect(("127.0.0.1", house.gateways[0].port))
    lines = [f"POST {path} HTTP/1.1", "Host: g", f"Authorization: Bearer {key.text}", f"Content-Length: {len(body)}"]
    connection.sendall("\r\n".join([*lines, *(["Connection: close"] if close else []), "", ""]).encode() + body)
    return connection


def read_to_end(connection: socket.socket, within_s: float = 5) -> None:
    """Takes what was sent. Fails when its end does not come."""
    connection.settimeout(within_s)
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(1_000_000):
            pass


def leave(connection: socket.socket, ending: str) -> float:
    """Hangs up, and says when."""
    if ending == "rst":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return time.time()


def upstream(house: House, key: Key, *, ended: bool = True) -> dict[str, Any]:
    """The backend's own account of the call, once it has begun or ended."""
    for _ in eventually(10, 0.02):
        found = house.rows("select * from audit where tenant_id = %s and event = 'started'", key.tenant_id)
        entries = {entry["request_id"]: entry for entry in house.simulator.log()}
        entry = entries.get(found[0]["request_id"].hex) if found else None
        if entry and (not ended or entry["ended"] != "running") and (ended or entry["output_tokens"] > 2):
            return entry
    raise AssertionError


def inferences(house: House) -> list[dict[str, Any]]:
    return [entry for entry in house.simulator.log() if entry["kind"] == "inference"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("path", DIALECTS)
def test_a_hang_up_while_the_model_writes(slow_house: House, path: str, streamed: bool, ending: str) -> None:  # noqa: FBT001
    house, key = slow_house, slow_house.new_key()
    connection = send(house, key, path, stream=streamed)
    upstream(house, key, ended=False)

    left_at = leave(connection, ending)
    entry = upstream(house, key)
    house.settled()

    assert entry["ended"] == "hang-up"
    assert entry["hang_up_by"] == "fin"
    assert entry["ended_at_s"] - left_at < 1
    (finished,) = house.rows("select * from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    assert finished["outcome"] == "hung_up"
    made = entry["prompt_tokens"] + entry["output_tokens"]
    assert made <= finished["prompt_tokens"] + finished["output_tokens"] <= finished["held_tokens"]


@pytest.mark.parametrize("path", DIALECTS)
def test_a_hang_up_before_the_first_byte(slow_house: House, path: str) -> None:
    house, key = slow_house, slow_house.new_key()
    house.simulator.behave({"behaviour": {"first_byte_delay_s": 20}, "times": 1})
    connection = send(house, key, path, stream=True)
    for _ in eventually(10):
        if house.open_holds() == 1:
            break
    time.sleep(0.2)

    left_at = leave(connection, "fin")
    entry = upstream(house, key)
    house.settled()

    assert entry["ended"] == "hang-up"
    assert entry["ended_at_s"] - left_at < 1


def test_a_hang_up_in_the_queue_costs_nothing(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("queue")
    with House.open(stores, folder, "--token-delay-ms", "50", "--tokens", "100", BACKEND_MAX_IN_FLIGHT="1") as house:
        house.add_gateway().wait_ready()
        first, second = house.new_key(), house.new_key()
        running = send(house, first, "/api/chat")
        upstream(house, first, ended=False)
        waiting = send(house, second, "/api/chat")
        for _ in eventually(10):
            if house.open_holds() == 2:
                break

        leave(waiting, "fin")
        for _ in eventually(2):
            if house.open_holds() == 1:
                break

        (finished,) = house.rows("select * from audit where tenant_id = %s and event = 'finished'", second.tenant_id)
        assert finished["prompt_tokens"] + finished["output_tokens"] == 0
        assert house.used(second) == 0
        running.close()


def test_the_places_of_a_prompt_that_the_backend_reads_on_stay_taken(
    stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("prompt")
    options = ("--prompt-delay-ms-per-token", "20", "--tokens", "3")
    with House.open(stores, folder, *options, BACKEND_MAX_IN_FLIGHT="1") as house:
        house.add_gateway().wait_ready()
        one = house.new_key(tenant_policy=Policy(limits=Limits(concurrency=1)))
        other = house.new_key()
        prompt = [{"role": "user", "content": "word " * 80}]
        for _ in range(2):  # the first loads the model, the second teaches the gateway how long such a prompt takes
            with send(house, one, "/api/chat", messages=prompt, close=True) as lesson:
                while lesson.recv(65536):
                    pass
            time.sleep(1.5)  # until a survey has seen that the model is loaded
        for _ in eventually(10):
            if house.open_holds() == 0:
                break
        house.simulator.log(reset=True)

        leaver = send(house, one, "/api/chat", messages=prompt)
        for _ in eventually(5, 0.01):
            if inferences(house):
                break
        left_at = leave(leaver, "fin")
        house.settled()
        with house.client(one) as again:
            refused = again.post("/api/chat", json={"model": "sim-chat", "messages": prompt})
        with send(house, other, "/api/chat") as next_in_line:
            next_in_line.recv(1)

        assert refused.status_code == 429
        begun = [entry["started_at_s"] for entry in inferences(house)]
        assert len(begun) == 2
        assert begun[1] - left_at > 1


def test_a_reader_that_stalls_is_cut_and_the_backend_let_go(
    stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("stall")
    with House.open(stores, folder, "--tokens", "8000", SEND_TIMEOUT_S="2") as house:
        house.add_gateway().wait_ready()
        key = house.new_key()
        house.simulator.behave({"behaviour": {"huge_line_bytes": 7_000_000}, "times": 1})
        connection = send(house, key, "/api/chat", options={"num_predict": 8000}, receive_buffer=4096)

        entry = upstream(house, key)
        house.settled()
        read_to_end(connection)
        connection.close()

        (finished,) = house.rows("select * from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
        assert finished["outcome"] == finished["code"] == "reader_too_slow"
        assert entry["prompt_tokens"] + entry["output_tokens"] <= finished["prompt_tokens"] + finished["output_tokens"]
