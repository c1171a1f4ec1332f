"""Counts tokens as they pass, and says when to cut. I/O-free: pieces in, numbers out.

What a backend reports at the end is believed within bounds. When the end never comes (a hang-up, a crash, Ollama's
repeat guard that ends a clean 200 without its final object), what passed is counted: a streamed object is about one
token, and tokens are about four bytes, so the larger of the two counts (Ollama v0.33 `llm/llama_server.go`).
"""

from __future__ import annotations

import attrs

from domain.calls import Bounds

BYTES_PER_TOKEN = 4
CUT_SLACK = 16
"""Objects beyond the cap that honest backends may send: first role chunk, finish, split tags."""
OBJECTS_PER_TOKEN = 2
"""One parsed step can become a reasoning and a content chunk."""


@attrs.frozen
class Usage:
    """Token counts as a backend reports them; None where it said nothing."""

    prompt: int | None
    output: int | None


@attrs.define
class Piece:
    """What one read from a backend held, in our words. Made once a chunk on the hot path, hence mutable and plain."""

    raw: bytes
    """What goes to the client; may be empty when there is nothing to pass on yet."""
    objects: int = 0
    """Streamed objects that carry text."""
    text_bytes: int = 0
    usage: Usage | None = None
    ended: bool = False
    """Whether the dialect's own end mark was seen; the end of HTTP is not enough."""
    error: str | None = None
    """The backend's error, when it reported one in mid-stream."""


@attrs.define
class Tally:
    """The running count of one call."""

    objects: int = 0
    text_bytes: int = 0
    usage: Usage | None = None
    ended: bool = False

    def see(self, piece: Piece) -> None:
        """Adds one piece."""
        self.objects += piece.objects
        self.text_bytes += piece.text_bytes
        if piece.usage is not None:
            self.usage = piece.usage
        if piece.ended:
            self.ended = True

    def over(self, bounds: Bounds) -> bool:
        """Whether the backend has plainly broken its cap, so that the stream must be cut."""
        most = bounds.output * bounds.output_factor
        return self.objects > OBJECTS_PER_TOKEN * most + CUT_SLACK

    @property
    def counted(self) -> int:
        """Output tokens by what passed."""
        return max(self.objects, -(-self.text_bytes // BYTES_PER_TOKEN))
