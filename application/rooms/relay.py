"""Room 7: pieces out as they come, each one counted, none kept.

The backend is read into a bounded buffer by its adapter whatever the client does, so a slow reader never holds up a
GPU; the sweep over live calls cuts a reader that lets the buffer fill. Of a call that drains, whose client is gone,
pieces are counted and go nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib

from application.live_calls import LiveCall, Waiting
from application.presented import Rates, Reply
from domain.calls import Bounds
from domain.faults import BackendFailed, BackendFault, FaultCode
from domain.ports.model_backend import Answer
from domain.ports.surroundings import Clock
from domain.tally import Piece, Tally

REST_S = 1.0
_SENT_AT_ONCE = 256 * 1024
"""Bytes of a whole answer that a client must take in the time that it has for a piece of a stream."""


class CapBroken(Exception):
    """The backend goes on past its cap: it is cut."""


async def relay(
    answer: Answer,
    first: Piece,
    reply: Reply,
    *,
    rates: Rates,
    bounds: Bounds,
    tally: Tally,
    live: LiveCall,
    clock: Clock,
) -> None:
    """Passes a streamed answer on until the dialect's own end.

    Raises:
        BackendFailed: it broke off. The end of HTTP without the dialect's end mark counts as broken off: a clean 200
            can end without its final object (Ollama's repeat guard, a killed runner).
        CapBroken: cut.
    """
    piece: Piece | None = first
    while piece is not None:
        tally.see(piece)
        if piece.error is not None:
            raise BackendFailed(code=FaultCode.STREAM_BROKEN)
        if tally.over(bounds):
            raise CapBroken
        if piece.raw and not live.drains:
            live.waits_for, live.since_s = Waiting.READER, clock.monotonic_s()
            await (reply.send(piece.raw) if reply.begun else reply.begin(rates, piece.raw))
        if tally.ended:
            break
        live.waits_for, live.since_s = Waiting.NEXT_BYTE, clock.monotonic_s()
        piece = await answer.read()
    if not tally.ended:
        raise BackendFailed("The model backend broke off its answer. Please try again.", FaultCode.STREAM_BROKEN)
    if live.drains:
        return
    live.waits_for, live.since_s = Waiting.READER, clock.monotonic_s()
    if not reply.begun:
        await reply.begin(rates, b"")
    await reply.finish()


async def read_to_end(answer: Answer) -> None:
    """Reads what HTTP still has after the dialect's end, normally nothing, so that the connection can be used again."""
    with contextlib.suppress(TimeoutError, BackendFault):
        async with asyncio.timeout(REST_S):
            while await answer.read() is not None:
                pass


async def relay_whole(
    answer: Answer, first: Piece, reply: Reply, *, rates: Rates, tally: Tally, live: LiveCall, clock: Clock
) -> None:
    """Passes an answer on that comes in one piece. It is read whole first, so that a failure is still a status.

    An answer without its proper end (`done:false`, `finish_reason:null`) is passed on as it is, as far as it is
    whole JSON: the client sees what Ollama would have shown it.
    """
    parts = []
    piece: Piece | None = first
    while piece is not None:
        tally.see(piece)
        if piece.error is not None:
            raise BackendFailed
        parts.append(piece.raw)
        live.waits_for, live.since_s = Waiting.NEXT_BYTE, clock.monotonic_s()
        piece = await answer.read()
    if live.drains:
        return
    whole = b"".join(parts)
    live.waits_for, live.since_s = Waiting.READER, clock.monotonic_s()
    await reply.begin(rates, whole[:_SENT_AT_ONCE], length=len(whole))
    for start in range(_SENT_AT_ONCE, len(whole), _SENT_AT_ONCE):
        live.since_s = clock.monotonic_s()
        await reply.send(whole[start : start + _SENT_AT_ONCE])
    await reply.finish()
