"""What the door hands in, and what it takes back: the border between a wire dialect and the rooms."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from domain.calls import Call, Endpoint
from domain.faults import Fault
from domain.keys import Secret
from domain.ports.limit_store import Standing
from domain.refusals import Refusal


@attrs.frozen(kw_only=True)
class Presented:
    """A request as it stands at the door: not yet believed, its body not yet read."""

    request_id: str
    route: str
    """The route's constant."""
    address: str
    credential: Secret | None
    """What was sent as the API key; None when nothing was."""


@attrs.frozen(kw_only=True)
class PresentedCall(Presented):
    """A request for inference."""

    endpoint: Endpoint
    read: Callable[[], Awaitable[Call]]
    """Parses the body strictly; raises `Refusal`. Called once the caller is known: strangers cost no parsing."""


@attrs.frozen(kw_only=True)
class Rates:
    """Where the caller's rates stand, for the answer's headers."""

    rpm: Standing | None = None
    tpm: Standing | None = None


NO_RATES = Rates()


class Reply(Protocol):
    """The way back to one client, in its dialect. Every method may be cancelled."""

    begun: bool
    """Whether a status was sent; from then on a failure can only be told inside the answer."""
    status: int
    bytes_out: int

    @abstractmethod
    async def begin(self, rates: Rates, first: bytes, *, length: int | None = None) -> None:
        """Status 200, headers, and the first bytes; of an answer that is not streamed, with the length of all."""

    @abstractmethod
    async def send(self, raw: bytes) -> None:
        """More bytes. Waits while the client does not read."""

    @abstractmethod
    async def finish(self) -> None:
        """The proper end."""

    @abstractmethod
    async def break_off(self, fault: Fault) -> None:
        """Tells of a failure inside a begun answer, in the form that makes the dialect's clients raise, and ends."""

    @abstractmethod
    async def refuse(self, reason: Refusal | Fault, rates: Rates) -> None:
        """A status and a body instead of an answer. Only before `begin`."""
