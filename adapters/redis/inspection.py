"""Asks Redis or Valkey how it is doing, on a connection of its own. Changes nothing there."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from redis.exceptions import RedisError, ResponseError

from adapters.redis import names
from adapters.redis.scripts import Scripts
from adapters.redis.wedge_board import said_by
from adapters.redis.wire import Reply, Wire
from adapters.redis.words import packed
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.inspection import ClockReading, LimiterFacts, LimiterInspection

_PINGS = 20
_PATIENCE_S = 3.0


class RedisInspection(LimiterInspection):
    """One look at one server."""

    def __init__(self, url: str, scripts: Scripts, *, patience_s: float = _PATIENCE_S) -> None:
        """Takes the scripts that gateways load: a server that refuses them is of no use."""
        self._url = url
        self._scripts = scripts
        self._patience_s = patience_s

    async def look(self) -> LimiterFacts:
        """See the port."""
        try:
            async with asyncio.timeout(self._patience_s):
                wire = await Wire.open(self._url, self._scripts, timeout_s=self._patience_s)
                try:
                    return await _facts(wire)
                finally:
                    await wire.close()
        except (OSError, RedisError) as error:  # TimeoutError is an OSError
            raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, _why(error)) from error


async def _facts(wire: Wire) -> LimiterFacts:
    before_s = time.time()
    seconds, microseconds = await _ask(wire, "TIME")  # type: ignore[misc]  # a reply has no type; TIME's are two
    here_s = (before_s + time.time()) / 2
    server_s = int(seconds) + int(microseconds) / 1_000_000
    said = _lines(await _ask(wire, "INFO"))
    valkey = said.get("valkey_version")
    return LimiterFacts(
        name="Valkey" if valkey else "Redis",
        version=valkey or said.get("redis_version", "0"),
        clock=ClockReading(at=datetime.fromtimestamp(server_s, UTC), ahead_s=here_s - server_s),
        eviction=said.get("maxmemory_policy", "unknown"),
        role=said.get("role", "unknown"),
        used_bytes=int(said.get("used_memory", "0")),
        most_bytes=int(said.get("maxmemory", "0")),
        saves=said.get("aof_enabled") == "1" or said.get("rdb_saves", "0") != "0",
        pings_ms=[await _ping_ms(wire) for _ in range(_PINGS)],
        wedged=sorted(
            runner for runner, wedged in said_by(await _ask(wire, "HGETALL", names.WEDGED)).items() if wedged
        ),
    )


async def _ask(wire: Wire, *words: str) -> Reply:
    await wire.write([packed(*words)])
    reply = await wire.read()
    if isinstance(reply, ResponseError):
        raise reply
    return reply


async def _ping_ms(wire: Wire) -> float:
    before_s = time.monotonic()
    await _ask(wire, "PING")
    return (time.monotonic() - before_s) * 1000


def _lines(reply: Reply) -> dict[str, str]:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else ""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, _, value in pairs}


def _why(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"Redis cannot be asked: {said[0].rstrip('.') if said else 'it did not answer in time'}."
