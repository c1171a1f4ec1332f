"""A server on bare sockets: says exactly what it is told to say, and sees exactly how the connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import attrs

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
LINE = b'{"model":"m","created_at":"t","message":{"role":"assistant","content":"word"},"done":false}\n'


def http_chunk(octets: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(octets), octets)


@attrs.define
class Visit:
    """One connection, as the server sees it."""

    sock: socket.socket
    request: bytes = b""
    saw_fin: bool = False
    saw_reset: bool = False
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def _receive(self) -> bytes:
        octets = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if not octets:
            raise ConnectionResetError("the client is gone")
        return octets

    async def read_request(self) -> bytes:
        while b"\r\n\r\n" not in self.request:
            self.request += await self._receive()
        head, _, body = self.request.partition(b"\r\n\r\n")
        length = next(
            (int(one.split(b":")[1]) for one in head.split(b"\r\n") if one.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += await self._receive()
        self.request = head + b"\r\n\r\n" + body
        return self.request

    async def send(self, octets: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, octets)

    async def watch_end(self, *, go_on_s: float = 0.0) -> None:
        """Reads to the client's end, then goes on sending for a while as Ollama does, and closes."""
        loop = asyncio.get_running_loop()
        try:
            while await loop.sock_recv(self.sock, 65536):
                pass
            self.saw_fin = True
            until = loop.time() + go_on_s
            while loop.time() < until:
                await self.send(http_chunk(LINE))
                await asyncio.sleep(0.02)
            await self.send(b"0\r\n\r\n")
            await asyncio.sleep(0.02)
            await self.send(b"")
            self.sock.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(self.sock, 65536):
                pass
        except OSError:
            self.saw_reset = True
        finally:
            self.ended.set()


@attrs.define
class RawServer:
    url: str
    visits: list[Visit] = attrs.field(factory=list)

    async def visit(self, number: int = 0) -> Visit:
        async with asyncio.timeout(5):
            while len(self.visits) <= number:  # noqa: ASYNC110 -- the accept loop has no event for each visit
                await asyncio.sleep(0.005)
        return self.visits[number]


@contextlib.asynccontextmanager
async def raw_server(play: Callable[[Visit], Awaitable[None]]) -> AsyncIterator[RawServer]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    server = RawServer(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def entertain(visit: Visit) -> None:
        try:
            await play(visit)
        except OSError:
            visit.saw_reset = True
        finally:
            visit.ended.set()
            visit.sock.close()

    async def accept() -> None:
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.setblocking(False)
            visit = Visit(sock)
            server.visits.append(visit)
            tasks.add(asyncio.create_task(entertain(visit)))

    accepting = asyncio.create_task(accept())
    try:
        yield server
    finally:
        accepting.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(accepting, *tasks, return_exceptions=True)
        listener.close()
