"""What Caddy hands on to its upstream, byte for byte: one address, no upgrade, no HTTP/2."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.programs import eventually, free_port
from tests.infra.front import ELSEWHERE, Front, read_all
from tests.infra.recorder import Recorder, recording
from tests.infra.spoofs import SPOOFS

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
UPGRADES = {
    "h2c": ["Connection: close, Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "h2c, settings not named": ["Connection: close, Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "odd spelling": ["connection: close, uPgRaDe", "uPGRADE: H2C", "http2-settings: AAMAAABkAAQAAP__"],
    "websocket": [
        "Connection: close, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: eA==",
    ],
    "two at once": ["Connection: close, Upgrade", "Upgrade: websocket, h2c"],
}


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with recording() as running:
        yield running


@pytest.fixture
def upstream(front: Front, recorder: Recorder) -> Recorder:
    """What reached it before is forgotten."""
    assert front.running
    recorder.take()
    return recorder


@pytest.fixture(scope="module")
def front(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    caddy = Front(recorder.port, tmp_path_factory.mktemp("front"))
    try:
        caddy.wait_ready()
        yield caddy
    finally:
        caddy.stop()


def get(*lines: str, path: str = "/") -> bytes:
    closing = [] if any("close" in line for line in lines) else ["Connection: close"]
    head = [f"GET {path} HTTP/1.1", "Host: localhost", *lines, *closing, "", ""]
    return "\r\n".join(head).encode()


def fields_of(head: bytes) -> list[tuple[str, str]]:
    lines = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


@pytest.mark.parametrize("spoof", SPOOFS)
def test_the_one_address_handed_on_is_the_clients(front: Front, upstream: Recorder, spoof: str) -> None:
    front.exchange(get(*SPOOFS[spoof]), address=ELSEWHERE)

    (head,) = upstream.take()
    fields = fields_of(head)
    assert [value for name, value in fields if name == "x-forwarded-for"] == [ELSEWHERE]
    assert not {name for name, _ in fields} & {"forwarded", "x-real-ip", "x_forwarded_for"}


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_no_upgrade_is_handed_on(front: Front, upstream: Recorder, upgrade: str) -> None:
    answer = front.exchange(get(*UPGRADES[upgrade]))

    (head,) = upstream.take()
    assert head.startswith(b"GET / HTTP/1.1\r\n")
    assert not {name for name, _ in fields_of(head)} & {"connection", "upgrade", "http2-settings"}
    assert answer.startswith(b"HTTP/1.1 200")


def test_http2_without_asking_reaches_nobody(front: Front, upstream: Recorder) -> None:
    answer = front.exchange(PREFACE, protocol=None)

    assert upstream.take() == []
    assert b" 101 " not in answer


def test_http2_without_asking_and_without_tls_reaches_nobody(front: Front, upstream: Recorder) -> None:
    with front.connect_plainly() as connection:
        connection.sendall(PREFACE)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection, b"")

    assert upstream.take() == []
    assert b" 101 " not in answer


def test_http2_from_a_browser_is_http1_behind(front: Front, upstream: Recorder) -> None:
    with front.any_client(http2=True) as client:
        assert client.get("/").http_version == "HTTP/2"

    (head,) = upstream.take()
    assert head.startswith(b"GET / HTTP/1.1\r\n")


def test_plain_http_is_sent_to_tls(front: Front, upstream: Recorder) -> None:
    with front.connect_plainly() as connection:
        answer = read_all(connection, get())

    assert answer.startswith(b"HTTP/1.1 308")
    assert b"Location: https://localhost" in answer
    assert upstream.take() == []


@pytest.mark.parametrize(
    "path", ["/readyz", "/readyz/", "/%72eadyz", "/READYZ", "/readyz?x=1", "//readyz", "/./readyz"]
)
def test_what_works_and_what_not_is_not_told_outside(front: Front, upstream: Recorder, path: str) -> None:
    assert front.exchange(get(path=path)).startswith(b"HTTP/1.1 404")
    assert upstream.take() == []


@pytest.mark.parametrize("host", ["localhost", "localhost:{port}"])
def test_no_key_is_in_a_log(front: Front, host: str) -> None:
    secret = "a-secret-that-nobody-logs"
    lines = [f"Host: {host.format(port=front.port)}", f"Authorization: Bearer {secret}", f"x-api-key: {secret}"]
    front.exchange("\r\n".join(["GET /marked HTTP/1.1", *lines, "Connection: close", "", ""]).encode())

    for _ in eventually(5):
        if "/marked" in front.text():
            break
    assert secret not in front.text()


def test_no_key_is_in_the_log_of_an_error(tmp_path: Path) -> None:
    secret = "a-secret-that-nobody-logs"
    caddy = Front(free_port(), tmp_path)
    try:
        caddy.wait_ready()
        with caddy.any_client(headers={"x-api-key": secret}) as client:
            assert client.get("/marked").status_code == 502
    finally:
        caddy.stop()

    assert "/marked" in caddy.text()
    assert secret not in caddy.text()
