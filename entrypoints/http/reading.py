"""Where a body is read: what is short on the event loop, what is long beside it."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from weakref import WeakValueDictionary

from domain.calls import Call
from entrypoints.http.routes import Inference
from entrypoints.http.strict_json import is_light, read_object

_BESIDE_THE_LOOP: Final = ThreadPoolExecutor(1, thread_name_prefix="long-bodies")
"""One thread: each would compete with the loop for Python's lock."""
_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
"""One long body of a key at a time, so that those of others need not wait for all of its."""
_TURN_S: Final = 0.001


def take_short_turns() -> None:
    """Lets a thread keep Python's lock for a millisecond where another waits for it.

    By default it is five (`sys.setswitchinterval`): so late would the loop be each time it wakes up, as long as a body
    is read.
    """
    sys.setswitchinterval(_TURN_S)


async def call_in(body: bytes, route: Inference, whose: str) -> Call:
    """The call in a body.

    Args:
        body: what came.
        route: where to.
        whose: the public prefix of the key.

    Raises:
        Refusal: it cannot be read, or says what may not be asked.
    """
    if is_light(body):
        return route.read(read_object(body))
    turn = _turns.setdefault(whose, asyncio.Lock())
    async with turn:
        return await asyncio.get_running_loop().run_in_executor(_BESIDE_THE_LOOP, _read, body, route)


def _read(body: bytes, route: Inference) -> Call:
    return route.read(read_object(body))
