"""Answers in one piece: one JSON value, kept whole until its end, which comes when all is generated.

Complete means, as always, the dialect's own end: native `done:true`, OpenAI a finish reason. Ollama's repeat guard
ends a clean 200 without either. An embedding has no such mark; a body that is JSON is complete. Megabytes of
vectors are not decoded: the token count stands behind them, in the part after the last bracket.
"""

from __future__ import annotations

from typing import Final

from adapters.ollama import objects, rewrites
from adapters.ollama.rejections import GENERATION_FAILED, sentence_of_error
from domain.calls import Call, Dialect
from domain.faults import BackendFailed
from domain.tally import Piece, Usage

MOST_BYTES: Final = 8 * 1024 * 1024
MOST_EMBEDDING_BYTES: Final = 64 * 1024 * 1024
_WORTH_DECODING_BYTES: Final = 512 * 1024


def most_bytes_of(call: Call) -> int:
    """How long an answer to this call may be."""
    return MOST_BYTES if call.endpoint.generates else MOST_EMBEDDING_BYTES


def piece_of(octets: bytes, call: Call, *, request_id: str) -> Piece:
    """The one piece of a plain answer.

    Raises:
        BackendFailed: it is not the protocol.
    """
    native = call.endpoint.dialect is Dialect.NATIVE
    if call.endpoint.generates:
        piece = _native(octets) if native else _openai(octets)
    else:
        piece = _embedding(octets, native=native)
    if piece.error is not None:
        return piece
    last = not native and not call.endpoint.generates  # there the vectors come first
    rewritten = rewrites.with_model(octets, rewrites.json_inside(call.model), last=last)
    if native:
        rewritten = rewrites.with_coarse_durations(rewrites.without_remote(rewritten))
    else:
        rewritten = rewrites.with_id(rewritten, request_id.encode())
    piece.raw = rewritten
    return piece


def _native(octets: bytes) -> Piece:
    found = objects.read_native(octets)
    if found.error is not None:
        return Piece(b"", error=sentence_of_error(objects.error_text(found.error)))
    text_bytes = found.text_bytes
    return Piece(
        octets,
        objects=int(text_bytes > 0),
        text_bytes=text_bytes,
        usage=found.usage if found.done else None,
        ended=found.done,
    )


def _openai(octets: bytes) -> Piece:
    found = objects.read_openai(octets)
    if found.error is not None:
        return Piece(b"", error=sentence_of_error(objects.error_text(found.error)))
    text_bytes = found.text_bytes
    if found.model == "" and not text_bytes:
        return Piece(b"", error=sentence_of_error(GENERATION_FAILED))
    return Piece(
        octets,
        objects=int(text_bytes > 0),
        text_bytes=text_bytes,
        usage=found.counted,
        ended=found.is_finished,
    )


def _embedding(octets: bytes, *, native: bool) -> Piece:
    body = octets.strip()
    if not (body.startswith(b"{") and body.endswith(b"}")):
        raise BackendFailed("The model backend sent something that is not its protocol.")
    if len(body) > _WORTH_DECODING_BYTES:
        body = b"{" + body[body.rfind(b"]") + 1 :].lstrip(b",")
    error, usage = _counted(body, native=native)
    if error is not None:
        return Piece(b"", error=sentence_of_error(objects.error_text(error)))
    return Piece(octets, usage=usage, ended=True)


def _counted(body: bytes, *, native: bool) -> tuple[object, Usage | None]:
    if native:
        found = objects.read_native(body)
        return found.error, found.usage
    answer = objects.read_openai(body)
    return answer.error, answer.counted
