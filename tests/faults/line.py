"""A line that fails in every way that lines do: late, slow, deaf, cut, reset, half dead, refused.

It runs in a thread of its own, so a test may turn its faults on and off from wherever it is: each is a plain
attribute, looked at for every piece that passes. What is done at once (`reset`, `hang_up`) has been done when the call
returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

import attrs
from psycopg.conninfo import conninfo_to_dict

Address = Path | tuple[str, int]
"""A unix socket, or host and port."""
_PIECE = 64 * 1024
_OPENING = 2048
_LINGER_BY_RESET = struct.pack("ii", 1, 0)


@attrs.define
class Way:
    """One direction of the line, and what goes wrong with it."""

    latency_s: float = 0.0
    """How much later each piece arrives; pieces stay in order and may be under way together."""
    bytes_per_s: float | None = None
    lost: bool = False
    """What is sent is taken and thrown away: the sender notices nothing."""
    held: bool = False
    """Nothing is taken any more: the sender fills the buffers between, and then waits."""
    cut_after: int | None = None
    """How many bytes still pass before the connection that carries the next one ends; then it is None again."""
    cut_by: Literal["fin", "rst"] = "rst"
    passed: int = 0
    """Bytes that were sent on."""

    def clear(self) -> None:
        """Right again, from now on."""
        self.latency_s, self.bytes_per_s = 0.0, None
        self.lost = self.held = False
        self.cut_after = None


@attrs.frozen(eq=False)
class _Ends:
    """The two sockets of one connection."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    opening: bytearray = attrs.field(factory=bytearray)
    """What was said first."""

    def reset(self) -> None:
        for writer in (self.near, self.far):
            reset(writer)

    def close(self) -> None:
        for writer in (self.near, self.far):
            writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST instead of FIN (a unix socket knows no such difference)."""
    known = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        known.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_BY_RESET)
    writer.transport.abort()


def _held_port() -> socket.socket:
    """A free port that stays ours while nobody listens on it: another program's connection might take it."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server has: together they may have it
    place.bind(("127.0.0.1", 0))
    return place


