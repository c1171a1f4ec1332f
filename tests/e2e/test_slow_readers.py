"""Clients that read slowly: who goes on reading gets all of it, who stops is cut."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House, Key

SEND_TIMEOUT_S = 2
INPUTS = 400
BODY = json.dumps({"model": "wide", "input": ["Hi"] * INPUTS}).encode()


@pytest.fixture(scope="module", params=["httptools", "h11"])
def house(
    request: pytest.FixtureRequest, stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("slow")
    models = folder / "models.json"
    models.write_text(json.dumps([{"name": "wide", "capabilities": ["embedding"], "dimension": 4096}]))
    extra = {"SEND_TIMEOUT_S": str(SEND_TIMEOUT_S), "HTTP_PARSER": request.param}
    with House.open(stores, folder, "--models", str(models), **extra) as opened:
        opened.add_gateway().wait_ready()
        yield opened


def ask(house: House, key: Key) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", house.gateways[0].port))
    lines = [
        "POST /api/embed HTTP/1.1", "Host: g", "Connection: close", f"Authorization: Bearer {key.text}",
        f"Content-Length: {len(BODY)}",
    ]  # fmt: skip
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + BODY)
    return connection


def test_a_long_answer_is_for_whoever_goes_on_reading_it(house: House) -> None:
    key = house.new_key()
    got = bytearray()
    with ask(house, key) as connection:
        while part := connection.recv(200_000):
            got += part
            time.sleep(len(part) / 2_500_000)

    head, _, body = bytes(got).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert len(json.loads(body)["embeddings"]) == INPUTS
    house.settled()
    (finished,) = house.rows("select * from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    assert finished["outcome"] == "done"
    assert finished["duration_ms"] > SEND_TIMEOUT_S * 1000


def test_a_long_answer_is_not_kept_for_whoever_stops_reading(house: House) -> None:
    key = house.new_key()
    with ask(house, key) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        house.settled(within_s=SEND_TIMEOUT_S + 10)

    (finished,) = house.rows("select * from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    assert finished["outcome"] == "reader_too_slow"
