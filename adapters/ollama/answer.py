"""An answer that has begun: pieces out, an end that is gentle to the backend.

The backend is read into a bounded buffer whatever the reader does (aiohttp's, 512 KiB); `clogged` says when it is
full. After the dialect's end mark the end of HTTP is waited for, shortly, so that the connection can be used again.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from adapters.ollama import plain
from adapters.ollama.address import BackendAddress
from adapters.ollama.lines import NOT_TEXT, LineDecoder
from adapters.ollama.loggable import loggable
from adapters.ollama.transport import UpstreamResponse
from domain.calls import Call
from domain.faults import BackendFailed
from domain.ports.model_backend import Answer
from domain.tally import Piece

END_OF_HTTP_S: Final = 1.0
WITHOUT_END: Final = "The model backend sent an answer without end."
_log = structlog.get_logger("neuronetz")


def _check_utf8(octets: bytes) -> None:
    try:
        octets.decode()
    except UnicodeDecodeError as error:
        raise BackendFailed(NOT_TEXT) from error


def _keep_secret(piece: Piece, address: BackendAddress) -> None:
    if address.betrayed_by(piece.raw):
        _log.error("backend_echoes_its_token", backend=address.name)
        raise BackendFailed


class StreamedAnswer(Answer):
    """An answer in pieces."""

    def __init__(
        self, upstream: UpstreamResponse, decoder: LineDecoder, address: BackendAddress, *, most_bytes: int
    ) -> None:
        self._upstream = upstream
        self._decoder = decoder
        self._address = address
        self._bytes_left = most_bytes
        self._at_end = False
        decoder.allow(most_bytes)

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
            self._bytes_left -= len(octets)
            piece = decoder.feed(octets) if octets else decoder.finish()
            if self._bytes_left < 0 and not decoder.over:
                raise BackendFailed(WITHOUT_END)
            if decoder.cause is not None:
                self._log_cause(decoder)
            if piece is not None:
                _keep_secret(piece, self._address)
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
        said, decoder.cause = decoder.cause or "", None
        _log.warning(
            "backend_answer_failed",
            backend=self._address.name,
            backend_said=loggable(said),
            said_characters=len(said),
        )

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

    def __init__(
        self, upstream: UpstreamResponse, call: Call, request_id: str, address: BackendAddress, *, most_bytes: int
    ) -> None:
        self._upstream = upstream
        self._call = call
        self._request_id = request_id
        self._address = address
        self._most_bytes = most_bytes
        self._at_end = False

    async def read(self) -> Piece | None:
        """The piece, then None."""
        if self._at_end:
            return None
        octets = await self._upstream.read_whole(self._most_bytes)
        self._at_end = True
        if octets is None:
            raise BackendFailed(WITHOUT_END)
        _check_utf8(octets)
        piece = plain.piece_of(octets, self._call, request_id=self._request_id)
        _keep_secret(piece, self._address)
        return piece

    @property
    def clogged(self) -> bool:
        """Never: it is read as it comes."""
        return False

    def close(self) -> None:
        """Ends it; returns at once."""
        self._at_end = True
        self._upstream.close()
