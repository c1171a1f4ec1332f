"""What is read out of the JSON of `/v1/responses`, whole or in events; see `objects`.

Field names and places are those of Ollama v0.33 `openai/responses.go`. In a stream the text comes in deltas, and is
then repeated three times (`.done` of the text, of its part and of its item) and once more in `response.completed`: only
the deltas are counted. A reasoning item says the same in `summary` and `encrypted_content`: the summary is counted.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.ollama.objects import NOT_JSON, length, usage_of
from domain.faults import BackendFailed
from domain.tally import Usage

COMPLETED: Final = "completed"
INCOMPLETE: Final = "incomplete"
FAILED: Final = "failed"


class Part(msgspec.Struct):
    """A part of a message, or of a reasoning item's summary."""

    text: str | None = None


class Item(msgspec.Struct):
    """An item of the output: a message, a function call, or reasoning."""

    name: str | None = None
    arguments: str | None = None
    content: list[Part] | None = None
    summary: list[Part] | None = None

    @property
    def text_bytes(self) -> int:
        """All that the model wrote here."""
        parts = [*(self.content or ()), *(self.summary or ())]
        return length(self.name) + length(self.arguments) + sum(length(part.text) for part in parts)


class ResponsesUsage(msgspec.Struct):
    """Of a whole answer, or of the last event."""

    input_tokens: Any = None
    output_tokens: Any = None


class Response(msgspec.Struct):
    """A whole answer, or what the first and last events say of it."""

    status: str | None = None
    model: str | None = None
    """Rewritten as bytes, which takes a text."""
    output: list[Item] | None = None
    usage: ResponsesUsage | None = None
    error: Any = None

    @property
    def text_bytes(self) -> int:
        """All that the model wrote."""
        return sum(item.text_bytes for item in self.output or ())

    @property
    def counted(self) -> Usage | None:
        """The usage; None when it is absent, all zero, or cannot be true. Ollama writes zeros for *not known*."""
        if self.usage is None or not (self.usage.input_tokens or self.usage.output_tokens):
            return None
        return usage_of(self.usage.input_tokens, self.usage.output_tokens)


class Begun(msgspec.Struct):
    """An item as it begins: of a function call the name is there, the arguments come as a delta."""

    type: str | None = None
    name: str | None = None


class Event(msgspec.Struct):
    """The data of one event."""

    type: str | None = None
    delta: Any = None
    item: Begun | None = None
    response: Response | None = None
    error: Any = None
    message: Any = None
    """Of an `error` event, which has its text at the top."""
    item_id: Any = None
    output_index: Any = None
    summary_index: Any = None
    sequence_number: Any = None


_EVENT: Final = msgspec.json.Decoder(Event)
_RESPONSE: Final = msgspec.json.Decoder(Response)


def read_event(octets: bytes) -> Event:
    """The data of an event.

    Raises:
        BackendFailed: it is none.
    """
    try:
        return _EVENT.decode(octets)
    except NOT_JSON as error:
        raise BackendFailed("The model backend sent something that is not its protocol.") from error


def read_response(octets: bytes) -> Response:
    """A whole answer.

    Raises:
        BackendFailed: it is none.
    """
    try:
        return _RESPONSE.decode(octets)
    except NOT_JSON as error:
        raise BackendFailed("The model backend sent something that is not its protocol.") from error
