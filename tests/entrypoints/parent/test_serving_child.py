"""A child's end of the line."""

from __future__ import annotations

import asyncio
import socket

from entrypoints.launch import Stop
from entrypoints.parent.line import Line, Word
from entrypoints.parent.serving_child import _attend


async def _not_to_be_rendered() -> bytes:
    raise ValueError("a bug in a number")


async def test_metrics_that_cannot_be_rendered_cost_nothing_else() -> None:
    ours, theirs = socket.socketpair()
    parent, child, stop = await Line.over(ours), await Line.over(theirs), Stop()
    attending = asyncio.create_task(_attend(child, stop, _not_to_be_rendered))

    parent.say(Word.METRICS)
    parent.say(Word.LEAVE)
    async with asyncio.timeout(5):
        told = await anext(parent.words())
        await stop.asked.wait()

    assert told == (Word.METRICS, b"")  # an answer all the same: they come in the order of the questions
    parent.close()
    await attending
    child.close()
