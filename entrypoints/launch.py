"""Starting to serve: migrate, bind, run one Hypercorn worker on one event loop, stop in order.

SIGTERM or SIGINT -> not ready, no new connections -> running calls end, or are cut when the drain time is over
                  -> everything owed is settled -> stores and backends are let go

A second signal cuts the running calls at once; the rest stays as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
import uvloop
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from starlette.applications import Starlette

from adapters.postgres.migrating import upgrade
from entrypoints.gateway import Gateway, open_gateway
from entrypoints.http.app import make_app
from entrypoints.observing import set_up_logs
from entrypoints.settings import Settings

_BACKLOG = 2048
_NEVER_RECONNECT = 10**9
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = structlog.get_logger("neuronetz")

WhenReady = Callable[[], Awaitable[None]]


class PortTaken(Exception):
    """The address cannot be listened on; says why and what to do."""


class GatewayBroken(Exception):
    """A loop ended that never should, so the process stopped itself."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Serves until a signal says to stop.

    Raises:
        SettingsError: something that serving needs is not set.
        PortTaken: the port cannot be listened on.
    """
    settings.need("DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "OLLAMA_BACKENDS")
    set_up_logs(settings.log_level, settings.log_format)
    applied = upgrade(settings.need_database_url().unwrap())
    if applied:
        _log.info("migrated", revisions=list(applied))
    listener = listen(host, port)
    uvloop.run(serve_on(settings, listener))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"Cannot listen on {host}:{port} ({error.strerror}). Choose another with --port or PORT."
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


async def serve_on(settings: Settings, listener: socket.socket, when_ready: WhenReady | None = None) -> None:
    """Serves on a socket until SIGTERM or SIGINT, or until `when_ready`, if given, raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    async with open_gateway(settings) as gateway:
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, _stop, gateway, stop)
        server = asyncio.create_task(run_server(gateway, settings, listener, stop))
        host, port = listener.getsockname()[:2]
        _log.info("serving", host=host, port=port)
        try:
            if when_ready is not None:
                await _unless(server, when_ready())
                stop.set()
        except BaseException:
            stop.set()
            raise
        finally:
            await server
        if gateway.broken.is_set():
            raise GatewayBroken("The gateway had to stop; its log says which loop ended. Start it again.")


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _stop(gateway: Gateway, stop: asyncio.Event) -> None:
    if stop.is_set():
        gateway.cut_all()
    stop.set()


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


def _config(settings: Settings, listener: socket.socket) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = None
    # Running calls are ended by our own drain; Hypercorn must not cut them before that.
    config.graceful_timeout = settings.drain_timeout_s + 10
    config.shutdown_timeout = settings.drain_timeout_s + 10
    config.keep_alive_max_requests = _NEVER_RECONNECT
    config.keep_alive_timeout = 75
    config.backlog = _BACKLOG
    return config


async def run_server(gateway: Gateway, settings: Settings, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serves an open gateway on a socket until the event is set, and drains it."""

    async def told_to_stop() -> None:
        await _first_of(stop, gateway.broken)
        _log.info("stopping", calls=len(gateway.live_calls))
        gateway.begin_to_stop()

    app = make_app(gateway.door, _lifespan_of(gateway))
    await hypercorn_serve(app, _config(settings, listener), shutdown_trigger=told_to_stop)  # type: ignore[arg-type]  # Starlette's and Hypercorn's ASGI types differ in name only


def _lifespan_of(gateway: Gateway) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await gateway.first_survey()
        yield
        await gateway.drained()

    return lifespan
