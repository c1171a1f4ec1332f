"""Waiting for a client to take what was sent."""

from __future__ import annotations

import asyncio


async def flushed(writer: asyncio.StreamWriter, within_s: float) -> None:
    """Returns when there is room for more, or nobody to send to.

    Args:
        writer: to the client.
        within_s: seconds in which the client must take something, or the connection is cut. A slow reader may take
            as long as it likes.
    """
    transport = writer.transport
    waiting = transport.get_write_buffer_size()
    while True:
        try:
            async with asyncio.timeout(within_s):
                await writer.drain()
        except TimeoutError:
            left = transport.get_write_buffer_size()
            if left >= waiting:
                transport.abort()
                return
            waiting = left
        except (OSError, RuntimeError):
            return  # the client has gone, and whoever reads is told
        else:
            return
