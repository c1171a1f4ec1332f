"""The line between the parent and one child: a pair of connected sockets, and a few words on it.

    child  -> parent    LISTENING     it accepts connections
                        LEAVING       it has stopped accepting, and drains
                        METRICS       its exposition, as an answer
    parent -> child     METRICS       the question
                        LEAVE         stop in order
                        HURRY         and do not wait for running calls
    (the end of it)                   the other one is gone, in whatever way

A child is told to stop here rather than by a signal, because a second signal means haste, and there are those who
signal every process of a unit at once, the parent among them.

A word is one byte, then the length of what follows in four, then that. Both ends are programs of the same version or
nearly: a word that is not known is passed over, so that a rolling restart may bring new ones.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from enum import IntEnum

import attrs

_HEAD = struct.Struct("!BI")


class Word(IntEnum):
    """What is said on the line."""

    LISTENING = 1
    LEAVING = 2
    METRICS = 3
    LEAVE = 4
    HURRY = 5


_KNOWN = frozenset(word.value for word in Word)


@attrs.define(eq=False)
class Line:
    """One end of it."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @classmethod
    async def over(cls, end: socket.socket) -> Line:
        """This end, as part of the running event loop."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end))

    def say(self, word: Word, rest: bytes = b"") -> None:
        """Says something; to nobody, if the other end is gone."""
        if not self._writer.is_closing():
            self._writer.write(_HEAD.pack(word, len(rest)) + rest)

    async def words(self) -> AsyncIterator[tuple[Word, bytes]]:
        """What the other end says, until it is gone."""
        try:
            while True:
                number, length = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                rest = await self._reader.readexactly(length)
                if number in _KNOWN:
                    yield Word(number), rest
        except (asyncio.IncompleteReadError, OSError):
            return

    def close(self) -> None:
        """Ends the line, which the other end takes for our own end."""
        self._writer.close()