class FaultyLine:
    """Listens on an address of its own and passes on to `far`."""

    def __init__(self, far: Address, near: Path | None = None) -> None:
        """Takes where to, and the unix socket to listen on; without one it is a free port of this host."""
        self._far = far
        self._near = near
        self.there = Way()
        """From who connects to who is connected to."""
        self.back = Way()
        """The replies."""
        self.leads_nowhere = False
        """New connections are taken, and nobody is behind them."""
        self.connections = 0
        """How many were ever taken."""
        self.port = 0
        self._open: set[_Ends] = set()
        self._half_dead: set[_Ends] = set()
        self._deaf: set[_Ends] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-line", daemon=True)
        self._server: asyncio.Server | None = None
        self._place: socket.socket | None = None

    # -- to where ------------------------------------------------------------------------------------------------

    @property
    def netloc(self) -> str:
        """Host and port, as a URL has them."""
        return f"127.0.0.1:{self.port}"

    def http_url(self) -> str:
        """Where a client or a gateway sends HTTP."""
        return f"http://{self.netloc}"

    def redis_url(self, real: str) -> str:
        """The store's URL by way of this line, with what `real` says of password and database."""
        if self._near is not None:
            return f"unix://{self._near}"
        parts = urlsplit(real)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(("redis", f"{login}@{self.netloc}" if login else self.netloc, "/0", "", ""))

    def database_url(self, real: str) -> str:
        """The database's URL by way of this line, as the gateway reads it."""
        parts = conninfo_to_dict(real)
        login = f"{quote(str(parts['user']), safe='')}:{quote(str(parts['password']), safe='')}"
        return f"postgresql://{login}@{self.netloc}/{parts['dbname']}"

    def lead_to(self, far: Address) -> None:
        """Leads new connections elsewhere, as an address does that fails over; the old ones stay where they are."""
        self._far = far

    @property
    def refuses(self) -> bool:
        """Nobody listens: a connection is refused before a byte of it could be sent."""
        return self._server is None

    @refuses.setter
    def refuses(self, refused: bool) -> None:
        if refused != self.refuses:
            self._do(self._stop_listening() if refused else self._listen())

    # -- what is done at once ------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Resets every connection."""
        self._do(self._end_all(by_reset=True))

    def hang_up(self) -> None:
        """Closes every connection properly."""
        self._do(self._end_all(by_reset=False))

    def die_half(self) -> None:
        """Lets who connected believe that the connections live, while nobody is at their other end any more."""
        self._do(self._lose_the_far_ends())

    def deafen(self, opening: bytes) -> None:
        """Loses all further replies to those connections in whose first words this is. New ones hear."""
        self._do(self._deafen(opening))

    def clear(self) -> None:
        """No faults, from now on."""
        self.there.clear()
        self.back.clear()
        self.refuses = self.leads_nowhere = False

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    # -- inside the thread ---------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        if self._near is not None:
            self._server = await asyncio.start_unix_server(self._take, str(self._near))
            return
        if self._place is None:
            self._place = _held_port()
            self.port = self._place.getsockname()[1]
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._near is not None:
            self._near.unlink(missing_ok=True)

    async def _stop(self) -> None:
        await self._stop_listening()
        await self._end_all(by_reset=True)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._place is not None:
            self._place.close()

    async def _end_all(self, *, by_reset: bool) -> None:
        for ends in self._open | self._half_dead:
            ends.reset() if by_reset else ends.close()
        self._open.clear()
        self._half_dead.clear()
        await asyncio.sleep(0)

    async def _lose_the_far_ends(self) -> None:
        self.there.lost = True  # an answer to what comes now would be a reset
        self._half_dead |= self._open
        self._open.clear()
        for ends in self._half_dead:
            ends.far.transport.abort()
        await asyncio.sleep(0)

    async def _deafen(self, opening: bytes) -> None:
        self._deaf |= {ends for ends in self._open if opening in ends.opening}

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.leads_nowhere:
            with contextlib.suppress(OSError):
                while await reader.read(_PIECE):
                    pass
            writer.close()
            return
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            reset(writer)
            return
        ends = _Ends(writer, far_writer)
        self._open.add(ends)
        for way, source, target in ((self.there, reader, far_writer), (self.back, far_reader, writer)):
            task = asyncio.create_task(self._carry(way, source, target, ends))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._far, Path):
            return await asyncio.open_unix_connection(str(self._far))
        return await asyncio.open_connection(*self._far)

    async def _carry(self, way: Way, source: asyncio.StreamReader, target: asyncio.StreamWriter, ends: _Ends) -> None:
        """Carries one direction of one connection to its end. A FIN is passed on as one, after what came before."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)
        delivery = asyncio.create_task(self._deliver(way, under_way, target, ends))
        try:
            with contextlib.suppress(OSError):
                while piece := await source.read(_PIECE):
                    while way.held:  # noqa: ASYNC110 - it is set from another thread
                        await asyncio.sleep(0.01)
                    if way is self.there and len(ends.opening) < _OPENING:
                        ends.opening.extend(piece[:_OPENING])
                    if not (way.lost or (way is self.back and ends in self._deaf)):
                        await under_way.put((self._loop.time() + way.latency_s, piece))
            await under_way.put((0.0, b""))
            await delivery
        finally:
            delivery.cancel()

    async def _deliver(
        self, way: Way, under_way: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter, ends: _Ends
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due_s, piece = await under_way.get()
                await asyncio.sleep(max(0.0, due_s - self._loop.time()))
                if not piece:
                    if target.can_write_eof() and ends in self._open:
                        target.write_eof()
                    return
                if way.cut_after is not None and len(piece) > way.cut_after:
                    target.write(piece[: way.cut_after])
                    way.passed += way.cut_after
                    way.cut_after = None
                    await self._cut(ends, way.cut_by, target)
                    return
                if way.cut_after is not None:
                    way.cut_after -= len(piece)
                way.passed += len(piece)
                target.write(piece)
                await target.drain()
                if way.bytes_per_s:
                    await asyncio.sleep(len(piece) / way.bytes_per_s)

    async def _cut(self, ends: _Ends, cut_by: Literal["fin", "rst"], target: asyncio.StreamWriter) -> None:
        await target.drain()
        await asyncio.sleep(0.01)  # what was written must be on the wire before a reset throws it away
        self._open.discard(ends)
        ends.reset() if cut_by == "rst" else ends.close()
