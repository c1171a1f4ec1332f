"""The small server that metrics are fetched from."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from entrypoints.observability.listener import MOST_OPEN, MetricsPortTaken, read_bind, serve_metrics
from tests.e2e.programs import eventually, free_port


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def numbers() -> bytes:
    return b"a_number 1.0\n"


async def ask(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    answer = await reader.read()
    writer.close()
    return answer


async def test_metrics_are_rendered_when_they_are_asked_for() -> None:
    port = free_port()
    asked = []

    async def render() -> bytes:
        asked.append(1)
        return b"asked %d\n" % len(asked)

    async with serve_metrics(f"127.0.0.1:{port}", render), httpx.AsyncClient() as client:
        assert asked == []
        answers = [await client.get(f"http://127.0.0.1:{port}/metrics") for _ in range(2)]

    assert [answer.text for answer in answers] == ["asked 1\n", "asked 2\n"]
    assert answers[0].headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /metrics HTTP/1.1", 200),
        (b"GET /metrics?name[]=up HTTP/1.1", 200),
        (b"HEAD /metrics HTTP/1.1", 200),
        (b"GET /healthz HTTP/1.0", 200),
        (b"GET / HTTP/1.1", 404),
        (b"GET /api/chat HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 405),
        (b"DELETE /healthz HTTP/1.1", 405),
        (b"GET /metrics", 400),
        (b"nonsense", 400),
        (b"GET /metrics HTTP/1.1\r\nx: " + b"a" * 20_000, 400),
    ],
)
async def test_two_paths_are_served_and_nothing_else(request_line: bytes, status: int) -> None:
    port = free_port()

    async with serve_metrics(f"127.0.0.1:{port}", numbers):
        answer = await ask(port, request_line + b"\r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    assert bool(body) is not request_line.startswith(b"HEAD")


async def test_a_number_that_cannot_be_made_is_a_500_and_no_end() -> None:
    port = free_port()
    broken = [True]

    async def render() -> bytes:
        if broken:
            raise RuntimeError(broken.pop())
        return b"well\n"

    async with serve_metrics(f"127.0.0.1:{port}", render), httpx.AsyncClient() as client:
        first = await client.get(f"http://127.0.0.1:{port}/metrics")
        second = await client.get(f"http://127.0.0.1:{port}/metrics")

    assert (first.status_code, second.text) == (500, "well\n")


async def test_one_who_says_nothing_keeps_nobody_waiting() -> None:
    port = free_port()

    async with serve_metrics(f"127.0.0.1:{port}", numbers), httpx.AsyncClient() as client:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_OPEN - 1)]
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")

    assert answer.text == "a_number 1.0\n"
    for _, writer in silent:
        writer.close()


async def test_no_more_connections_are_open_than_may_be() -> None:
    port = free_port()

    async with serve_metrics(f"127.0.0.1:{port}", numbers), asyncio.timeout(5):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_OPEN)]
        reader, one_more = await asyncio.open_connection("127.0.0.1", port)

        assert await reader.read() == b""

    for _, writer in [*silent, (reader, one_more)]:
        writer.close()


async def test_one_who_does_not_read_his_answer_is_let_go() -> None:
    port, asked = free_port(), asyncio.Event()

    async def long() -> bytes:
        asked.set()
        return b"x" * 16_000_000

    async with serve_metrics(f"127.0.0.1:{port}", long, patience_s=0.1):
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", port))
            before = open_files()
            lazy.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            await asked.wait()
            for _ in eventually(5):
                await asyncio.sleep(0.01)
                if open_files() == before:
                    break


async def test_its_end_frees_the_port() -> None:
    port = free_port()

    async with serve_metrics(f"127.0.0.1:{port}", numbers):
        pass

    async with serve_metrics(f"127.0.0.1:{port}", numbers):
        pass


async def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(MetricsPortTaken) as failed:
            async with serve_metrics(bind, numbers):
                raise AssertionError

    assert str(failed.value).startswith(f"METRICS_BIND {bind} cannot be listened on (")
    assert str(failed.value).endswith("Choose another address or port, or set it to off.")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464),
        ("[::1]:9464", "::1", 9464),
        (":9464", "", 9464),
        ("metrics.internal:1", "metrics.internal", 1),
    ],
)
def test_an_address_to_listen_on_is_read(text: str, host: str, port: int) -> None:
    assert read_bind(text) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "9464", "localhost", "127.0.0.1:", "127.0.0.1:0", "h:65536", "a b:1", "http://h:1"]
)
def test_what_is_no_address_is_not_one(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address and a port, as 127"):
        read_bind(text)
