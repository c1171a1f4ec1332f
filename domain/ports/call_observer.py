"""Who watches calls for the operator: one word at the end of each, from which numbers and traces are made.

Nothing is told while a call runs: the rooms leave marks, and the record is made of them when all is over. So a watcher
costs the same for a long stream as for a short answer, and one that is slow or broken has nobody to keep waiting.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import attrs

from domain.calls import Endpoint
from domain.settlement import NOTHING, Charge, Outcome


class Room(StrEnum):
    """Where a call spends its time, in order. Room 1, the door, comes before it is a call."""

    IDENTIFY = "identify"
    PERMIT = "permit"
    """With the reading of the body, which has come already."""
    ADMIT = "admit"
    RESERVE = "reserve"
    TURN = "turn"
    """The wait for a turn at a backend."""
    FIRST_BYTE = "first_byte"
    """From the turn to the backend's first piece: its queue, the model's load, the prompt."""
    RELAY = "relay"
    SETTLE = "settle"
    """The hand-over of what is owed; the stores' own work comes after it."""


OPERATIONS: Mapping[Endpoint, str] = {
    Endpoint.NATIVE_CHAT: "chat",
    Endpoint.NATIVE_GENERATE: "text_completion",
    Endpoint.NATIVE_EMBED: "embeddings",
    Endpoint.NATIVE_EMBEDDINGS: "embeddings",
    Endpoint.OPENAI_CHAT: "chat",
    Endpoint.OPENAI_COMPLETIONS: "text_completion",
    Endpoint.OPENAI_EMBEDDINGS: "embeddings",
    Endpoint.RESPONSES: "chat",
    Endpoint.ANTHROPIC_MESSAGES: "chat",
}
"""What the endpoints are called elsewhere: OpenTelemetry's well-known values of `gen_ai.operation.name`."""
PROVIDER = "ollama"
"""Likewise, `gen_ai.provider.name`."""


class Mark(NamedTuple):
    """A stay in one room, on the monotonic clock. A call that starts over passes a room again. Eight are made a call,
    hence a plain tuple.
    """

    room: Room
    began_s: float
    ended_s: float


@attrs.frozen(kw_only=True)
class CallRecord:
    """One call that has ended. Holds nothing that the caller wrote, and no secret."""

    request_id: str
    endpoint: Endpoint
    streamed: bool
    began_at: datetime
    """Of the host's clock; for what is shown, never for a duration."""
    marks: Sequence[Mark]
    """At least one. Each room begins where the last one ended."""
    outcome: Outcome
    status: int
    """The HTTP status the client was sent; 0 when none was."""
    code: str | None = None
    """The code that the client was told, if it ended in a refusal or a fault. A hang-up has none: nobody was there."""
    model: str | None = None
    """As the catalogue has it, never the caller's text; None for a model that is not there for this caller."""
    backend: str | None = None
    """None when nothing was sent."""
    tenant_id: str | None = None
    key_prefix: str | None = None
    held_tokens: int = 0
    charge: Charge = NOTHING

    @property
    def began_s(self) -> float:
        """On the monotonic clock, as the marks."""
        return self.marks[0].began_s

    @property
    def seconds(self) -> float:
        """From the first room to the last."""
        return self.marks[-1].ended_s - self.marks[0].began_s

    @property
    def error(self) -> str | None:
        """What it ended in, in one word of a closed list; None when it was answered to its end."""
        if self.outcome is Outcome.DONE:
            return None
        return self.code or self.outcome.value


@attrs.frozen(kw_only=True)
class TurnedAway:
    """A request that was told a code without being a call: turned away at the door, or a look that was refused."""

    route: str
    """The route's constant; `-` for a path that is not served."""
    code: str
    status: int


class CallObserver(Protocol):
    """Watches. Both methods return at once and raise nothing, whatever becomes of what they are told."""

    @abstractmethod
    def ended(self, record: CallRecord) -> None:
        """A call has ended, however it did. Told once a call, when it has been settled and released."""

    @abstractmethod
    def turned_away(self, request: TurnedAway) -> None:
        """A request was told a code and is no call. Together with the codes of the records: every code, once."""
