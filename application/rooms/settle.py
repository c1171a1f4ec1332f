"""Room 8: what a call owes when it ends, paid exactly once, however it ends.

Each debt is noted **before** the step that incurs it is awaited: a cancelled wait may still have been granted. Paying
is two hand-overs that return at once, so it works in a `finally` of a cancelled task, where an `await` would be
cancelled too; the stores' own lanes carry it out and are drained at shutdown.
"""

from __future__ import annotations

from functools import partial

import attrs

from application.rooms.dispatch import Dispatch
from domain.calls import Bounds, Call
from domain.faults import BackendFault, Fault
from domain.ports.budget_ledger import BudgetLedger, Settlement
from domain.ports.limit_store import LimitStore
from domain.ports.surroundings import Clock
from domain.refusals import BackendRejected, Refusal
from domain.settlement import NOTHING, Charge, Outcome, Sent, charge_of
from domain.tally import Tally

_MS = 1000


@attrs.define
class Ending:
    """How the call ended, as far as it is known yet."""

    outcome: Outcome = Outcome.FAILED
    status: int = 0
    code: str | None = None
    bytes_out: int = 0


@attrs.define(kw_only=True)
class Debts:
    """What one call has taken from limits and budgets."""

    limits: LimitStore
    ledger: BudgetLedger
    clock: Clock
    request_id: str
    attempt: int
    tenant_id: str
    key_id: str
    began_s: float
    admitted_tokens: int = 0
    _release_owed: bool = False
    _settlement_owed: bool = False

    def will_admit(self, tokens: int) -> None:
        """To be called before the limit store is asked."""
        self.admitted_tokens = tokens
        self._release_owed = True

    def will_hold(self) -> None:
        """To be called before the ledger is asked."""
        self._settlement_owed = True

    def nothing_admitted(self) -> None:
        """The limit store has refused, so nothing was taken."""
        self._release_owed = False

    def nothing_held(self) -> None:
        """The ledger has refused, so nothing was taken."""
        self._settlement_owed = False

    def pay(self, call: Call, bounds: Bounds, tally: Tally, dispatch: Dispatch, ending: Ending) -> Charge:
        """Settles and releases, and tells the charge. Returns at once; a second time it does nothing."""
        charge = NOTHING
        if self._settlement_owed:
            self._settlement_owed = False
            charge = charge_of(
                bounds, tally, sent=dispatch.sent, streamed=call.streamed, generates=call.endpoint.generates
            )
            self.ledger.settle(
                Settlement(
                    request_id=self.request_id,
                    tenant_id=self.tenant_id,
                    outcome=ending.outcome,
                    charge=charge,
                    backend=dispatch.backend,
                    status=ending.status,
                    code=ending.code,
                    bytes_out=ending.bytes_out,
                    queued_ms=self._queued_ms(dispatch),
                    first_byte_ms=None if dispatch.first_byte_s is None else self._ms_until(dispatch.first_byte_s),
                    duration_ms=self._ms_until(self.clock.monotonic_s()),
                )
            )
        if self._release_owed:
            self._release_owed = False
            refund = max(0, self.admitted_tokens - charge.tokens)
            # A refused call consumes nothing; a client that leaves the queue has had its place in the minute.
            refused = dispatch.sent is Sent.NO and ending.outcome is not Outcome.HUNG_UP
            release = partial(
                self.limits.release,
                self.tenant_id,
                self.key_id,
                self.request_id,
                refund,
                refund_call=refused,
                attempt=self.attempt,
            )
            dispatch.afterwork.later(dispatch.rest_s, release, (self.tenant_id, self.key_id, self.request_id))
        return charge

    def _queued_ms(self, dispatch: Dispatch) -> int:
        if dispatch.asked_s is None:
            return 0
        until_s = self.clock.monotonic_s() if dispatch.turn_s is None else dispatch.turn_s
        return int((until_s - dispatch.asked_s) * _MS)

    def _ms_until(self, instant_s: float) -> int:
        return int((instant_s - self.began_s) * _MS)


def outcome_of(reason: Refusal | Fault, sent: Sent) -> Outcome:
    """What the audit calls a call that a refusal or a fault has ended."""
    match reason:
        case BackendFault() if sent is Sent.REFUSED:
            return Outcome.BACKEND_REFUSED
        case BackendRejected():
            return Outcome.BACKEND_REFUSED
        case BackendFault() if sent is not Sent.NO:
            return Outcome.BACKEND_BROKE_OFF
        case _:
            return Outcome.NOT_SENT if sent is Sent.NO else Outcome.FAILED
