"""One call on its way through the rooms: what is known of it so far, and what it has taken."""

from __future__ import annotations

import attrs

from application.live_calls import LiveCall
from application.presented import NO_RATES, PresentedCall, Rates, Reply
from application.rooms.dispatch import Dispatch
from application.rooms.settle import Debts, Ending
from domain.calls import NO_BOUNDS, Bounds, Call, PermittedCall
from domain.keys import blotted
from domain.models import canonical
from domain.policies import Caller
from domain.ports.call_observer import Room
from domain.prompts import Hearing
from domain.settlement import NOTHING, Charge
from domain.tally import Tally


@attrs.frozen(kw_only=True)
class Entered:
    """A call that has passed rooms 2 to 5: known, permitted, admitted, and its tokens held."""

    permitted: PermittedCall
    bounds: Bounds
    """With the output cap as granted."""


@attrs.define
class Passage:
    """One call, filled in room by room."""

    presented: PresentedCall
    reply: Reply
    live: LiveCall
    dispatch: Dispatch
    tally: Tally = attrs.field(factory=Tally)
    ending: Ending = attrs.field(factory=Ending)
    caller: Caller | None = None
    debts: Debts | None = None
    call: Call | None = None
    model: str | None = None
    """As the catalogue has it, once the call is permitted."""
    bounds: Bounds = NO_BOUNDS
    rates: Rates = NO_RATES
    granted: bool = False
    """Whether its tokens are held: the audit then has this call's start, and the settlement writes its end."""
    heard: Hearing | None = None
    """What the client was sent, if that is to be kept."""
    charge: Charge = NOTHING
    entered: list[tuple[Room, float]] = attrs.field(init=False)
    """The rooms it came into, and when, on the monotonic clock; those at the backend are `dispatch`'s to tell."""

    @entered.default
    def _at_the_first(self) -> list[tuple[Room, float]]:
        return [(Room.IDENTIFY, self.live.began_s)]

    @property
    def model_noted(self) -> str | None:
        """The model as the audit has it: once permitted, as a hold has it; before, as the caller spelt it."""
        if self.model is not None:
            return canonical(self.model)
        return None if self.call is None else blotted(self.call.model)

    def enter(self, room: Room) -> None:
        """Leaves a mark. Costs a look at the clock."""
        if self.entered[-1][0] is not room:
            self.entered.append((room, self.dispatch.clock.monotonic_s()))

    def pay(self) -> None:
        """Settles and releases what was taken. Returns at once; what is paid is owed no more."""
        self.live.has_slots = False
        if self.debts is not None and self.call is not None:
            self.charge = self.debts.pay(self.call, self.bounds, self.tally, self.dispatch, self.ending)
