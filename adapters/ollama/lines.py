"""Whole lines out of chunks that may end anywhere, and what the decoders of both dialects make of them in common.

The line limit is the one of Ollama's own client and runner, 8 MB: the final object of `/api/generate` carries
`context`, and one with twenty log probabilities a token is kilobytes (Ollama v0.33 `api/client.go`). A longer line
is a broken or hostile backend, and is not kept.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from domain.faults import BackendFailed
from domain.tally import Piece

MOST_LINE_BYTES: Final = 8 * 1024 * 1024
NOT_TEXT: Final = "The model backend sent something that is not text."
_CONTROL: Final = re.compile(r"[\x00-\x1f]")


def _is_sound(line: bytes) -> bool:
    """Whether a line is UTF-8 without control characters: neither JSON nor events have any inside a line, and a bare
    carriage return would be the end of one to a reader of events.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable() or _CONTROL.search(text.removesuffix("\r")) is None


class Lines:
    """Cuts a stream of bytes at line feeds."""

    __slots__ = ("_held", "_held_bytes", "most_bytes")

    def __init__(self) -> None:
        self.most_bytes = MOST_LINE_BYTES
        self._held: list[bytes] = []
        self._held_bytes = 0

    def feed(self, octets: bytes) -> list[bytes]:
        """The lines that are whole now, without their line feeds.

        Raises:
            BackendFailed: a line does not end.
        """
        lines = octets.split(b"\n")
        if self._held and len(lines) > 1:
            lines[0] = self.rest() + lines[0]
        begun = lines.pop()
        if begun:
            self._hold(begun)
        return lines

    def rest(self) -> bytes:
        """Takes what is left of a line without end."""
        held = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        return held

    def _hold(self, begun: bytes) -> None:
        self._held_bytes += len(begun)
        if self._held_bytes > self.most_bytes:
            self.rest()
            raise BackendFailed("The model backend sent a line that does not end.")
        self._held.append(begun)


class LineDecoder(ABC):
    """Bytes of one stream to pieces; see `ndjson` and `sse`."""

    def __init__(self) -> None:
        self._lines = Lines()
        self.fault: BackendFailed | None = None
        """What came after the last good line of a piece was not the protocol."""
        self.over = False
        """Whether the end mark or an error was seen: what comes after is not looked at."""
        self.cause: str | None = None
        """The backend's own words of an error; for the log only."""

    def feed(self, octets: bytes) -> Piece | None:
        """The piece that a chunk makes; None when nothing is whole yet."""
        try:
            lines = self._lines.feed(octets)
        except BackendFailed as fault:
            self.fault = fault
            return None
        return self._sound_piece(lines) if lines else None

    def allow(self, most_bytes: int) -> None:
        """Narrows how long a line may be."""
        self._lines.most_bytes = min(most_bytes, MOST_LINE_BYTES)

    def finish(self) -> Piece | None:
        """The piece of a last line without its line feed, at the end of HTTP."""
        rest = self._lines.rest()
        return self._sound_piece([rest]) if rest else None

    def _sound_piece(self, lines: list[bytes]) -> Piece | None:
        """The piece up to the first line that no reader of text could take."""
        for at, line in enumerate(lines):
            if not _is_sound(line):
                piece = self._piece(lines[:at])
                if not self.over:
                    self.fault = self.fault or BackendFailed(NOT_TEXT)
                return piece
        return self._piece(lines)

    @abstractmethod
    def _piece(self, lines: list[bytes]) -> Piece | None:
        """The piece that whole lines make, up to the first that ends or breaks the stream."""
