"""Ollama's OpenAI objects (`openai/openai.go`, `middleware/openai.go`), as 0.24.0 frames them.

0.24.0 repeats the role in every delta and puts the finish into a delta with empty content; 0.33 sends the role once
and finishes with an empty delta. Finish, usage and `[DONE]` share one flush. Ids are small random numbers in Ollama
and no more unique here.
"""

import time
from collections.abc import Sequence
from typing import Any

from entrypoints.simulator.decoding import go_json
from entrypoints.simulator.native_voice import call_id
from entrypoints.simulator.voice import Outcome
from entrypoints.simulator.words import Kind, Piece

JSON = "application/json"
SSE = "text/event-stream"
_DONE = b"data: [DONE]\n\n"
_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def _id(kind: str) -> str:
    return f"{kind}-{time.monotonic_ns() % 999}"


def usage(outcome: Outcome | None) -> dict[str, Any]:
    """Return the usage object; without an outcome it is zero."""
    if outcome is None:
        return _NO_USAGE
    prompt, output = outcome.prompt_tokens, outcome.output_tokens
    total = prompt + output if isinstance(prompt, int) and isinstance(output, int) else prompt
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total}


def _finish(outcome: Outcome | None) -> str | None:
    if outcome is None:
        return None
    return "tool_calls" if outcome.called_a_tool else outcome.reason


def _calls(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    calls = [piece for piece in pieces if piece.kind is Kind.TOOL_CALL]
    return [
        {
            "id": call_id(call),
            "index": index,
            "type": "function",
            "function": {"name": call.text, "arguments": go_json(call.arguments).decode()},
        }
        for index, call in enumerate(calls)
    ]


def _message(pieces: Sequence[Piece]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(piece.text for piece in pieces if piece.kind is Kind.CONTENT),
    }
    if reasoning := "".join(piece.text for piece in pieces if piece.kind is Kind.THINKING):
        message["reasoning"] = reasoning
    if calls := _calls(pieces):
        message["tool_calls"] = calls
    return message


class ChatVoice:
    """`/v1/chat/completions`."""

    stream_type = SSE
    plain_type = JSON

    def __init__(self, spelling: str, *, include_usage: bool) -> None:
        self._spelling = spelling
        self._include_usage = include_usage
        self._id = _id("chatcmpl")
        self._created = int(time.time())
        self._head = self._chunk_head(spelling)

    def piece(self, piece: Piece) -> bytes:
        """One event of a stream."""
        if piece.kind is Kind.CONTENT:
            return b'%b[{"index":0,"delta":{"role":"assistant","content":%b},"finish_reason":null}]}\n\n' % (
                self._head,
                piece.encoded,
            )
        delta = go_json(_message((piece,)))
        return b'%b[{"index":0,"delta":%b,"finish_reason":null}]}\n\n' % (self._head, delta)

    def final(self, outcome: Outcome) -> bytes:
        """Finish, usage if asked for, and `[DONE]`."""
        finish = b'%b[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":%b}]}\n\n' % (
            self._head,
            go_json(_finish(outcome)),
        )
        if not self._include_usage or outcome.hides_counts:
            return finish + _DONE
        return b'%b%b[],"usage":%b}\n\n%b' % (finish, self._head, go_json(usage(outcome)), _DONE)

    def failure(self) -> bytes:
        """The swallowed failure: an ordinary chunk with no text and no model."""
        return (
            b'%b[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
            % self._chunk_head("")
        )

    def whole(self, pieces: Sequence[Piece], outcome: Outcome | None) -> bytes:
        """The plain answer."""
        answer: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._spelling,
            "system_fingerprint": "fp_ollama",
            "choices": [{"index": 0, "message": _message(pieces), "finish_reason": _finish(outcome)}],
        }
        if outcome is None or not outcome.hides_counts:
            answer["usage"] = usage(outcome)
        return go_json(answer) + b"\n"

    def _chunk_head(self, spelling: str) -> bytes:
        fields = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": spelling,
            "system_fingerprint": "fp_ollama",
        }
        return b'data: %b,"choices":' % go_json(fields)[:-1]


class CompletionVoice:
    """`/v1/completions`; with include_usage every chunk carries a zero usage, the last one the real."""

    stream_type = SSE
    plain_type = JSON

    def __init__(self, spelling: str, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._id = _id("cmpl")
        self._created = int(time.time())
        self._spelling = spelling
        self._head = b'data: {"id":"%b","object":"text_completion","created":%d,"choices":' % (
            self._id.encode(),
            self._created,
        )
        self._tail = self._chunk_tail(spelling, _NO_USAGE if include_usage else None)

    def piece(self, piece: Piece) -> bytes:
        """One event of a stream."""
        return b'%b[{"text":%b,"index":0,"finish_reason":null}]%b' % (
            self._head,
            piece.encoded if piece.kind is Kind.CONTENT else b'""',
            self._tail,
        )

    def final(self, outcome: Outcome) -> bytes:
        """Finish, usage if asked for, and `[DONE]`."""
        finish = b'%b[{"text":"","index":0,"finish_reason":%b}]%b' % (
            self._head,
            go_json(_finish(outcome)),
            self._tail,
        )
        if not self._include_usage or outcome.hides_counts:
            return finish + _DONE
        return b"%b%b[]%b%b" % (finish, self._head, self._chunk_tail(self._spelling, usage(outcome)), _DONE)

    def failure(self) -> bytes:
        """The swallowed failure: an ordinary chunk with no text and no model."""
        tail = self._chunk_tail("", _NO_USAGE if self._include_usage else None)
        return b'%b[{"text":"","index":0,"finish_reason":null}]%b' % (self._head, tail)

    def whole(self, pieces: Sequence[Piece], outcome: Outcome | None) -> bytes:
        """The plain answer."""
        text = "".join(piece.text for piece in pieces if piece.kind is Kind.CONTENT)
        return self._plain(text, _finish(outcome), None if outcome and outcome.hides_counts else usage(outcome))

    def loaded(self) -> bytes:
        """The answer to an empty prompt, which only loads the model."""
        return self._plain("", "load", _NO_USAGE)

    def _plain(self, text: str, finish: str | None, counts: dict[str, Any] | None) -> bytes:
        answer: dict[str, Any] = {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._spelling,
            "system_fingerprint": "fp_ollama",
            "choices": [{"text": text, "index": 0, "finish_reason": finish}],
        }
        if counts is not None:
            answer["usage"] = counts
        return go_json(answer) + b"\n"

    @staticmethod
    def _chunk_tail(spelling: str, counts: dict[str, Any] | None) -> bytes:
        stated = b',"usage":%b' % go_json(counts) if counts is not None else b""
        return b',"model":%b,"system_fingerprint":"fp_ollama"%b}\n\n' % (go_json(spelling), stated)
