"""What is under way on the lane, what has gone wrong there, and which errors pass by themselves."""

from __future__ import annotations

import asyncio

import attrs
from redis.exceptions import MasterDownError, OutOfMemoryError, ReadOnlyError, ResponseError

from adapters.redis.wire import Reply


@attrs.define(eq=False)
class UnderWay:
    """A command whose reply has not come yet."""

    command: bytes
    due_s: float
    answer: asyncio.Future[Reply] | None
    """None for what was told."""
    kept: bool = False
    """Whether it survives the connection."""
    again: bool = False
    """Whether it was sent once more after `NOSCRIPT`."""
    ends_loading: bool = False
    """Whether it loads the last of the scripts."""


@attrs.define
class LaneCounts:
    """What went wrong so far."""

    late: int = 0
    """Questions that got no answer within the budget."""
    lost: int = 0
    """Questions whose connection broke."""
    refused: int = 0
    """Error replies."""
    broken: int = 0
    """Connections that ended by themselves."""
    dropped: int = 0
    """What was told and could neither be sent nor kept."""


def will_pass(error: ResponseError) -> bool:
    """Whether the server cannot write for now: as a replica, with its memory or its disk full, without replicas."""
    passing = isinstance(error, ReadOnlyError | OutOfMemoryError | MasterDownError)
    return passing or str(error).startswith(("MISCONF", "NOREPLICAS", "BUSY"))
