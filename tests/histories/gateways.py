"""Gateway processes and their calls: the application's own rooms 5 and 8, stopped between any two of their steps."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from enum import Enum
from typing import Any, cast
from uuid import UUID, uuid4

import attrs

from application.afterwork import Afterwork
from application.presented import Presented
from application.rooms.admit import admission_request
from application.rooms.dispatch import Dispatch
from application.rooms.reserve import reserve
from application.rooms.settle import Debts, Ending
from domain.calls import Bounds, PermittedCall
from domain.faults import FaultCode, StoreUnavailable
from domain.policies import Caller
from domain.ports.budget_ledger import BudgetLedger, Granted, HoldRequest, HoldVerdict, Settlement
from domain.ports.limit_store import AdmissionRequest, Admitted, LimitStore, TenantFacts
from domain.refusals import Refusal
from domain.settlement import Charge, Outcome, Sent
from domain.tally import Piece, Tally, Usage
from tests.builders import a_call, a_model
from tests.fakes.surroundings import FakeClock
from tests.histories.limiter import Release

LEASE_MS = 30_000


class Stage(Enum):
    """Where a call stands in its process."""

    ADMITTED = "admitted"
    ASKED_LEDGER = "asked the ledger, and has no answer yet"
    HELD = "held"
    OVER = "over"


class Ends(Enum):
    """How a call that holds its tokens ends."""

    WHOLE = "its end was seen, with counts"
    OVER_CAP = "the backend counted more than it was allowed"
    BROKEN_OFF = "broken off in mid-stream"
    REFUSED = "refused by the backend"
    ERRED = "failed by the backend"
    NOT_SENT = "no backend could take it"
    LEFT_QUEUE = "its client left while it waited for a turn"


@attrs.define
class _Stay:
    """Of a `Dispatch`, what room 8 reads: there is no backend here."""

    sent: Sent = Sent.NO
    backend: str | None = None
    asked_s: float | None = None
    turn_s: float | None = None
    first_byte_s: float | None = None
    rest_s: float = 0.0
    afterwork: Afterwork = attrs.field(factory=Afterwork)


@attrs.frozen
class _Question:
    request: HoldRequest

    def __await__(self) -> Generator[HoldRequest, HoldVerdict, HoldVerdict]:
        return (yield self.request)


@attrs.define(eq=False)
class GatewayProcess:
    """What one process remembers, and loses when it is killed."""

    id: UUID = attrs.field(factory=uuid4)
    callers: dict[str, tuple[Caller, int]] = attrs.field(factory=dict)
    """Prefix -> the copy, and until when it is believed, in ms."""
    calls: list[Call] = attrs.field(factory=list)
    settles: list[Settlement] = attrs.field(factory=list)
    releases: list[Release] = attrs.field(factory=list)
    unanswered: tuple[list[Settlement], list[Call]] | None = None
    """A batch that was sent. Nothing goes before it."""
    facts: dict[str, TenantFacts] = attrs.field(factory=dict)
    """Read, and not yet restored."""

    async def hold(self, request: HoldRequest) -> HoldVerdict:
        return await _Question(request)

    def settle(self, settlement: Settlement) -> None:
        self.settles.append(settlement)

    def release(
        self,
        tenant_id: str,
        key_id: str,
        request_id: str,
        refund_tokens: int,
        *,
        refund_call: bool = False,
        attempt: int = 0,
    ) -> None:
        assert attempt == 0
        whose = (tenant_id, key_id, request_id)
        self.releases.append(Release(whose=whose, refund_tokens=refund_tokens, refund_call=refund_call))

    def slots(self) -> list[tuple[str, str, str]]:
        return [call.slot for call in self.calls if call.stage is not Stage.OVER]


@attrs.define(eq=False)
class Call:
    """One call, and what is known of it by all who could know."""

    process: GatewayProcess
    caller: Caller
    wanted: Bounds
    clock: FakeClock
    request_id: str = attrs.field(factory=lambda: uuid4().hex)
    stage: Stage = Stage.ADMITTED
    verdict: Admitted | None = None
    at_ms: int = 0
    """When it was admitted, by the limit store's clock."""
    lease_until_ms: int = 0
    counts: bool = True
    """Against its limits; what a later room refused does not."""
    committed: int | None = None
    """The tokens of its hold in the ledger, whether its process knows or not."""
    granted: Bounds | None = None
    charge: Charge | None = None
    settlement: Settlement | None = None
    made: int = 0
    """Tokens that the backend read and made, by the backend's own books."""
    backend_honest: bool = True
    outdated: bool = False
    """Admitted by a policy that a command had changed before, and returned."""
    settled_sanely: bool = True
    _debts: Debts = attrs.field(init=False)
    _stay: _Stay = attrs.field(factory=_Stay)
    _tally: Tally = attrs.field(factory=Tally)
    _room: Coroutine[Any, Any, Bounds | None] | None = None

    def __attrs_post_init__(self) -> None:
        self._debts = Debts(
            limits=cast("LimitStore", self.process),
            ledger=cast("BudgetLedger", self.process),
            clock=self.clock,
            request_id=self.request_id,
            attempt=0,
            tenant_id=self.caller.tenant_id,
            key_id=self.caller.key_id,
            began_s=0,
        )

    @property
    def slot(self) -> tuple[str, str, str]:
        return self.caller.tenant_id, self.caller.key_id, self.request_id

    @property
    def tokens(self) -> int:
        """What it counts for in the token windows, at least."""
        if not self.settled_sanely:
            return 0
        if self.charge is not None:
            return self.charge.tokens
        return self.wanted.hold if self.committed is None else self.committed

    def asks(self) -> AdmissionRequest:
        """Room 4."""
        self._debts.will_admit(self.wanted.hold)
        return admission_request(self.caller, self.request_id, tokens=self.wanted.hold, calls=1)

    def asks_ledger(self) -> HoldRequest:
        """Room 5, up to its question. Asked again, it asks the same."""
        assert self.verdict is not None
        if self._room is not None:
            self._room.close()
        presented = Presented(request_id=self.request_id, route="/api/chat", address="192.0.2.1", credential=None)
        permitted = PermittedCall(call=a_call(), model=a_model(), bounds=self.wanted)
        self._room = reserve(
            cast("BudgetLedger", self.process), self._debts, presented, self.caller, permitted, epoch=self.verdict.epoch
        )
        request: HoldRequest = self._room.send(None)
        self.stage = Stage.ASKED_LEDGER
        return request

    def hears(self, verdict: HoldVerdict) -> None:
        """The ledger's answer, and what room 5 makes of it."""
        assert self._room is not None
        try:
            self._room.send(verdict)
        except StopIteration as end:
            self.granted = end.value
        except Refusal:
            self.granted = None
        self._room = None
        if self.granted is None:
            self._pay(Outcome.NOT_SENT)
        else:
            assert isinstance(verdict, Granted)
            self.stage = Stage.HELD

    def gives_up(self) -> None:
        """The ledger did not answer in time: what it held, if it did, stays a debt."""
        assert self._room is not None
        try:
            self._room.throw(StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, "late"))
        except StoreUnavailable:
            self._pay(Outcome.NOT_SENT)
        self._room = None

    def passes(self, objects: int) -> None:
        """The backend makes tokens, and the client gets them."""
        assert self.granted is not None
        room = self.granted.output * self.granted.output_factor - self._tally.objects
        self._stay.sent = Sent.YES
        self._tally.see(Piece(raw=b"", objects=min(objects, room)))

    def ends(self, how: Ends, *, reported: int) -> None:
        """It ends, and pays: room 8."""
        bounds = self.granted
        assert bounds is not None
        self.made = min(reported, bounds.prompt) + self._tally.objects
        match how:
            case Ends.WHOLE | Ends.OVER_CAP:
                self._stay.sent = Sent.YES
                self.backend_honest = how is Ends.WHOLE
                excess = 0 if self.backend_honest else bounds.hold + 1
                usage = Usage(prompt=min(reported, bounds.prompt), output=self._tally.objects + excess)
                self._tally.see(Piece(raw=b"", usage=usage, ended=True))
                outcome = Outcome.DONE
            case Ends.BROKEN_OFF:
                self._stay.sent = Sent.YES
                outcome = Outcome.HUNG_UP
            case Ends.REFUSED | Ends.ERRED | Ends.NOT_SENT | Ends.LEFT_QUEUE if self._tally.objects:
                outcome = Outcome.BACKEND_BROKE_OFF  # too late for any of these
            case Ends.REFUSED:
                self._stay.sent, self.made, outcome = Sent.REFUSED, 0, Outcome.BACKEND_REFUSED
            case Ends.ERRED:
                self._stay.sent, outcome = Sent.ERRED, Outcome.BACKEND_BROKE_OFF
            case Ends.NOT_SENT:
                self.made, outcome = 0, Outcome.NOT_SENT
            case _:
                self.made, outcome = 0, Outcome.HUNG_UP
        self._pay(outcome)

    def ends_absurdly(self, charge: Charge) -> None:
        """As if room 8 had a bug: the ledger must not believe every number."""
        self.settled_sanely = False
        self._stay.sent = Sent.YES
        self._pay(Outcome.FAILED)
        assert self.settlement is not None
        self.process.settles[-1] = self.settlement = attrs.evolve(self.settlement, charge=charge)

    def _pay(self, outcome: Outcome) -> None:
        self.stage = Stage.OVER
        owed = len(self.process.settles)
        call, bounds = a_call(), self.granted or self.wanted
        self.charge = self._debts.pay(call, bounds, self._tally, cast("Dispatch", self._stay), Ending(outcome=outcome))
        self.settlement = next(iter(self.process.settles[owed:]), None)
        if self._stay.sent is Sent.NO and outcome is not Outcome.HUNG_UP:
            self.counts = False
