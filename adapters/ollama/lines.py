"""Whole lines out of chunks that may end anywhere.

The line limit is the one of Ollama's own client and runner, 8 MB: the final object of `/api/generate` carries
`context`, and one with twenty log probabilities a token is kilobytes (Ollama v0.33 `api/client.go`). A longer line
is a broken or hostile backend, and is not kept.
"""

from __future__ import annotations

from typing import Final

from domain.faults import BackendFailed

MOST_LINE_BYTES: Final = 8 * 1024 * 1024


class Lines:
    """Cuts a stream of bytes at line feeds."""

    __slots__ = ("_held", "_held_bytes")

    def __init__(self) -> None:
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
        if self._held_bytes > MOST_LINE_BYTES:
            self.rest()
            raise BackendFailed("The model backend sent a line that does not end.")
        self._held.append(begun)
