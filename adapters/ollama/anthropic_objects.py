"""What is read out of an Anthropic message's JSON, whole or in events; see `objects`.

Field names and places are those of Ollama v0.33 `anthropic/anthropic.go`. The counts are those of the end: what
`message_start` says of the prompt is an estimate (bytes by four) and is not read.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.ollama.objects import NOT_JSON, length, usage_of
from domain.faults import BackendFailed
from domain.tally import Usage

_NO_INPUT: Final = (b"", b"{}")


class Block(msgspec.Struct):
    """A part of a message: text, thinking or a tool call; or a delta of one."""

    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    """A piece of a tool call's arguments; the block itself then begins with none."""
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    stop_reason: str | None = None
    """Of a message's delta."""

    @property
    def text_bytes(self) -> int:
        """All that the model wrote here."""
        written = length(self.text) + length(self.thinking) + length(self.partial_json) + length(self.name)
        arguments = bytes(self.input)
        return written if arguments in _NO_INPUT else written + len(arguments)


class AnthropicUsage(msgspec.Struct):
    """Of a whole answer, or of `message_delta`."""

    input_tokens: Any = None
    output_tokens: Any = None


class AnthropicObject(msgspec.Struct):
    """The data of one event, or a whole answer."""

    type: str | None = None
    model: str | None = None
    """Rewritten as bytes, which takes a text."""
    message: AnthropicObject | None = None
    """Of `message_start`."""
    content_block: Block | None = None
    delta: Block | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: AnthropicUsage | None = None
    error: Any = None

    @property
    def text_bytes(self) -> int:
        """All that the model wrote here."""
        parts: list[Block | None] = [*(self.content or ()), self.content_block, self.delta]
        begun = 0 if self.message is None else self.message.text_bytes
        return begun + sum(part.text_bytes for part in parts if part is not None)

    @property
    def counted(self) -> Usage | None:
        """The usage; None when it is absent, all zero, or cannot be true. Ollama writes zeros for *not known*."""
        if self.usage is None or not (self.usage.input_tokens or self.usage.output_tokens):
            return None
        return usage_of(self.usage.input_tokens, self.usage.output_tokens)


_DECODER: Final = msgspec.json.Decoder(AnthropicObject)


def read_anthropic(octets: bytes) -> AnthropicObject:
    """An event's data or a whole answer.

    Raises:
        BackendFailed: it is none.
    """
    try:
        return _DECODER.decode(octets)
    except NOT_JSON as error:
        raise BackendFailed("The model backend sent something that is not its protocol.") from error
