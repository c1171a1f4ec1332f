"""A stop closes no connection in its caller's face: what was on its way by then is served."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.acceptance.several import wait_for
from tests.e2e.house import House, Key
from tests.e2e.programs import Gateway

BODY = json.dumps({"model": "sim-chat", "stream": False, "messages": [{"role": "user", "content": "Hi"}]}).encode()


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("linger"), "--tokens", "3") as opened:
        yield opened


def request(key: Key, body: bytes = BODY) -> bytes:
    head = f"POST /api/chat HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key.text}\r\nContent-Length: {len(BODY)}"
    return f"{head}\r\n\r\n".encode() + body


def connected(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=20)


def answer(connection: socket.socket) -> bytes:
    """One answer, with its length."""
    got = b""
    while chunk := connection.recv(65536):
        got += chunk
        head, ended, body = got.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if ended and len(body) >= int(lengths[0].split(b":")[1]):
            break
    return got


def test_what_is_on_its_way_at_a_stop_is_served(house: House) -> None:
    gateway = house.add_gateway(DRAIN_TIMEOUT_S="20")
    gateway.wait_ready()
    key = house.new_key()
    kept, silent, slow, idle = (connected(gateway) for _ in range(4))
    with kept, silent, slow, idle:
        kept.sendall(request(key))
        before = answer(kept)
        idle.sendall(request(key))
        answer(idle)
        slow.sendall(request(key, BODY[:10]))

        gateway.send(signal.SIGTERM)
        wait_for(gateway, "stopping", 1)
        kept.sendall(request(key))
        silent.sendall(request(key))
        served = [answer(kept), answer(silent)]
        closed = idle.recv(1)  # only when the linger is over
        slow.sendall(BODY[10:])
        served.append(answer(slow))
        status = gateway.wait(20)

    assert b"connection: close" not in before.lower()
    assert all(one.startswith(b"HTTP/1.1 200") for one in served)
    assert all(b"connection: close" in one.lower() for one in served)
    assert closed == b""
    assert status == 0
    assert house.open_holds() == 0


def test_nobody_new_is_let_in(house: House) -> None:
    gateway = house.add_gateway(DRAIN_TIMEOUT_S="20")
    gateway.wait_ready()
    with connected(gateway) as open_one:
        open_one.sendall(request(house.new_key(), BODY[:10]))

        gateway.send(signal.SIGTERM)
        wait_for(gateway, "stopping", 1)
        with pytest.raises(ConnectionError):
            connected(gateway)
        gateway.send(signal.SIGTERM)
        open_one.sendall(BODY[10:])
        refused = answer(open_one)

    assert refused.startswith(b"HTTP/1.1 503")
    assert b"x-error-code: shutting_down" in refused.lower()
    assert gateway.wait(10) == 0
