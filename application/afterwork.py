"""What a backend still does after its call was abandoned.

A hang-up while the prompt is evaluated does not stop Ollama's runner: it computes the whole prompt (18.7 s in one case
that was measured) and only then serves the next call. So the call's turn at that backend, and its tenant's slot, stay
taken for as long as the rest is likely to last; otherwise a loop of connecting and leaving would pile up work that
nobody waits for, and everybody would.

How long a prompt takes is learnt from the calls that a loaded model answered: seconds until their first byte, per token
of P.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import attrs

Slot = tuple[str, str, str]
"""Tenant id, key id, request id: a lease in the limit store."""

LONGEST_REST_S = 30.0
_DRIFT = 0.1
"""How fast a known pace moves up to slower observations. A faster one is believed at once: what makes a call wait
longer than its prompt (a load, somebody else's call in Ollama's own queue) must not be taken for its prompt.
"""
_LEAST_REST_S = 0.05


@attrs.define
class Afterwork:
    """Knows how fast each backend reads prompts, and keeps what must stay taken."""

    _s_per_token: dict[tuple[str, str], float] = attrs.field(factory=dict)
    _slots: set[Slot] = attrs.field(factory=set)

    @property
    def slots(self) -> Sequence[Slot]:
        """Leases of abandoned calls, to be renewed like those of live ones."""
        return list(self._slots)

    def learn(self, backend: str, model: str, prompt_tokens: int, waited_s: float) -> None:
        """A streamed answer began after so many seconds."""
        if prompt_tokens <= 0:
            return
        seen = waited_s / prompt_tokens
        known = self._s_per_token.get((backend, model), seen)
        self._s_per_token[backend, model] = min(seen, known + _DRIFT * (seen - known))

    def rest_s(self, backend: str, model: str, prompt_tokens: int, waited_s: float) -> float:
        """How long an abandoned prompt will likely go on; 0 when nothing is known yet, or it is as good as over."""
        rest_s = self._s_per_token.get((backend, model), 0.0) * prompt_tokens - waited_s
        return 0.0 if rest_s < _LEAST_REST_S else min(rest_s, LONGEST_REST_S)

    def later(self, rest_s: float, let_go: Callable[[], None], slot: Slot | None = None) -> None:
        """Lets go after a while, or now when there is nothing to wait for. A slot given is renewed until then."""
        if rest_s <= 0:
            let_go()
            return
        if slot is not None:
            self._slots.add(slot)

        def over() -> None:
            if slot is not None:
                self._slots.discard(slot)
            let_go()

        asyncio.get_running_loop().call_later(rest_s, over)
