"""Ollama's native objects, byte by byte as the server writes them (`api/types.go`, recorded from 0.24.0).

Field order is Go's struct order. A zero count is omitted. Constant parts are encoded once per request, the rest of an
object is one format operation, for this is what a benchmark measures against.
"""

import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from entrypoints.simulator.decoding import go_json
from entrypoints.simulator.voice import RUNNER_DIED, Outcome
from entrypoints.simulator.words import Kind, Piece

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
_NS = 1_000_000_000


def timestamp(at: datetime) -> str:
    """Return RFC 3339 in UTC as Go prints it, trailing zeros cut."""
    text = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


class _Clock:
    """Now, as Go prints it with nanoseconds; the text of a second is made once."""

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def now(self) -> bytes:
        seconds, nanoseconds = divmod(time.time_ns(), _NS)
        if seconds != self._second:
            self._second = seconds
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
        if not nanoseconds:
            return self._text + b"Z"
        return (b"%b.%09d" % (self._text, nanoseconds)).rstrip(b"0") + b"Z"


_CLOCK = _Clock()


def _counts(outcome: Outcome) -> bytes:
    stated: list[tuple[str, int | str]] = [
        ("total_duration", outcome.total_ns),
        ("load_duration", outcome.load_ns),
        ("prompt_eval_count", outcome.prompt_tokens),
        ("prompt_eval_duration", outcome.prompt_ns),
        ("eval_count", outcome.output_tokens),
        ("eval_duration", outcome.output_ns),
    ]
    return b"".join(b',"%b":%b' % (name.encode(), msgspec.json.encode(value)) for name, value in stated if value)


def call_id(piece: Piece) -> str:
    """Return an id of the form that Ollama gives to tool calls; the same call has the same id."""
    return f"call_{zlib.crc32(piece.text.encode()):08x}"


def _text(pieces: Sequence[Piece], kind: Kind) -> str:
    return "".join(piece.text for piece in pieces if piece.kind is kind)


class _NativeVoice:
    """What generate and chat have in common: the head of each object, and errors."""

    stream_type = NDJSON
    plain_type = JSON

    def __init__(self, spelling: str) -> None:
        self._head = b'{"model":%b,"created_at":"' % go_json(spelling)

    def failure(self) -> bytes:
        return go_json({"error": RUNNER_DIED}) + b"\n"

    def _object(self, rest: bytes) -> bytes:
        return b'%b%b",%b' % (self._head, _CLOCK.now(), rest)


class ChatVoice(_NativeVoice):
    """`/api/chat`."""

    def piece(self, piece: Piece) -> bytes:
        """One object of a stream."""
        if piece.kind is Kind.CONTENT:
            return self._object(b'"message":{"role":"assistant","content":%b},"done":false}\n' % piece.encoded)
        return self._object(b'"message":%b,"done":false}\n' % self._message((piece,)))

    def final(self, outcome: Outcome) -> bytes:
        """The object with `done:true`."""
        return self._object(b'"message":{"role":"assistant","content":""},%b\n' % self._done(outcome))

    def whole(self, pieces: Sequence[Piece], outcome: Outcome | None) -> bytes:
        """The plain answer."""
        rest = self._done(outcome) if outcome else b'"done":false}'
        return self._object(b'"message":%b,%b' % (self._message(pieces), rest))

    def loaded(self, reason: str) -> bytes:
        """The answer to a request without messages: `load` or `unload`."""
        return self._object(
            b'"message":{"role":"assistant","content":""},"done":true,"done_reason":"%b"}' % reason.encode()
        )

    @staticmethod
    def _message(pieces: Sequence[Piece]) -> bytes:
        message: dict[str, object] = {"role": "assistant", "content": _text(pieces, Kind.CONTENT)}
        if thinking := _text(pieces, Kind.THINKING):
            message["thinking"] = thinking
        if calls := [piece for piece in pieces if piece.kind is Kind.TOOL_CALL]:
            message["tool_calls"] = [
                {
                    "id": call_id(call),
                    "function": {"index": index, "name": call.text, "arguments": call.arguments},
                }
                for index, call in enumerate(calls)
            ]
        return go_json(message)

    @staticmethod
    def _done(outcome: Outcome) -> bytes:
        return b'"done":true,"done_reason":"%b"%b}' % (outcome.reason.encode(), _counts(outcome))


class GenerateVoice(_NativeVoice):
    """`/api/generate`; its final object carries the tokens of prompt and answer as `context`."""

    def piece(self, piece: Piece) -> bytes:
        """One object of a stream."""
        if piece.kind is Kind.THINKING:
            return self._object(b'"response":"","thinking":%b,"done":false}\n' % piece.encoded)
        return self._object(b'"response":%b,"done":false}\n' % piece.encoded)

    def final(self, outcome: Outcome) -> bytes:
        """The object with `done:true`."""
        return self._object(b'"response":"",%b\n' % self._done(outcome))

    def whole(self, pieces: Sequence[Piece], outcome: Outcome | None) -> bytes:
        """The plain answer."""
        rest = self._done(outcome) if outcome else b'"done":false}'
        thinking = _text(pieces, Kind.THINKING)
        middle = b'"thinking":%b,' % go_json(thinking) if thinking else b""
        return self._object(b'"response":%b,%b%b' % (go_json(_text(pieces, Kind.CONTENT)), middle, rest))

    def loaded(self, reason: str) -> bytes:
        """The answer to a request without a prompt: `load` or `unload`."""
        return self._object(b'"response":"","done":true,"done_reason":"%b"}' % reason.encode())

    @staticmethod
    def _done(outcome: Outcome) -> bytes:
        tokens = sum(count for count in (outcome.prompt_tokens, outcome.output_tokens) if type(count) is int)
        context = b",".join(b"%d" % (token % 49152) for token in range(1, min(tokens, 100_000) + 1))
        return b'"done":true,"done_reason":"%b","context":[%b]%b}' % (
            outcome.reason.encode(),
            context,
            _counts(outcome),
        )
