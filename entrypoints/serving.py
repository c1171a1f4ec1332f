"""One worker of Hypercorn's parts, with an end in our order.

    accepting -> no new connections -> linger -> idle connections closed -> the others end -> lifespan shut down

Hypercorn's own loop closes idle connections in the instant it is told to stop. A connection that was accepted and
whose request is still on its way would then be closed in its caller's face, and with several processes on one socket
that happens at each restart. So between the last accepted connection and the first closed one there is a linger: what
comes in meanwhile is served, and each answer tells its client to come back on another connection.

Hypercorn is pinned to the minor version whose parts are used here (pyproject.toml).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import attrs
import structlog
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, LifespanState
from hypercorn.utils import wrap_app
from starlette.applications import Starlette

_LOOK_EVERY_S = 0.05
_FLUSH_S = 5.0
"""For a connection's last bytes to be taken. A client that does not read would otherwise keep it for ever."""
_log = structlog.get_logger("neuronetz")


@attrs.define(eq=False)
class Worker:
    """A server that accepts connections until it is told to leave."""

    _listening: asyncio.Server
    _connections: set[asyncio.Task[None]]

    def stop_accepting(self) -> None:
        """Closes the listening socket. What waits in it is for the other processes that share it."""
        self._listening.close()

    async def linger(self, most_s: float, hurry: asyncio.Event) -> None:
        """Gives clients whose connections are open the time to send what is on its way.

        Args:
            most_s: after which it is over; sooner when nobody is connected.
            hurry: ends it at once.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not hurry.is_set():
                    # First the pause: what was accepted a moment ago is not among the connections yet.
                    await asyncio.sleep(_LOOK_EVERY_S)
                    if not self._connections:
                        return


class _Connection(TCPServer):
    """One connection, let go when its client closes it, and within bounds when we do.

    Hypercorn ends it too, but then waits for its idle timer: each client that has gone would cost a descriptor and a
    parser until the keep-alive time is over. And when it closes one, it waits until all that was sent is taken.
    """

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def _close(self) -> None:
        forced = self._force_later()
        try:
            await super()._close()
        finally:
            forced.cancel()

    async def _initiate_server_close(self) -> None:
        self._force_later()
        await super()._initiate_server_close()

    def _force_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(_FLUSH_S, self.writer.transport.abort)


@contextlib.asynccontextmanager
async def accepting(app: Starlette, config: Config, listener: socket.socket) -> AsyncIterator[Worker]:
    """Serves an application on a listening socket as long as the block runs; then lets every connection end.

    Args:
        app: whose lifespan starts before the first connection, and is shut down after the last.
        config: `graceful_timeout` is how many seconds connections have to end before they are cut.
        listener: closed at the end.
    """
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]  # Starlette's and Hypercorn's ASGI types differ in name only
    loop = asyncio.get_running_loop()
    context = WorkerContext(config.max_requests)
    connections: set[asyncio.Task[None]] = set()
    async with _alive(wrapped, config) as state:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(_Connection(wrapped, loop, config, context, state, reader, writer).run())
            connections.add(task)
            task.add_done_callback(connections.discard)
            task.add_done_callback(_told)

        listening = await asyncio.start_server(connected, sock=listener, backlog=config.backlog)
        try:
            yield Worker(listening, connections)
        finally:
            listening.close()
            await context.terminated.set()
            await _ended(connections, config.graceful_timeout)


@contextlib.asynccontextmanager
async def _alive(app: AppWrapper, config: Config) -> AsyncIterator[LifespanState]:
    state: LifespanState = {}
    lifespan = Lifespan(app, config, asyncio.get_running_loop(), state)
    task = asyncio.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if task.done():
        await task  # it failed
    try:
        yield state
    finally:
        await lifespan.wait_for_shutdown()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _told(connection: asyncio.Task[None]) -> None:
    if not connection.cancelled() and (error := connection.exception()) is not None:
        _log.warning("connection_failed", exc_info=error)


async def _ended(connections: set[asyncio.Task[None]], patience_s: float) -> None:
    if connections:
        await asyncio.wait(connections, timeout=patience_s)
    late = list(connections)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
