"""What generation and the dialects say to each other: the wish, the outcome, and how a dialect phrases an answer."""

from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from entrypoints.simulator.models import Model
from entrypoints.simulator.words import Piece

RUNNER_DIED = "an error was encountered while running the model: unexpected EOF"


@attrs.frozen(kw_only=True)
class Ask:
    """What a request wants generated, in no dialect.

    Args:
        cap: most tokens to produce; None, zero or negative means no cap (`llm/llama_server.go`: zero is dropped).
        prompt_tokens: already cut to the context.
        tool: name and arguments of the tool call to answer with; None for text.
        keep_alive_s: for the runner; None leaves it as it is.
        context: tokens of context the runner must have.
    """

    model: Model
    cap: int | None
    stream: bool
    prompt_tokens: int
    thinks: bool = False
    as_json: bool = False
    tool: tuple[str, dict[str, Any]] | None = None
    keep_alive_s: float | None = None
    context: int


@attrs.frozen(kw_only=True)
class Outcome:
    """What the final object states; the counts may be lies."""

    reason: str
    prompt_tokens: int | str
    output_tokens: int | str
    hides_counts: bool
    called_a_tool: bool
    total_ns: int
    load_ns: int
    prompt_ns: int
    output_ns: int


class Voice(Protocol):
    """How a dialect phrases an answer."""

    stream_type: str
    plain_type: str

    def piece(self, piece: Piece) -> bytes:
        """One object of a stream."""

    def final(self, outcome: Outcome) -> bytes:
        """The object, or objects, that complete a stream."""

    def failure(self) -> bytes:
        """What a failure after the first object looks like."""

    def whole(self, pieces: Sequence[Piece], outcome: Outcome | None) -> bytes:
        """The plain answer; without an outcome it is the one that the repeat guard cut short."""
