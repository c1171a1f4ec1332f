"""What runs in a child: one gateway on the shared socket, tied to the parent by the line."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
import uvloop
from structlog.typing import EventDict, WrappedLogger

from entrypoints.gateway import Gateway, open_gateway
from entrypoints.launch import Step, Stop, require_whole, run_server
from entrypoints.observing import set_up_logs
from entrypoints.parent.line import Line, Word
from entrypoints.settings import Settings

READY_PATIENCE_S = 20.0
_LOOK_EVERY_S = 0.2
_log = structlog.get_logger("neuronetz")


class NotReady(Exception):
    """A new child that must be ready is not; the log says why, and the one it was to replace serves on."""


def serve_child(settings: Settings, place: int, listener_fd: int, line_fd: int, *, only_when_ready: bool) -> None:
    """Serves on an inherited socket until a signal or the parent's end says to stop.

    Args:
        settings: read by this program itself.
        place: 1 to N, for the log.
        listener_fd: the shared socket.
        line_fd: our end of the line.
        only_when_ready: whether to accept connections only when every part is well.

    Raises:
        SettingsError: something that serving needs is not set.
        NotReady: as it says.
    """
    settings.need("DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "OLLAMA_BACKENDS")
    set_up_logs(settings.log_level, settings.log_format)
    _name_in_logs(place)
    listener, end = socket.socket(fileno=listener_fd), socket.socket(fileno=line_fd)
    listener.setblocking(False)
    uvloop.run(_serve(settings, listener, end, only_when_ready=only_when_ready))


def _name_in_logs(place: int) -> None:
    def named(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", place)
        return event

    structlog.configure(processors=[named, *structlog.get_config()["processors"]])


async def _serve(settings: Settings, listener: socket.socket, end: socket.socket, *, only_when_ready: bool) -> None:
    stop = Stop()
    stop.on_signals()
    line = await Line.over(end)
    async with open_gateway(settings) as gateway, _tied(line, stop, gateway):
        stop.concerns(gateway)
        if only_when_ready:
            await _ready(gateway, stop)

        def tell(step: Step) -> None:
            line.say(Word[step.name])

        await run_server(gateway, settings, listener, stop.asked, tell)
        require_whole(gateway)


async def _ready(gateway: Gateway, stop: Stop) -> None:
    """Returns when every part is well, or when it is to stop.

    Raises:
        NotReady: one is not, for too long.
    """
    await gateway.first_survey()
    parts = await gateway.readiness.parts()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_PATIENCE_S):
            while not gateway.readiness.ready(parts) and not stop.asked.is_set():
                await asyncio.sleep(_LOOK_EVERY_S)
                parts = await gateway.readiness.parts()
    if not gateway.readiness.ready(parts) and not stop.asked.is_set():
        _log.error("process_not_ready", parts={part: state for part, state in parts.items() if state != "ok"})
        raise NotReady


@contextlib.asynccontextmanager
async def _tied(line: Line, stop: Stop, gateway: Gateway) -> AsyncIterator[None]:
    """Answers the parent, and stops when it is gone."""
    task = asyncio.create_task(_attend(line, stop, gateway.render))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.close()


async def _attend(line: Line, stop: Stop, render: Callable[[], Awaitable[bytes]]) -> None:
    async for word, _ in line.words():
        match word:
            case Word.METRICS:
                line.say(Word.METRICS, await _rendered(render))
            case Word.LEAVE:
                stop.asked.set()  # not `hear`: a signal may come as well, before or after, and is no haste then
            case Word.HURRY:
                stop.hurry()
            case Word.LISTENING | Word.LEAVING:
                pass  # what a child says
    if not stop.asked.is_set():
        _log.warning("parent_gone")
        stop.asked.set()


async def _rendered(render: Callable[[], Awaitable[bytes]]) -> bytes:
    try:
        return await render()
    except Exception:  # noqa: BLE001  a bug in a number must not cost the line: nothing else would tell us to leave
        _log.exception("metrics_not_rendered")
        return b""
