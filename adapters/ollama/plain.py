"""Answers in one piece: one JSON value, kept whole until its end, which comes when all is generated.

Complete means, as always, the dialect's own end: native `done:true`, OpenAI a finish reason, Anthropic a stop reason.
Ollama's repeat guard ends a clean 200 without any. An embedding has no such mark; a body that is JSON is complete.
Megabytes of vectors are not decoded: the token count stands behind them, in the part after the last bracket.
"""

from __future__ import annotations

from typing import Final

from adapters.ollama import objects, rewrites
from adapters.ollama.anthropic_objects import read_anthropic
from adapters.ollama.rejections import GENERATION_FAILED, sentence_of_error
from adapters.ollama.responses_objects import COMPLETED, FAILED, INCOMPLETE, read_response
from domain.calls import Call, Dialect, Endpoint
from domain.faults import BackendFailed
from domain.tally import Piece, Usage

_WORTH_DECODING_BYTES: Final = 512 * 1024
_VECTORS_MARK: Final = b'"embeddings":[['
_OF_NUMBERS: Final = b"0123456789+-.eE, "


def piece_of(octets: bytes, call: Call, *, request_id: str) -> Piece:
    """The one piece of a plain answer.

    Raises:
        BackendFailed: it is not the protocol.
    """
    match call.endpoint:
        case Endpoint.ANTHROPIC_MESSAGES:
            return _anthropic(octets, call.model, request_id)
        case Endpoint.RESPONSES:
            return _responses(octets, call.model, request_id)
        case Endpoint.NATIVE_EMBEDDINGS:
            return _legacy_embedding(octets)
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


def _anthropic(octets: bytes, model: str, request_id: str) -> Piece:
    found = read_anthropic(octets)
    if found.error is not None:
        return Piece(b"", error=sentence_of_error(objects.error_text(found.error)))
    if found.content is None:  # Go's nil slice, of a model that said nothing; clients walk over the content
        octets = octets.replace(b'"content":null', b'"content":[]', 1)
    named = rewrites.with_model(octets, rewrites.json_inside(model))
    text_bytes = found.text_bytes
    return Piece(
        rewrites.with_message_id(named, request_id.encode()),
        objects=int(text_bytes > 0),
        text_bytes=text_bytes,
        usage=found.counted,
        ended=bool(found.stop_reason),
    )


def _responses(octets: bytes, model: str, request_id: str) -> Piece:
    found = read_response(octets)
    if found.error is not None or found.status == FAILED:
        return Piece(b"", error=sentence_of_error(objects.error_text(found.error)))
    usage = found.counted
    named = rewrites.with_model(octets, rewrites.json_inside(model))
    text_bytes = found.text_bytes
    return Piece(
        rewrites.with_response_id(named, request_id.encode()),
        objects=int(text_bytes > 0),
        text_bytes=text_bytes,
        usage=usage,
        # Ollama says "completed" of any answer; one that the repeat guard ended has no counts.
        ended=found.status in (COMPLETED, INCOMPLETE) and usage is not None,
    )


def _legacy_embedding(octets: bytes) -> Piece:
    """The answer of `/api/embed` as `/api/embeddings` gives it: the one vector, and nothing else."""
    piece = _embedding(octets, native=True)
    if piece.error is not None:
        return piece
    start = octets.find(_VECTORS_MARK) + len(_VECTORS_MARK)
    vector = octets[start : octets.find(b"]", start)]
    if start < len(_VECTORS_MARK) or vector.translate(None, _OF_NUMBERS):
        raise BackendFailed("The model backend sent something that is not its protocol.")
    piece.raw = b'{"embedding":[%b]}' % vector
    return piece


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
