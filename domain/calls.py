"""A call: one inference request in our words, after it was read and before it is sent.

The fields of the caller's body that may reach a backend are kept in `Call.fields`; the body sent upstream is built
from them, the operator's model name and our caps, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Any

import attrs

from domain.models import Model


class Dialect(StrEnum):
    """Whose conventions a request follows, and so its answer and its errors."""

    NATIVE = "native"
    OPENAI = "openai"
    RESPONSES = "responses"
    """OpenAI's newer interface: errors as in the older one, streams of its own."""
    ANTHROPIC = "anthropic"


class Endpoint(Enum):
    """The inference endpoints. The value is the path at our door."""

    NATIVE_CHAT = "/api/chat"
    NATIVE_GENERATE = "/api/generate"
    NATIVE_EMBED = "/api/embed"
    NATIVE_EMBEDDINGS = "/api/embeddings"
    OPENAI_CHAT = "/v1/chat/completions"
    OPENAI_COMPLETIONS = "/v1/completions"
    OPENAI_EMBEDDINGS = "/v1/embeddings"
    RESPONSES = "/v1/responses"
    ANTHROPIC_MESSAGES = "/v1/messages"

    @property
    def upstream(self) -> str:
        """The path at the backend. The legacy answer of `/api/embeddings` has no token count, so its successor is
        asked, and the answer is translated.
        """
        return Endpoint.NATIVE_EMBED.value if self is Endpoint.NATIVE_EMBEDDINGS else str(self.value)

    @property
    def dialect(self) -> Dialect:
        """Its dialect."""
        return _DIALECTS.get(self, Dialect.NATIVE if self.value.startswith("/api/") else Dialect.OPENAI)

    @property
    def generates(self) -> bool:
        """Whether the answer has output tokens; embeddings have none."""
        return self not in _EMBEDDING


_DIALECTS = {Endpoint.RESPONSES: Dialect.RESPONSES, Endpoint.ANTHROPIC_MESSAGES: Dialect.ANTHROPIC}
_EMBEDDING = frozenset({Endpoint.NATIVE_EMBED, Endpoint.NATIVE_EMBEDDINGS, Endpoint.OPENAI_EMBEDDINGS})


@attrs.frozen(kw_only=True)
class Call:
    """What a caller asks for, read strictly and cut to the allow-list."""

    endpoint: Endpoint
    model: str
    """As the caller spelt it; answers echo this."""
    streamed: bool
    fields: Mapping[str, Any] = attrs.field(repr=False)
    """The body's other fields that may go upstream, checked, without model, stream and output cap."""
    asked_output_tokens: int | None = None
    """The caller's own cap on output; None when it gave none that caps."""
    inputs_bytes: tuple[int, ...]
    """UTF-8 bytes of all text that reaches the model; one number a prompt, for embeddings one an input."""
    pieces: int = 1
    """Messages and tools: each adds a few tokens of template."""
    images: int = 0
    wants_usage: bool = False
    """OpenAI streams: whether the caller asked for the usage chunk (we always ask; it is removed if not)."""
    structured: bool = False
    """Whether the answer must follow a format. A thinking model then runs twice (Ollama `server/routes.go`)."""
    thinks: bool = True
    """False when the caller turned thinking off."""


@attrs.frozen(kw_only=True)
class Bounds:
    """Upper bounds on what a call can use. All in tokens."""

    prompt: int
    """P: no prompt of this call can become more tokens, over all inputs."""
    output: int
    """M: the cap that is sent upstream as `num_predict` or `max_tokens`; 0 for embeddings."""
    output_factor: int = 1
    """How many times M may be used up: 1, or 3 when a thinking model answers in a format (thinking, the same again
    as prompt, the answer).
    """

    @property
    def hold(self) -> int:
        """R: what is reserved."""
        return self.prompt + self.output_factor * self.output


NO_BOUNDS = Bounds(prompt=0, output=0)


@attrs.frozen(kw_only=True)
class PermittedCall:
    """A call that its caller may make, with the bounds that limits and budgets are checked with."""

    call: Call
    model: Model
    bounds: Bounds
