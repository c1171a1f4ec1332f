"""An answer that has begun: pieces out, an end that is gentle to the backend.

The backend is read into a bounded buffer whatever the reader does (aiohttp's, 512 KiB); `clogged` says when it is
full. After the dialect's end mark the end of HTTP is waited for, shortly, so that the connection can be used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from adapters.ollama import plain
from adapters.ollama.lines import LineDecoder
from adapters.ollama.transport import UpstreamResponse
from domain.calls import Call
from domain.faults import BackendFailed
from domain.ports.model_backend import Answer
from domain.tally import Piece

END_OF_HTTP_S: Final = 1.0
_MOST_LOGGED: Final = 500
_log = structlog.get_logger("neuronetz")


class StreamedAnswer(Answer):
    """An answer in pieces."""

    def __init__(self, upstream: UpstreamResponse, decoder: LineDecoder, redact: Callable[[str], str]) -> None:
        self._upstream = upstream
        self._decoder = decoder
        self._redact = redact
        self._at_end = False

    async def read(self) -> Piece | None:
        """The next piece; None at the end."""
        decoder = self._decoder
        while not self._at_end:
            if decoder.fault is not None:
                self._at_end = True
                raise decoder.fault
            if decoder.over:
                await self._end_of_http()
                return None
            octets = await self._upstream.read()
            self._at_end = not octets
            piece = decoder.feed(octets) if octets else decoder.finish()
            if decoder.cause is not None:
                self._log_cause(decoder)
            if piece is not None:
                return piece
        if decoder.fault is not None:
            fault, decoder.fault = decoder.fault, None
            raise fault
        return None

    async def _end_of_http(self) -> None:
        self._at_end = True
        try:
            async with asyncio.timeout(END_OF_HTTP_S):
                while await self._upstream.read():
                    pass
        except (TimeoutError, BackendFailed):
            self._upstream.close()

    def _log_cause(self, decoder: LineDecoder) -> None:
        text = self._redact(decoder.cause or "")[:_MOST_LOGGED]
        decoder.cause = None
        _log.warning("backend_answer_failed", backend_said=text)

    @property
    def clogged(self) -> bool:
        """Whether the buffer is full."""
        return self._upstream.is_full

    def close(self) -> None:
        """Ends it; returns at once."""
        self._at_end = True
        self._upstream.close()


class PlainAnswer(Answer):
    """An answer in one piece."""

    def __init__(self, upstream: UpstreamResponse, call: Call, request_id: str) -> None:
        self._upstream = upstream
        self._call = call
        self._request_id = request_id
        self._at_end = False

    async def read(self) -> Piece | None:
        """The piece, then None."""
        if self._at_end:
            return None
        octets = await self._upstream.read_whole(plain.most_bytes_of(self._call))
        self._at_end = True
        if octets is None:
            raise BackendFailed("The model backend sent an answer without end.")
        return plain.piece_of(octets, self._call, request_id=self._request_id)

    @property
    def clogged(self) -> bool:
        """Never: it is read as it comes."""
        return False

    def close(self) -> None:
        """Ends it; returns at once."""
        self._at_end = True
        self._upstream.close()
