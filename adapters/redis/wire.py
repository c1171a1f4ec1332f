"""One connection to the server, ready for scripts: opened as the URL says, every script known, its run id read.

redis-py opens it (TCP, TLS or unix socket, AUTH, SELECT) and reads replies. Its retries are off: by default it tries
ten times, time-outs included, so that a script whose reply was lost would run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from adapters.redis.scripts import Scripts
from adapters.redis.words import packed

Reply = bytes | int | list[Any] | None | ResponseError
"""What a server says; an error is said, not raised, because it belongs to one of the commands under way."""

_RUN_ID = re.compile(rb"^run_id:(\S+)", re.MULTILINE)


class Wire:
    """An open connection. Writing and reading are two tasks of one owner; nobody else touches it."""

    def __init__(self, connection: AbstractConnection, run_id: str) -> None:
        self._connection = connection
        self.run_id = run_id
        """Of the server's present run: another one may have other contents."""

    @classmethod
    async def open(cls, url: str, scripts: Scripts, *, timeout_s: float) -> Wire:
        """Connects and makes ready.

        Raises:
            OSError, TimeoutError, RedisError: it cannot be used now.
        """
        connection = _connection(url)
        try:
            async with asyncio.timeout(timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
                wire = cls(connection, run_id="")
                wire.run_id = await wire._prepare(scripts)
                return wire
        except BaseException:
            await _hang_up(connection)
            raise

    async def write(self, commands: Sequence[bytes]) -> None:
        """Sends commands, in this order, in one write.

        Raises:
            OSError, RedisError: the connection is lost.
        """
        if not self._connection.is_connected:  # redis-py would quietly open another one
            raise ConnectionResetError("the connection to the store is closed")
        await self._connection.send_packed_command(b"".join(commands), check_health=False)

    async def read(self) -> Reply:
        """The next reply.

        Raises:
            OSError, RedisError: the connection is lost.
        """
        try:
            reply: Reply = await self._connection.read_response(disable_decoding=True)
        except ResponseError as said:
            return said
        return reply

    async def close(self) -> None:
        """Ends it at once."""
        await _hang_up(self._connection)

    async def _prepare(self, scripts: Scripts) -> str:
        commands = [*scripts.loading, packed("INFO", "server")]
        await self.write(commands)
        replies = [await self.read() for _ in commands]
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        found = _RUN_ID.search(replies[-1]) if isinstance(replies[-1], bytes) else None
        if found is None:
            raise RedisError("the server does not say its run id")
        return found[1].decode("ascii", errors="replace")


def check_url(url: str) -> None:
    """Reads the URL without connecting.

    Raises:
        ValueError: it is none of `redis://`, `rediss://` and `unix://`, or has an option that means nothing.
    """
    try:
        _connection(url)
    except TypeError as error:
        raise ValueError("the store's URL has an unknown option") from error


def _connection(url: str) -> AbstractConnection:
    options: dict[str, Any] = {**parse_url(url)}
    kind = options.pop("connection_class", Connection)
    options |= {
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "socket_timeout": None,  # the lane bounds each answer itself; a bound here would cost a timer a reply
        "health_check_interval": 0,
    }
    connection: AbstractConnection = kind(**options)
    return connection


async def _hang_up(connection: AbstractConnection) -> None:
    with contextlib.suppress(OSError, RedisError):
        await connection.disconnect(nowait=True)
    await asyncio.sleep(0)  # the transport closes its socket in the next turn
