"""Hypercorn's server of one connection, with one of the two HTTP/1 classes, and with ends that do not wait for ever."""

from __future__ import annotations

import asyncio
import contextlib

from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Event, RawData
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr
from starlette.types import ASGIApp

from domain.faults import FaultCode, Overloaded
from entrypoints.http1.answering import whole
from entrypoints.http1.connection import Http1Connection
from entrypoints.http1.edge import Edge
from entrypoints.http1.flushing import flushed
from entrypoints.http1.stock import StockConnection

_FLUSH_S = 5.0
"""For a connection's last bytes to be taken. A client that does not read would otherwise keep it for ever."""

_TURNED_AWAY_S = 1.0
"""For one client too many to see why."""


async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, edge: Edge) -> None:
    """Answers one client too many, whatever it asks, and ends its connection."""
    peer = writer.get_extra_info("peername")
    fault = Overloaded(FaultCode.OVERLOADED, "Too many connections are open. Please try again.")
    try:
        writer.write(whole(edge.refuse(fault, b"", peer[0] if peer else "")))
        writer.write_eof()
        async with asyncio.timeout(_TURNED_AWAY_S):
            while await reader.read(MAX_RECV):
                pass
    except (TimeoutError, OSError):
        pass
    finally:
        writer.transport.abort()


class Connection(TCPServer):
    """One connection, let go when its client closes it, and within bounds when we do.

    Hypercorn ends it too, but then waits for its idle timer: each client that has gone would cost a descriptor and a
    parser until the keep-alive time is over. And when it closes one, it waits until all that was sent is taken.
    """

    protocol: Http1Connection | StockConnection  # type: ignore[assignment]  # its wrapper chooses HTTP/2 as well

    def __init__(
        self,
        app: ASGIApp,
        wrapped: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: LifespanState,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        edge: Edge,
        stock: bool,
    ) -> None:
        super().__init__(wrapped, asyncio.get_running_loop(), config, context, state, reader, writer)
        self._application = app
        self._edge = edge
        self._stock = stock

    async def run(self) -> None:
        """Until the connection has ended, and everything that was served on it."""
        try:
            async with TaskGroup(self.loop) as tasks:
                self._task_group = tasks
                self.protocol = self._protocol(tasks)
                await self.protocol.initiate()
                if self._stock:
                    await self.idle_task.restart(tasks, self._idle_timeout)
                await self._read_data()
        except* OSError:
            pass  # it ended before it began
        finally:
            await self._close()

    def _protocol(self, tasks: TaskGroup) -> Http1Connection | StockConnection:
        socket = self.writer.get_extra_info("socket")
        client = parse_socket_addr(socket.family, socket.getpeername())
        server = parse_socket_addr(socket.family, socket.getsockname())
        state = ConnectionState(self.state)
        if not self._stock:
            return Http1Connection(
                self._application, self._edge, self.context, tasks, self.writer,
                client=client, server=server, state=state,
            )  # fmt: skip
        return StockConnection(
            self.app, self.config, self.context, tasks, self.protocol_send,
            client=client, server=server, state=state, edge=self._edge, linger=self._linger,
        )  # fmt: skip

    def close_if_idle(self) -> None:
        """Ends it if nothing is being served on it. Hypercorn's own class does by itself."""
        protocol = getattr(self, "protocol", None)  # there is none before `run`, nor if the client had gone by then
        if isinstance(protocol, Http1Connection):
            protocol.close_if_idle()

    async def protocol_send(self, event: Event) -> None:
        """What Hypercorn's own class sends."""
        if isinstance(event, RawData):
            async with self.send_lock:
                with contextlib.suppress(RuntimeError):  # closed already
                    self.writer.write(event.data)
                    await flushed(self.writer, self._edge.send_s)
        else:
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def _close(self) -> None:
        forced = self._abort_in(_FLUSH_S)
        try:
            await super()._close()
        finally:
            forced.cancel()

    async def _initiate_server_close(self) -> None:
        self._abort_in(_FLUSH_S)
        await super()._initiate_server_close()

    def _linger(self) -> None:
        self._abort_in(self._edge.linger_s)
        if not self.writer.transport.is_closing():
            with contextlib.suppress(OSError):  # the client has gone, and we are told in a moment
                self.writer.write_eof()

    def _abort_in(self, seconds: float) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, self.writer.transport.abort)
