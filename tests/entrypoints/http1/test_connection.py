"""Connections over real sockets, with either HTTP/1 class: their order, their times, their ends."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
import uvloop
from structlog.testing import capture_logs

from tests.entrypoints.http1.talking import MUCH, Client, House, serving

BOTH = pytest.mark.parametrize("stock", [False, True], ids=["httptools", "h11"])
OURS = pytest.mark.parametrize("stock", [False], ids=["httptools"])
_SOON_S = 10.0


def ask(path: str, *headers: str, method: str = "POST", version: str = "1.1", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: g", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def with_body(path: str, body: bytes, *headers: str) -> bytes:
    return ask(path, f"Content-Length: {len(body)}", *headers, body=body)


async def send_for_ever(client: Client) -> None:
    async with asyncio.timeout(_SOON_S):
        while True:
            await client.say(b"x" * 100_000)


async def soon(event: asyncio.Event) -> None:
    async with asyncio.timeout(_SOON_S):
        await event.wait()


@BOTH
async def test_a_connection_serves_one_request_after_another(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        for text in (b"one", b"two", b""):
            await client.say(with_body("/echo", text))
            status, head, body = await client.hear()
            assert (status, body) == (200, text)
            assert b"connection: close" not in head
            assert b"\r\ndate: " in head


@BOTH
async def test_pipelined_requests_are_answered_in_order(stock: bool) -> None:  # noqa: FBT001
    chunked = ask("/echo", "Transfer-Encoding: chunked", body=b"3\r\ntwo\r\n0\r\n\r\n")
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(with_body("/echo", b"one") + chunked + with_body("/echo", b"three"))

        assert [(await client.hear())[2] for _ in range(3)] == [b"one", b"two", b"three"]


@BOTH
@pytest.mark.parametrize("early", [b"", b"G", b"GET /echo HTTP/1.1\r\nHost: g\r\n\r\n", b"x" * 5_000, b"x" * 500_000])
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_a_hang_up_is_seen_whatever_was_sent_too_early(stock: bool, early: bytes, reset: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(with_body("/wait", b"hi"))
        await asyncio.sleep(0.05)
        await client.say(early)
        if reset:
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.transport.abort()
        else:
            client.close()

        await soon(house.behind.hung_up)


@BOTH
async def test_too_much_sent_too_early_is_dropped_and_ends_the_connection(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(with_body("/wait", b"hi") + with_body("/echo", b"x" * 400_000))
        house.behind.may_answer.set()

        answers = await client.hear_all()

    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.endswith(b"at last")


@BOTH
async def test_a_stream_is_chunked(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/stream", "Connection: close"))

        head, _, body = (await client.hear_all()).partition(b"\r\n\r\n")

    assert b"transfer-encoding: chunked" in head.lower()
    assert b"connection: close" in head.lower()
    assert body == b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"


@BOTH
async def test_a_stream_to_an_old_client_ends_with_the_connection(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/stream", "Connection: keep-alive", version="1.0"))

        head, _, body = (await client.hear_all()).partition(b"\r\n\r\n")

    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body == b"onetwothree"


@BOTH
@pytest.mark.parametrize("path", ["/echo", "/stream", "/early"])
async def test_head_has_no_body(stock: bool, path: str) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask(path, "Connection: close", method="HEAD"))

        assert (await client.hear_all()).endswith(b"\r\n\r\n")


@OURS
async def test_100_continue_comes_once_the_body_is_asked_for(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/echo", "Content-Length: 2", "Expect: 100-continue"))
        interim = await client.hear_head()
        await client.say(b"hi")

        assert interim == b"http/1.1 100 continue\r\n\r\n"
        assert (await client.hear())[2] == b"hi"


@OURS
async def test_who_is_refused_is_not_asked_for_the_body(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/early", "Content-Length: 2", "Expect: 100-continue"))

        status, head, _ = await client.hear()

    assert status == 413
    assert b"connection: close" in head


@OURS
async def test_nobody_is_asked_for_a_body_that_comes_anyway(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(with_body("/echo", b"hi", "Expect: 100-continue", "Connection: close"))

        assert (await client.hear_all()).count(b"HTTP/1.1 ") == 1


@BOTH
async def test_an_early_answer_is_read_by_a_client_that_sends_first(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/early", f"Content-Length: {MUCH}", body=b"x" * 5_000_000))

        status, head, _ = await client.hear()
        rest = await client.hear_all()

    assert status == 413
    assert stock or b"connection: close" in head  # behind Hypercorn's class the application says it
    assert rest == b""


@BOTH
async def test_what_a_refused_client_still_sends_is_not_read_without_bound(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock, linger_s=1.0, linger_bytes=1_000_000) as house, house.client() as client:
        await client.say(ask("/early", "Content-Length: 100000000000"))

        with pytest.raises(ConnectionError):
            await send_for_ever(client)


@BOTH
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET /echo HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_framing"),
        (b"GET /echo HTTP/1.1\r\nHost: g\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n", "malformed_request"),
        (b"get /echo HTTP/1.1\r\nHost: g\r\n\r\n", "malformed_request"),
        (b"CONNECT g:80 HTTP/1.1\r\nHost: g\r\n\r\n", "malformed_request"),
        (b"GET /echo HTTP/1.1\r\n\r\n", "malformed_request"),
        (b"GET /echo HTTP/1.1\r\nHost: g\r\nA: " + b"x" * 20_000 + b"\r\n\r\n", "head_too_large"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http_version_not_supported"),
        (b"GET /echo HTTP/1.2\r\nHost: g\r\n\r\n", "http_version_not_supported"),
        (b"GET /echo HTTP/1.1\r\nHost: g\r\nExpect: x\r\n\r\n", "expectation_failed"),
        (b"GET /echo HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "websocket_refused"),
        (b"POST /echo HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "bad_framing"),
        (b"POST /echo HTTP/1.0\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_framing"),
    ],
)
async def test_what_is_no_request_is_answered_and_the_connection_closed(
    stock: bool,  # noqa: FBT001
    request_: bytes,
    code: str,
) -> None:
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(request_ + ask("/echo"))

        answers = await client.hear_all()

    assert answers.startswith(b"HTTP/1.1 400")
    assert f"x-error-code: {code}".encode() in answers.lower()
    assert b"connection: close" in answers.lower()
    assert answers.endswith(b"refused")
    assert house.refused == [code]
    assert house.behind.scopes == []


@BOTH
async def test_a_broken_chunk_is_answered_and_the_application_told_that_nobody_is_there(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/echo", "Transfer-Encoding: chunked", body=b"3\r\nabcd\r\n0\r\n\r\n" + ask("/echo")))

        answers = await client.hear_all()
        await soon(house.behind.hung_up)

    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 400")
    assert len(house.behind.scopes) == 1


@BOTH
async def test_h2c_is_answered_in_http_1(stock: bool) -> None:  # noqa: FBT001
    upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/echo", *upgrade, method="GET") + with_body("/echo", b"hi", *upgrade))

        assert [(await client.hear())[::2] for _ in range(2)] == [(200, b""), (200, b"hi")]


@BOTH
async def test_the_absolute_form_replaces_host(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("http://other:8080/echo?x=y", method="GET"))
        await client.hear()

    (scope,) = house.behind.scopes
    assert (scope["raw_path"], scope["path"], scope["query_string"]) == (b"/echo", "/echo", b"x=y")
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"other:8080"]


@BOTH
@pytest.mark.parametrize("sent", [b"G", b"GET /echo HTTP/1.1\r\nHost: g\r\n"])
async def test_a_head_that_does_not_end_is_refused(stock: bool, sent: bytes) -> None:  # noqa: FBT001
    async with serving(stock=stock, head_s=0.3) as house, house.client() as client:
        await client.say(sent)

        assert b"x-error-code: head_too_slow" in (await client.hear_all()).lower()


@BOTH
async def test_a_trickle_does_not_prolong_a_head(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock, head_s=0.5) as house, house.client() as client:
        await client.say(b"GET /")
        heard = asyncio.create_task(client.hear_all())
        while not heard.done():
            client.writer.write(b"A")
            await asyncio.sleep(0.1)

        assert b"x-error-code: head_too_slow" in heard.result().lower()


@BOTH
@pytest.mark.parametrize("before", [b"", ask("/echo", method="GET")], ids=["at first", "after a request"])
async def test_an_idle_connection_is_closed_without_a_word(stock: bool, before: bytes) -> None:  # noqa: FBT001
    async with serving(stock=stock, idle_s=0.3) as house, house.client() as client:
        await client.say(before)

        assert (await client.hear_all()).count(b"HTTP/1.1") == bool(before)
        assert house.refused == []


Deaf = Callable[[House, bytes], socket.socket]


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    """Clients that ask and never read."""
    made: list[socket.socket] = []

    def ask_deafly(house: House, request: bytes) -> socket.socket:
        client = socket.socket()
        made.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", house.port))
        client.sendall(request)
        return client

    yield ask_deafly
    for client in made:
        client.close()


@BOTH
@pytest.mark.parametrize("path", ["/much", "/endless"])
async def test_a_client_that_takes_nothing_is_cut(stock: bool, path: str, deaf: Deaf) -> None:  # noqa: FBT001
    async with serving(stock=stock, send_s=0.5) as house:
        deaf(house, with_body(path, b""))

        await soon(house.behind.ended)


@OURS
async def test_a_client_that_reads_slowly_is_not(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock, send_s=0.3) as house:
        client = await house.connect(limit=2**10)
        try:
            await client.say(ask("/much", "Connection: close"))
            got = 0
            while got < MUCH // 2:
                got += len(await client.reader.read(100_000))
                await asyncio.sleep(0.005)
            rest = await client.hear_all()
        finally:
            client.close()

    assert got + len(rest) > MUCH


@OURS
async def test_a_writer_that_never_pauses_sees_its_reader_go(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(with_body("/endless", b""))
        await client.hear_head()
        client.writer.transport.abort()

        await soon(house.behind.hung_up)


@BOTH
def test_who_writes_while_the_client_goes_is_told_so_and_does_not_fail(stock: bool) -> None:  # noqa: FBT001
    """uvloop's transport closes a moment before anyone is told, and raises when it is written to meanwhile."""

    async def reset_in_mid_stream() -> None:
        async with serving(stock=stock) as house:
            for _ in range(20):
                house.behind.hung_up.clear()
                client = await house.connect()
                await client.say(with_body("/drip", b""))
                await client.hear_head()
                client.writer.transport.abort()
                await soon(house.behind.hung_up)

    uvloop.run(reset_in_mid_stream())


