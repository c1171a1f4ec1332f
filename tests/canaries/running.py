"""A gateway in this very process, put together by its own composition root, in front of real stores and a backend."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from io import StringIO

import attrs
import httpx
import redis
import structlog
from dependency_injector import providers

from adapters.redis import names
from entrypoints.container import Parts
from entrypoints.gateway import Gateway, open_gateway
from entrypoints.launch import run_server
from entrypoints.listening import listen
from entrypoints.observing import set_up_logs
from entrypoints.settings import Settings
from entrypoints.settings_words import LogFormat
from tests.canaries.crashes import Crash, Planner
from tests.e2e.house import House, Key

PATIENCE_S = 8.0


@attrs.define(eq=False)
class Running:
    """The gateway, its parts, and a client of it."""

    house: House
    gateway: Gateway
    parts: Parts
    planner: Planner
    client: httpx.AsyncClient
    log: StringIO

    async def idle(self) -> None:
        """Returns when no call is left and everything owed is paid."""
        async with asyncio.timeout(PATIENCE_S):
            while self.left:  # noqa: ASYNC110  what is looked at tells nobody
                await asyncio.sleep(0.002)

    @property
    def left(self) -> dict[str, int]:
        """What calls have left behind in this process; nothing, when all have ended well."""
        parts = {
            "calls": len(self.gateway.live_calls),
            "settlements": self.parts.ledger_lane().unsettled,
            "turns": sum(self.parts.turns().in_flight.values()),
            "waiting": self.parts.turns().waiting,
            "slots": len(self.gateway.live_calls.slots()),
        }
        return {name: number for name, number in parts.items() if number}

    def left_in_stores(self, key: Key) -> dict[str, int]:
        """What calls have left behind where others see it."""
        left = {"holds": self.house.open_holds()}
        with redis.Redis.from_url(self.house.redis_url) as plain:
            for name in (names.slots(key.tenant_id), names.slots(key.tenant_id, key.id)):
                left[name] = plain.zcard(name)
            for name in plain.scan_iter("nz:{turns}:at:*"):
                left[name.decode()] = 1
        return {name: number for name, number in left.items() if number}


@contextlib.contextmanager
def logs_of(settings: Settings) -> Iterator[StringIO]:
    """Everything that is logged; afterwards logging is as it was."""
    before = logging.getLogger().handlers[:], logging.getLogger().level
    said = StringIO()
    set_up_logs(settings.log_level, LogFormat.JSON, said)
    structlog.configure(cache_logger_on_first_use=False)  # else loggers would remember all this
    try:
        yield said
    finally:
        logging.getLogger().handlers, level = before
        logging.getLogger().setLevel(level)
        structlog.reset_defaults()


@contextlib.asynccontextmanager
async def running(house: House, crash: Crash | None = None, **extra: str) -> AsyncIterator[Running]:
    """Serves until the block ends; then drains as on SIGTERM.

    Args:
        house: its stores and its backend.
        crash: planned from the very beginning. Then it is not waited for the gateway to be ready.
        extra: settings.
    """
    settings = Settings.from_environment(house.environ | extra)
    planner = Planner(crash)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    listener: socket.socket = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    parts = Parts(settings=providers.Object(settings))
    with logs_of(settings) as log, planner.at_work(loop):
        async with open_gateway(settings, parts) as gateway, httpx.AsyncClient(base_url=url, timeout=10) as client:
            server = asyncio.create_task(run_server(gateway, settings, listener, stop))
            try:
                if crash is None:
                    await _ready(client)
                yield Running(house, gateway, parts, planner, client, log)
            finally:
                planner.plan_none()
                stop.set()
                gateway.hurry()
                await server


async def _ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.02)
