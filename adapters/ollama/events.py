"""Server-sent events, as Ollama writes them: one `data:` line an event, no comments, no ids (v0.33 `middleware/*.go`).

What a box in between adds, such as comments, is dropped; so is the `event:` line, which says what the data says
(`type`) and is written anew. A decoder recognises the usual event by its fixed parts and decodes any other.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from adapters.ollama.lines import LineDecoder
from domain.faults import BackendFailed
from domain.tally import Piece

FIELD: Final = b"data:"


class EventStream(LineDecoder):
    """Bytes of one stream of events to pieces."""

    def _piece(self, lines: list[bytes]) -> Piece | None:
        piece: Piece | None = None
        passed = []
        for line in lines:
            if not line.startswith(FIELD):
                continue  # an event's name, the empty line that ends it, or a comment
            if piece is None:
                piece = Piece(b"")
            event = None
            try:
                event = self._usual(line, piece) or self._decode(line[len(FIELD) :].strip(), piece)
            except BackendFailed as fault:
                self.fault = fault
            if event is not None:
                passed.append(event)
            if self.over or self.fault is not None:
                break
        if piece is None or (self.fault is not None and not passed):
            return None
        if passed:
            passed.append(b"")
            piece.raw = b"\n\n".join(passed)
        return piece

    @abstractmethod
    def _usual(self, line: bytes, piece: Piece) -> bytes | None:
        """The whole event to pass on, without its empty line, if its `data:` line is the usual one; its text is
        counted in the piece.
        """

    @abstractmethod
    def _decode(self, octets: bytes, piece: Piece) -> bytes | None:
        """The same for any other data; None when nothing of it is passed on.

        Raises:
            BackendFailed: it is not the protocol.
        """
