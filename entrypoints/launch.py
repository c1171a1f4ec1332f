"""Starting to serve: migrate, bind, run one worker on one event loop, stop in order.

SIGTERM, SIGINT or SIGHUP -> not ready, no new connections -> what is on its way on open ones is served, for a moment
                          -> nothing new -> running calls end, or are cut when the drain time is over
                          -> everything owed is settled -> stores and backends are let go

A second signal cuts the running calls at once; the rest stays as it is. SIGHUP is what a closed terminal sends; with
several processes it means more, and their parent takes it (`entrypoints/parent`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum

import attrs
import structlog
import uvloop
from hypercorn.config import Config
from starlette.applications import Starlette

from entrypoints.descriptors import room_for
from entrypoints.gateway import Gateway, open_gateway
from entrypoints.http.app import make_app
from entrypoints.http.unread import Unread
from entrypoints.http1.edge import Edge
from entrypoints.listening import BACKLOG, listen
from entrypoints.observability.listener import OFF, serve_metrics
from entrypoints.observing import set_up_logs
from entrypoints.serving import accepting
from entrypoints.settings import Settings
from entrypoints.settings_words import HttpParser

_NEVER_RECONNECT = 10**9
_AFTER_THE_CALL_S = 5.0
"""A reader that stalls is cut by its call, with a reason; by the connection only where there is no call."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LINGER_S = 1.0
"""Between the last connection that is accepted and the first that is closed: clients' requests are on their way."""
_MARGIN_S = 10
_log = structlog.get_logger("neuronetz")

WhenReady = Callable[[], Awaitable[None]]


class Step(Enum):
    """How far serving has come."""

    LISTENING = "listening"
    LEAVING = "leaving"


OnStep = Callable[[Step], None]


class GatewayBroken(Exception):
    """A loop ended that never should, so the process stopped itself."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Serves until a signal says to stop.

    Raises:
        SettingsError: something that serving needs is not set.
        PortTaken: the port cannot be listened on.
    """
    # Alembic is a third of what there is to load, and one of several processes has no use for it.
    from adapters.postgres.migrating import upgrade  # noqa: PLC0415  as above

    settings.need("DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "OLLAMA_BACKENDS")
    set_up_logs(settings.log_level, settings.log_format)
    applied = upgrade(settings.need_database_url().unwrap())
    if applied:
        _log.info("migrated", revisions=list(applied))
    listener = listen(host, port)
    uvloop.run(serve_on(settings, listener))


@attrs.define(eq=False)
class Stop:
    """Whether to stop, and how patiently."""

    asked: asyncio.Event = attrs.field(factory=asyncio.Event)
    _gateway: Gateway | None = None
    _signalled: bool = False

    def hear(self) -> None:
        """A signal: stops; the second one, cuts what runs. Whatever else sets `asked` is no signal."""
        if self._signalled:
            self.hurry()
        self._signalled = True
        self.asked.set()

    def hurry(self) -> None:
        """Stops, and does not wait for what runs."""
        self.asked.set()
        if self._gateway is not None:
            self._gateway.hurry()

    def on_signals(self) -> None:
        """Lets the signals ask; not SIGHUP if it was ignored from the start, which is what nohup does."""
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self.hear)

    def concerns(self, gateway: Gateway) -> None:
        """From now on there is something that may be cut."""
        self._gateway = gateway


async def serve_on(settings: Settings, listener: socket.socket, when_ready: WhenReady | None = None) -> None:
    """Serves on a socket until a signal says to stop, or until `when_ready`, if given, raises."""
    stop = Stop()
    stop.on_signals()
    async with open_gateway(settings) as gateway, _metrics(settings, gateway):
        stop.concerns(gateway)
        server = asyncio.create_task(run_server(gateway, settings, listener, stop.asked))
        host, port = listener.getsockname()[:2]
        _log.info("serving", host=host, port=port)
        try:
            if when_ready is not None:
                await _unless(server, when_ready())
                stop.asked.set()
        except BaseException:
            stop.asked.set()
            raise
        finally:
            await server
        require_whole(gateway)


def _metrics(settings: Settings, gateway: Gateway) -> contextlib.AbstractAsyncContextManager[None]:
    """Where this process's metrics are fetched. One of several hands them to its parent instead, which listens."""
    if settings.metrics_bind == OFF:
        return contextlib.nullcontext()
    return serve_metrics(settings.metrics_bind, gateway.render)


def require_whole(gateway: Gateway) -> None:
    """Raises `GatewayBroken` if the gateway stopped itself."""
    if gateway.broken.is_set():
        raise GatewayBroken("The gateway had to stop; its log says which loop ended. Start it again.")


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _unless(server: asyncio.Task[None], work: Awaitable[None]) -> None:
    """Does the work, unless the server ends first."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({server, task}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    else:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _edge(gateway: Gateway, settings: Settings) -> Edge:
    door = gateway.door
    unread = Unread(journal=door.journal, observer=door.observer, entropy=door.entropy)
    connections = room_for(settings.max_connections)
    if connections < settings.max_connections:
        _log.warning("few_file_descriptors", max_connections=connections, wished=settings.max_connections)
    return Edge(
        refuse=unread.answer,
        send_s=settings.send_timeout_s + _AFTER_THE_CALL_S,
        max_connections=connections,
    )


def _config(settings: Settings) -> Config:
    config = Config()
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = None
    # Running calls are ended by our own drain; the server must not cut them before that.
    config.graceful_timeout = settings.drain_timeout_s + _MARGIN_S
    config.shutdown_timeout = settings.drain_timeout_s + _MARGIN_S
    config.keep_alive_max_requests = _NEVER_RECONNECT
    config.keep_alive_timeout = 75
    config.backlog = BACKLOG
    return config


async def run_server(
    gateway: Gateway,
    settings: Settings,
    listener: socket.socket,
    stop: asyncio.Event,
    on_step: OnStep = lambda _: None,
) -> None:
    """Serves an open gateway on a socket until the event is set, and drains it."""
    app = make_app(gateway.door, _lifespan_of(gateway))
    stock = settings.http_parser is HttpParser.H11
    async with accepting(app, _config(settings), listener, _edge(gateway, settings), stock=stock) as worker:
        on_step(Step.LISTENING)
        await _first_of(stop, gateway.broken)
        _log.info("stopping", calls=len(gateway.live_calls))
        gateway.leave()
        worker.stop_accepting()
        on_step(Step.LEAVING)
        await worker.linger(LINGER_S, gateway.hurried)
        gateway.begin_to_stop()


def _lifespan_of(gateway: Gateway) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await gateway.first_survey()
        yield
        await gateway.drained()

    return lifespan
