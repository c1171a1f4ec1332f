"""What a call is charged, however it ended. Unknown usage is never free, and a charge is never above the hold.

| how it ended | charged |
|---|---|
| its end was seen, with counts | the backend's counts, at least what passed, at most the hold |
| nothing was sent upstream, or the backend refused before its first token | 0 |
| the backend failed with an error status | P: the prompt may have been evaluated |
| broken off with a stream open | P + what passed, or what the backend had reported if that is more |
| the connection to the backend broke | R, the whole hold: more may have been on its way |
| broken off where nothing could be seen (not streamed) | R, the whole hold |
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from domain.calls import Bounds
from domain.tally import Tally, Usage


class Outcome(StrEnum):
    """How a call ended. Written to the audit; never changes its meaning."""

    DONE = "done"
    HUNG_UP = "hung_up"
    READER_TOO_SLOW = "reader_too_slow"
    CUT_AT_CAP = "cut_at_cap"
    KEY_CUT = "key_cut"
    TIMED_OUT = "timed_out"
    BACKEND_BROKE_OFF = "backend_broke_off"
    BACKEND_REFUSED = "backend_refused"
    NOT_SENT = "not_sent"
    SHUT_DOWN = "shut_down"
    FAILED = "failed"
    REAPED = "reaped"


class Sent(StrEnum):
    """How far a call got."""

    NO = "no"
    """Nothing left for a backend."""
    REFUSED = "refused"
    """The backend refused it (4xx, or busy), by the caller's mistake or the operator's: no token was made."""
    ERRED = "erred"
    """The backend failed with an error status: the prompt may have been evaluated."""
    YES = "yes"
    """It was sent; tokens may have been made."""
    LOST = "lost"
    """It was sent, and the connection broke: more tokens may have been made than came."""


@attrs.frozen(kw_only=True)
class Charge:
    """What a call used, as far as we know. All in tokens."""

    prompt: int
    output: int
    overshoot: int = 0
    """What the backend reported beyond the hold: it broke its cap. Not charged; an alarm."""

    @property
    def tokens(self) -> int:
        """What the budgets are charged."""
        return self.prompt + self.output


NOTHING = Charge(prompt=0, output=0)


def charge_of(bounds: Bounds, tally: Tally, *, sent: Sent, streamed: bool, generates: bool) -> Charge:
    """The charge of a call that has ended."""
    if sent in (Sent.NO, Sent.REFUSED):
        return NOTHING
    if sent is Sent.ERRED:
        return Charge(prompt=bounds.prompt, output=0)
    most_output = bounds.output * bounds.output_factor
    usage = tally.usage
    if usage is not None and tally.ended:
        prompt = usage.prompt if usage.prompt is not None and usage.prompt > 0 else bounds.prompt
        output = _output_of(usage, tally, most_output) if generates else 0
        overshoot = max(0, prompt + output - bounds.hold)
        if overshoot:
            prompt, output = _cut_to(bounds, prompt, output)
        return Charge(prompt=prompt, output=output, overshoot=overshoot)
    if not generates:
        return Charge(prompt=bounds.prompt, output=0)
    if sent is Sent.LOST:
        return Charge(prompt=bounds.prompt, output=most_output)
    # Not streamed, one object holds the whole text: a token has at least one byte. Without text nothing was counted.
    counted = tally.counted if streamed else max(tally.objects, tally.text_bytes) or most_output
    return Charge(prompt=bounds.prompt, output=min(max(counted, _reported(usage)), most_output))


def _reported(usage: Usage | None) -> int:
    return 0 if usage is None else max(usage.output or 0, 0)


def _output_of(usage: Usage, tally: Tally, most_output: int) -> int:
    """The backend's own count, and never less than the objects that passed: of a thinking model's two runs, only the
    second is in it. Where the backend says nothing, what passed.
    """
    passed = tally.counted if usage.output is None else tally.objects
    return max(_reported(usage), min(passed, most_output))


def _cut_to(bounds: Bounds, prompt: int, output: int) -> tuple[int, int]:
    prompt = min(prompt, bounds.hold)
    return prompt, min(output, bounds.hold - prompt)
