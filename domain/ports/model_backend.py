"""One backend: an Ollama server."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import attrs

from domain.calls import Bounds, Call
from domain.models import Model
from domain.tally import Piece


@attrs.frozen(kw_only=True)
class Survey:
    """What a backend said of itself."""

    version: str
    models: Sequence[Model]


@attrs.frozen(kw_only=True)
class UpstreamCall:
    """A held call on its way to one backend."""

    request_id: str
    call: Call
    model: Model
    """As this backend spells it."""
    bounds: Bounds
    """With the output cap as granted."""


class Answer(Protocol):
    """An answer that has begun."""

    @abstractmethod
    async def read(self) -> Piece | None:
        """The next piece; None at the end of HTTP. Drains the backend at its own pace into a bounded buffer.

        Raises:
            BackendFailed: the connection broke, or what came is not the protocol.
        """

    @property
    @abstractmethod
    def clogged(self) -> bool:
        """Whether the bounded buffer is full because pieces are not read: the client must be cut."""

    @abstractmethod
    def close(self) -> None:
        """Ends it; returns at once. An unfinished answer is ended with a half-close and read to its end in the
        background, because a reset can cost Ollama a runner slot for ever (ollama issue #17131).
        """


class ModelBackend(Protocol):
    """One Ollama server."""

    name: str
    most_in_flight: int
    """Calls it is given at once."""

    @abstractmethod
    async def survey(self) -> Survey:
        """Its version and models.

        Raises:
            BackendFault: it does not answer properly.
        """

    @abstractmethod
    async def open(self, upstream: UpstreamCall) -> Answer:
        """Sends the call and waits for the answer's head. Bounded by the caller, which may cancel at any time.

        Raises:
            BackendUnreachable: nothing was sent.
            BackendRejected: a 4xx of the backend, with a sentence for the caller.
            BackendFault: it was sent and the answer failed.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Gives up its connections."""
