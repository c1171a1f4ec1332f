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
from collections.abc import AsyncIterator, Collection

import attrs
import structlog
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, LifespanState
from hypercorn.utils import wrap_app
from starlette.applications import Starlette

from entrypoints.http1.edge import Edge
from entrypoints.http1.server import Connection, turn_away

_LOOK_EVERY_S = 0.05
_MOST_TURNED_AWAY = 256
"""Clients too many that are told so at one time; the rest are cut."""
_log = structlog.get_logger("neuronetz")


@attrs.define(eq=False)
class Worker:
    """A server that accepts connections until it is told to leave."""

    _listening: asyncio.Server
    _connections: Collection[asyncio.Task[None]]

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


@contextlib.asynccontextmanager
async def accepting(
    app: Starlette, config: Config, listener: socket.socket, edge: Edge, *, stock: bool = False
) -> AsyncIterator[Worker]:
    """Serves an application on a listening socket as long as the block runs; then lets every connection end.

    Args:
        app: whose lifespan starts before the first connection, and is shut down after the last.
        config: `graceful_timeout` is how many seconds connections have to end before they are cut.
        listener: closed at the end.
        edge: what a connection may cost.
        stock: whether Hypercorn's own HTTP/1 class speaks instead of ours.
    """
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]  # Starlette's and Hypercorn's ASGI types differ in name only
    context = WorkerContext(config.max_requests)
    connections: dict[asyncio.Task[None], Connection] = {}
    too_many: set[asyncio.Task[None]] = set()
    async with _alive(wrapped, config) as state:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(connections) >= edge.max_connections:
                if len(too_many) >= _MOST_TURNED_AWAY:
                    writer.transport.abort()
                    return
                away = asyncio.create_task(turn_away(reader, writer, edge))
                too_many.add(away)
                away.add_done_callback(too_many.discard)
                return
            connection = Connection(app, wrapped, config, context, state, reader, writer, edge=edge, stock=stock)
            task = asyncio.create_task(connection.run())
            connections[task] = connection
            task.add_done_callback(connections.pop)
            task.add_done_callback(_told)

        listening = await asyncio.start_server(connected, sock=listener, backlog=config.backlog)
        try:
            yield Worker(listening, connections)
        finally:
            listening.close()
            await context.terminated.set()
            for connection in connections.values():
                connection.close_if_idle()
            await _ended([*connections, *too_many], config.graceful_timeout)


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


async def _ended(connections: Collection[asyncio.Task[None]], patience_s: float) -> None:
    if connections:
        await asyncio.wait(connections, timeout=patience_s)
    late = list(connections)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