@BOTH
async def test_a_failed_application_is_answered_for(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/fail"))

        assert (await client.hear_all()).startswith(b"HTTP/1.1 500")


@BOTH
async def test_an_answer_that_breaks_off_has_no_proper_end(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house, house.client() as client:
        await client.say(ask("/break"))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.reader.readuntil(b"0\r\n\r\n")


@BOTH
async def test_one_connection_too_many_is_told_so(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock, max_connections=1) as house, house.client() as first:
        await first.say(ask("/echo"))
        await first.hear()
        async with house.client() as second:
            await second.say(ask("/echo"))
            refused = await second.hear_all()
        await first.say(ask("/echo"))
        await first.hear()

    assert b"x-error-code: overloaded" in refused.lower()


@OURS
async def test_the_last_request_of_a_connection_closes_it(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock, max_requests=2) as house, house.client() as client:
        await client.say(ask("/echo") * 3)

        answers = await client.hear_all()

    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.lower().count(b"connection: close") == 1


@BOTH
async def test_a_stop_closes_idle_connections_and_lets_the_others_be_answered(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house:
        idle, busy = await house.connect(), await house.connect()
        await busy.say(with_body("/wait", b""))
        await idle.say(ask("/echo"))
        await idle.hear()
        asyncio.get_running_loop().call_later(0.3, house.behind.may_answer.set)

    try:
        assert await idle.hear_all() == b""
        answered = await busy.hear_all()
    finally:
        idle.close()
        busy.close()

    assert answered.endswith(b"at last")
    assert stock or b"connection: close" in answered.lower()


@OURS
async def test_a_connection_that_has_ended_leaves_nothing_to_the_garbage_collector(stock: bool) -> None:  # noqa: FBT001
    chunked = ask("/echo", "Transfer-Encoding: chunked", body=b"3\r\ntwo\r\n0\r\n\r\n")
    ends = [
        with_body("/echo", b"one"),
        chunked,
        ask("/wait"),
        b"GET /\r\n\r\n",
        b"GET / HT",
        ask("/echo", "Content-Length: 9"),
    ]
    async with serving(stock=stock) as house:
        gc.collect()
        gc.disable()
        try:
            for last in ends:
                async with house.client() as client:
                    await client.say(chunked)
                    await client.hear()
                    await client.say(last)
                    await until(lambda: parts_of_readers() > 0)
                await until(lambda: parts_of_readers() == 0)
        finally:
            gc.enable()


def parts_of_readers() -> int:
    return sum(
        type(found).__name__ in {"Http1Connection", "_HeadParser", "_ChunkedParser"} for found in gc.get_objects()
    )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_SOON_S):
        while not holds():  # noqa: ASYNC110  nobody tells when an object is gone
            await asyncio.sleep(0.01)


@OURS
async def test_a_connection_is_closed_for_good_when_all_was_said(stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock, linger_s=3600.0) as house, house.client() as client:
        await client.say(with_body("/echo", b"hi", "Connection: close"))
        await client.hear()
        assert await client.hear_all() == b""
        with pytest.raises(ConnectionError):
            await send_for_ever(client)


@BOTH
async def test_clients_that_reset_their_connections_leave_no_trace_in_the_log(stock: bool) -> None:  # noqa: FBT001
    said = [
        b"",
        b"GET /\r\n\r\n",
        with_body("/echo", b"abc"),
        with_body("/echo", b"abc")[:-1],
        b"POST / HTTP/1.1\r\nA b",
    ]
    with capture_logs() as logged:
        async with serving(stock=stock) as house:
            for at in range(50):
                with socket.create_connection(("127.0.0.1", house.port)) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.sendall(said[at % len(said)])
                await asyncio.sleep(0 if at % 2 else 0.005)
    assert logged == []


@BOTH
@pytest.mark.parametrize("asked", ["Connection: close", "X: y"])
async def test_a_request_is_served_once_whoever_ends_the_connection(asked: str, stock: bool) -> None:  # noqa: FBT001
    async with serving(stock=stock) as house:
        async with house.client() as client:
            await client.say(with_body("/echo", b"hi", asked))
            await client.hear()
        await until(house.behind.ended.is_set)
        await asyncio.sleep(0.1)  # for the end of the connection to arrive

    assert len(house.behind.scopes) == 1
