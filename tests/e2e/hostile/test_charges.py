"""What a hostile answer costs its caller: never nothing where tokens may have been made, never more than the hold."""

from __future__ import annotations

import attrs
import pytest

from tests.e2e.hostile.scripts import SCRIPTS
from tests.e2e.hostile.voices import CAP, VOICES
from tests.e2e.hostile.watching import Watched

BOUND = -1
"""The prompt's upper bound, since nobody counted it."""
TOLD = 7


@attrs.frozen
class Cost:
    """Of one call, in tokens."""

    script: str
    voices: str
    """The beginning of their names."""
    prompt: int
    output: int


COSTS = (
    Cost("echoes-in-a-400", "", 0, 0),
    Cost("echoes-in-a-401", "", 0, 0),
    Cost("echoes-in-a-503", "", 0, 0),
    Cost("echoes-in-a-500", "", BOUND, 0),
    Cost("echoes-in-a-599", "", BOUND, 0),
    Cost("leaves-at-once", "openai-whole", BOUND, CAP),
    Cost("leaves-at-once", "openai-streamed", BOUND, CAP),
    Cost("leaves-at-once", "openai-embeddings", BOUND, 0),
    Cost("fewer-tokens-than-events", "", TOLD, 20),
    Cost("a-message-ended-twice", "", TOLD, 2),
    Cost("an-error-event-then-text", "", BOUND, 1),
    Cost("text-repeated-longer", "", TOLD, 2),
    Cost("text-repeated-shorter", "", TOLD, 2),
    Cost("deltas-after-the-text-was-done", "", TOLD, 6),
    Cost("vectors-uncounted", "", BOUND, 0),
    Cost("vectors-twice", "", BOUND, 0),
    Cost("a-vector-of-nothing", "", TOLD, 0),
)


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: f"{cost.script}-{cost.voices}".strip("-"))
def test_a_hostile_answer_costs_what_may_have_been_made(watched: Watched, cost: Cost) -> None:
    endings = SCRIPTS[cost.script].endings
    for voice in (voice for voice in VOICES if voice.name.startswith(cost.voices) and voice in endings):
        heard = watched.ask(voice, cost.script)

        finished = watched.booked(heard.request_id, endings[voice])

        assert finished["output_tokens"] == cost.output
        if cost.prompt == BOUND:
            assert finished["prompt_tokens"] == finished["held_tokens"] - (CAP if voice.generates else 0)
        else:
            assert finished["prompt_tokens"] == cost.prompt
