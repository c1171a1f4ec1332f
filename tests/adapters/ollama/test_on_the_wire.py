"""How a connection ends, seen from the other side: FIN, and never RST, in every phase."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from adapters.ollama.address import BackendAddress
from adapters.ollama.model_backend import OllamaBackend
from domain.faults import BackendFailed, BackendUnreachable
from domain.keys import Secret
from tests.adapters.ollama.raw_server import HEAD, LINE, Visit, http_chunk, raw_server
from tests.adapters.ollama.tapes import REQUEST_ID, chat, drain, upstream_of

CALL = upstream_of(chat("m"), ours="m")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "loop_kind" in metafunc.fixturenames:
        metafunc.parametrize("loop_kind", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def run(main: Any, loop_kind: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    with asyncio.Runner(loop_factory=loop_kind) as runner:
        runner.run(asyncio.wait_for(main, 20))


def backend(url: str) -> OllamaBackend:
    return OllamaBackend(BackendAddress(name="raw", url=url, token=Secret("s3cret-canary")))


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_cancelled_before_the_head_ends_with_fin(loop_kind: Any) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.watch_end()

    async def main() -> None:
        async with raw_server(play) as server:
            ollama = backend(server.url)
            task = asyncio.create_task(ollama.open(CALL))
            visit = await server.visit()
            await asyncio.sleep(0.05)
            await cancelled(task)
            await asyncio.wait_for(visit.ended.wait(), 3)
            assert visit.saw_fin
            assert not visit.saw_reset
            await ollama.aclose()

    run(main(), loop_kind)


def test_cancelled_before_the_head_of_a_server_that_goes_on_answering_ends_with_fin(loop_kind: Any) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await asyncio.sleep(0.2)
        await visit.send(HEAD)
        await visit.watch_end(go_on_s=0.4)

    async def main() -> None:
        async with raw_server(play) as server:
            ollama = backend(server.url)
            task = asyncio.create_task(ollama.open(CALL))
            visit = await server.visit()
            await asyncio.sleep(0.05)
            await cancelled(task)
            await asyncio.wait_for(visit.ended.wait(), 3)
            assert visit.saw_fin
            assert not visit.saw_reset
            await ollama.aclose()

    run(main(), loop_kind)


@pytest.mark.parametrize("reading", [True, False], ids=["read", "unread"])
def test_closed_in_mid_stream_ends_with_fin(loop_kind: Any, *, reading: bool) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(HEAD + http_chunk(LINE) * 2000)
        await visit.watch_end(go_on_s=0.4)

    async def main() -> None:
        async with raw_server(play) as server:
            ollama = backend(server.url)
            answer = await ollama.open(CALL)
            if reading:
                piece = await answer.read()
                assert piece is not None
                assert piece.objects
            answer.close()
            visit = await server.visit()
            await asyncio.wait_for(visit.ended.wait(), 3)
            assert visit.saw_fin
            assert not visit.saw_reset
            await ollama.aclose()

    run(main(), loop_kind)


def test_a_read_that_is_cancelled_and_then_closed_ends_with_fin(loop_kind: Any) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(HEAD + http_chunk(LINE))
        await visit.watch_end(go_on_s=0.2)

    async def main() -> None:
        async with raw_server(play) as server:
            ollama = backend(server.url)
            answer = await ollama.open(CALL)
            await answer.read()
            task = asyncio.create_task(answer.read())
            await asyncio.sleep(0.05)
            await cancelled(task)
            answer.close()
            visit = await server.visit()
            await asyncio.wait_for(visit.ended.wait(), 3)
            assert visit.saw_fin
            assert not visit.saw_reset
            await ollama.aclose()

    run(main(), loop_kind)


def test_a_clogged_answer_stops_the_backend_and_ends_with_fin(loop_kind: Any) -> None:
    sent_bytes = 0

    async def play(visit: Visit) -> None:
        nonlocal sent_bytes
        await visit.read_request()
        await visit.send(HEAD)
        loop = asyncio.get_running_loop()
        visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        end = asyncio.create_task(loop.sock_recv(visit.sock, 1))
        while not end.done():
            chunk = http_chunk(LINE) * 100
            await visit.send(chunk)
            sent_bytes += len(chunk)
            await asyncio.sleep(0)
        assert end.result() == b""
        await visit.watch_end(go_on_s=0.1)

    async def main() -> None:
        async with raw_server(play) as server:
            ollama = backend(server.url)
            answer = await ollama.open(CALL)
            seen = [answer.clogged]
            async with asyncio.timeout(5):
                while not seen[-1]:
                    await asyncio.sleep(0.01)
                    seen.append(answer.clogged)
            assert not seen[0]
            answer.close()
            visit = await server.visit()
            await asyncio.wait_for(visit.ended.wait(), 3)
            assert visit.saw_fin
            assert not visit.saw_reset
            await ollama.aclose()

    run(main(), loop_kind)
    assert sent_bytes > 512 * 1024


def test_closing_the_backend_ends_running_answers_with_fin_and_waits_for_them(loop_kind: Any) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(HEAD + http_chunk(LINE))
        await visit.watch_end(go_on_s=0.3)

    async def main() -> None:
        async with raw_server(play) as server:
            ollama = backend(server.url)
            answer = await ollama.open(CALL)
            await ollama.aclose()
            visit = await server.visit()
            await asyncio.wait_for(visit.ended.wait(), 3)
            assert visit.saw_fin
            assert not visit.saw_reset
            answer.close()

    run(main(), loop_kind)


def test_a_backend_that_ignores_the_fin_is_let_go_after_a_while(loop_kind: Any) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(HEAD + http_chunk(LINE))
        await asyncio.sleep(8)

    async def main() -> None:
        async with raw_server(play) as server:
            ollama = backend(server.url)
            answer = await ollama.open(CALL)
            answer.close()
            loop = asyncio.get_running_loop()
            begun = loop.time()
            await ollama.aclose()
            assert loop.time() - begun < 3

    run(main(), loop_kind)


async def test_the_request_is_built_and_not_copied() -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(HEAD + http_chunk(b'{"model":"m","done":true}\n') + b"0\r\n\r\n")

    async with raw_server(play) as server:
        ollama = backend(server.url)
        answer = await ollama.open(CALL)
        while await answer.read():
            pass
        request = (await server.visit()).request
        await ollama.aclose()

    head, _, body = request.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in rest}
    assert first == "POST /api/chat HTTP/1.1"
    assert headers == {
        "host": server.url.removeprefix("http://"),
        "authorization": "Bearer s3cret-canary",
        "accept": "application/x-ndjson, text/event-stream, application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": "neuronetz-gateway",
        "x-request-id": REQUEST_ID,
    }


async def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    async def play(visit: Visit) -> None:
        while True:
            visit.request = b""
            await visit.read_request()
            await visit.send(HEAD + http_chunk(b'{"model":"m","done":true}\n'))
            await asyncio.sleep(0.02)
            await visit.send(b"0\r\n\r\n")

    async with raw_server(play) as server:
        ollama = backend(server.url)
        for _ in range(3):
            answer = await ollama.open(CALL)
            while await answer.read():
                pass
            answer.close()
        assert len(server.visits) == 1
        await ollama.aclose()


async def test_a_body_of_two_megabytes_goes_in_one_piece() -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(HEAD + http_chunk(b'{"model":"m","done":true}\n') + b"0\r\n\r\n")

    async with raw_server(play) as server:
        ollama = backend(server.url)
        answer = await ollama.open(upstream_of(chat("m", text="x" * 2_000_000), ours="m"))
        answer.close()
        head = (await server.visit()).request.partition(b"\r\n\r\n")[0].lower()
        await ollama.aclose()

    assert b"content-length: 2000" in head
    assert b"transfer-encoding" not in head


async def test_a_refused_connection_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ollama = backend(f"http://127.0.0.1:{port}")

    with pytest.raises(BackendUnreachable):
        await ollama.open(CALL)
    await ollama.aclose()


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    ollama = backend("http://no-such-name.invalid:11434")

    with pytest.raises(BackendUnreachable):
        await ollama.open(CALL)
    await ollama.aclose()


@pytest.mark.parametrize("cut_at", [0, 1, 20, len(HEAD), len(HEAD) + 10])
async def test_a_connection_that_breaks_after_the_request_has_failed_and_is_not_tried_again(cut_at: int) -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send((HEAD + http_chunk(LINE))[:cut_at])

    async with raw_server(play) as server:
        ollama = backend(server.url)
        with pytest.raises(BackendFailed) as caught:
            await drain(ollama, CALL)
        assert len(server.visits) == 1
        await ollama.aclose()
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "canary" not in repr(chain)
        assert "canary" not in str(vars(chain))
        chain = chain.__cause__ or chain.__context__


async def test_a_kept_connection_that_the_backend_closed_meanwhile_has_failed_and_is_not_tried_again() -> None:
    async def play(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(HEAD + http_chunk(b'{"model":"m","done":true}\n') + b"0\r\n\r\n")
        visit.request = b""
        await visit.read_request()

    async with raw_server(play) as server:
        ollama = backend(server.url)
        answer = await ollama.open(CALL)
        while await answer.read():
            pass
        with pytest.raises(BackendFailed):
            await ollama.open(CALL)
        assert len(server.visits) == 1
        await ollama.aclose()
