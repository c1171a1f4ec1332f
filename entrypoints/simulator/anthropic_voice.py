"""Ollama's Anthropic messages, whole and as events (`anthropic/anthropic.go`, `middleware/anthropic.go`).

`message_start` states an estimate of the prompt, and nothing tells of a failure in mid-stream: the events just stop.
Ollama flushes each event; here those of one token share a write.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from entrypoints.simulator.decoding import go_json
from entrypoints.simulator.native_voice import call_id
from entrypoints.simulator.openai_voice import JSON, SSE
from entrypoints.simulator.voice import Outcome
from entrypoints.simulator.words import Kind, Piece

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens"}
_OTHER_STOP = "stop_sequence"
_BLOCKS = {Kind.THINKING: "thinking", Kind.CONTENT: "text"}
"""Of each kind of text the type of its block, which is also the name of the field that it is in."""


def made_up_id(prefix: str) -> str:
    """Return an id of the form that Ollama makes up (`generateID`)."""
    return f"{prefix}_{secrets.token_hex(12)}"


def _event(name: str, **data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), go_json({"type": name, **data}))


def _usage(outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None or outcome.hides_counts:
        return {"input_tokens": 0, "output_tokens": 0}
    return {"input_tokens": outcome.prompt_tokens, "output_tokens": outcome.output_tokens}


def _stop_reason(outcome: Outcome) -> str:
    return "tool_use" if outcome.called_a_tool else _STOP_REASONS.get(outcome.reason, _OTHER_STOP)


class MessageVoice:
    """`/v1/messages`."""

    stream_type = SSE
    plain_type = JSON

    def __init__(self, spelling: str, *, estimated_tokens: int) -> None:
        self._message = {"id": made_up_id("msg"), "type": "message", "role": "assistant", "model": spelling}
        self._estimated_tokens = estimated_tokens
        self._started = False
        self._open: Kind | None = None
        self._index = 0

    def piece(self, piece: Piece) -> bytes:
        """The events of one token."""
        if piece.kind is Kind.TOOL_CALL:
            return self._start() + self._close() + self._tool_use(piece)
        opening = b""
        if self._open is not piece.kind:
            opening = self._start() + self._close() + self._open_block(piece.kind)
        block = _BLOCKS[piece.kind].encode()
        return b'%bevent: content_block_delta\ndata: {"type":"content_block_delta","index":%d,%b:%b}}\n\n' % (
            opening,
            self._index,
            b'"delta":{"type":"%b_delta","%b"' % (block, block),
            piece.encoded,
        )

    def final(self, outcome: Outcome) -> bytes:
        """What ends the last block and the message."""
        ending = _event("message_delta", delta={"stop_reason": _stop_reason(outcome)}, usage=_usage(outcome))
        return self._start() + self._close() + ending + _event("message_stop")

    def failure(self) -> bytes:
        """The swallowed failure: nothing."""
        return b""

    def whole(self, pieces: Sequence[Piece], outcome: Outcome | None) -> bytes:
        """The plain answer."""
        return self._answer(_content(pieces) or None, None if outcome is None else _stop_reason(outcome), outcome)

    def loaded(self, *, stream: bool) -> bytes:
        """The answer to messages without content, which only load the model."""
        if not stream:
            return self._answer(None, _OTHER_STOP, None)
        ending = _event("message_delta", delta={"stop_reason": _OTHER_STOP}, usage=_usage(None))
        return self._start() + ending + _event("message_stop")

    def _answer(self, content: list[dict[str, Any]] | None, stop_reason: str | None, outcome: Outcome | None) -> bytes:
        stopped = {} if stop_reason is None else {"stop_reason": stop_reason}
        return go_json({**self._message, "content": content, **stopped, "usage": _usage(outcome)}) + b"\n"

    def _start(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        usage = {"input_tokens": self._estimated_tokens, "output_tokens": 0}
        return _event("message_start", message={**self._message, "content": [], "usage": usage})

    def _open_block(self, kind: Kind) -> bytes:
        self._open = kind
        block = _BLOCKS[kind]
        return _event("content_block_start", index=self._index, content_block={"type": block, block: ""})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        self._index += 1
        return _event("content_block_stop", index=self._index - 1)

    def _tool_use(self, piece: Piece) -> bytes:
        index = self._index
        self._index += 1
        block = {"type": "tool_use", "id": call_id(piece), "name": piece.text, "input": {}}
        arguments = go_json(piece.arguments).decode()
        delta = {"type": "input_json_delta", "partial_json": arguments}
        return (
            _event("content_block_start", index=index, content_block=block)
            + _event("content_block_delta", index=index, delta=delta)
            + _event("content_block_stop", index=index)
        )


def _content(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for kind, block in _BLOCKS.items():
        if text := "".join(piece.text for piece in pieces if piece.kind is kind):
            blocks.append({"type": block, block: text})
    calls = [piece for piece in pieces if piece.kind is Kind.TOOL_CALL]
    return blocks + [
        {"type": "tool_use", "id": call_id(call), "name": call.text, "input": call.arguments} for call in calls
    ]
