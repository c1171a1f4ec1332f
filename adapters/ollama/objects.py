"""What is read out of an answer's JSON: text to count, token counts, endings, errors. Everything else is skipped.

Field names and places are those of Ollama v0.33 `api/types.go` and `openai/openai.go`. Counts come from a backend
that may lie: a number that cannot be a token count reads as absent.

Text is counted in bytes, decoded: content, thinking, and the name and arguments of tool calls.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from domain.faults import BackendFailed
from domain.tally import Usage

NOT_JSON: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON, or not the JSON that was asked for."""
MOST_PLAUSIBLE_TOKENS: Final = 100_000_000
"""Ten times the longest context that any model claims."""


class Function(msgspec.Struct, gc=False):
    """A tool call's function. Native arguments are an object, OpenAI's a JSON string; both are measured as sent."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()


class ToolCall(msgspec.Struct):
    """One tool call."""

    function: Function | None = None


class Message(msgspec.Struct):
    """A message or a delta, of either dialect."""

    content: str | None = None
    thinking: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def text_bytes(self) -> int:
        """All that a model wrote here."""
        total = length(self.content) + length(self.thinking) + length(self.reasoning)
        for tool in self.tool_calls or ():
            if tool.function is not None:
                total += length(tool.function.name) + len(bytes(tool.function.arguments))
        return total


class NativeObject(msgspec.Struct):
    """One line of a native stream, or a whole native answer."""

    model: str | None = None
    message: Message | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool = False
    error: Any = None
    embeddings: msgspec.Raw = msgspec.Raw()
    prompt_eval_count: Any = None
    eval_count: Any = None

    @property
    def text_bytes(self) -> int:
        """All that the model wrote here."""
        written = 0 if self.message is None else self.message.text_bytes
        return written + length(self.response) + length(self.thinking)

    @property
    def usage(self) -> Usage | None:
        """What the final object says; None where it says nothing that can be true."""
        return usage_of(self.prompt_eval_count, self.eval_count)


class Choice(msgspec.Struct):
    """One choice of either OpenAI endpoint, streamed or not."""

    delta: Message | None = None
    message: Message | None = None
    text: str | None = None
    finish_reason: str | None = None

    @property
    def text_bytes(self) -> int:
        """All that the model wrote here."""
        delta = 0 if self.delta is None else self.delta.text_bytes
        message = 0 if self.message is None else self.message.text_bytes
        return delta + message + length(self.text)


class OpenAIUsage(msgspec.Struct):
    """Of an answer, a usage chunk, or (all zero) of every chunk of `/v1/completions`."""

    prompt_tokens: Any = None
    completion_tokens: Any = None


class OpenAIObject(msgspec.Struct):
    """One event of an OpenAI stream, or a whole answer."""

    model: str | None = None
    choices: list[Choice] | None = None
    usage: OpenAIUsage | None = None
    error: Any = None

    @property
    def text_bytes(self) -> int:
        """All that the model wrote here."""
        return sum(choice.text_bytes for choice in self.choices or ())

    @property
    def is_finished(self) -> bool:
        """Whether a choice says why it ended."""
        return any(choice.finish_reason for choice in self.choices or ())

    @property
    def counted(self) -> Usage | None:
        """The usage; None when it is absent, all zero, or cannot be true. Ollama writes zeros for *not known*."""
        if self.usage is None or not (self.usage.prompt_tokens or self.usage.completion_tokens):
            return None
        return usage_of(self.usage.prompt_tokens, self.usage.completion_tokens)


_NATIVE: Final = msgspec.json.Decoder(NativeObject)
_OPENAI: Final = msgspec.json.Decoder(OpenAIObject)
_STRING: Final = msgspec.json.Decoder(str)


def read_native(octets: bytes) -> NativeObject:
    """A native object.

    Raises:
        BackendFailed: it is none.
    """
    try:
        return _NATIVE.decode(octets)
    except NOT_JSON as error:
        raise BackendFailed("The model backend sent something that is not its protocol.") from error


def read_openai(octets: bytes) -> OpenAIObject:
    """An OpenAI object.

    Raises:
        BackendFailed: it is none.
    """
    try:
        return _OPENAI.decode(octets)
    except NOT_JSON as error:
        raise BackendFailed("The model backend sent something that is not its protocol.") from error


def unescaped_bytes(literal: bytes) -> int:
    """How many bytes of text the inside of a JSON string holds.

    Raises:
        BackendFailed: it is not the inside of one.
    """
    if b"\\" not in literal:
        return len(literal)
    try:
        return len(_STRING.decode(b'"%b"' % literal).encode())
    except NOT_JSON as error:
        raise BackendFailed("The model backend sent something that is not its protocol.") from error


def error_text(error: Any) -> str:
    """The text of an `error` member in either dialect's form."""
    if isinstance(error, dict):
        error = error.get("message", "")
    return error if isinstance(error, str) else ""


def length(text: str | None) -> int:
    """Bytes of a text that may be absent."""
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode())


def _count(number: Any) -> int | None:
    plausible = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MOST_PLAUSIBLE_TOKENS
    return number if plausible else None


def usage_of(prompt: Any, output: Any) -> Usage | None:
    """The counts that can be true; None when neither can."""
    usage = Usage(prompt=_count(prompt), output=_count(output))
    return None if usage.prompt is None and usage.output is None else usage
