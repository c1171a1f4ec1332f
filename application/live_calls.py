"""The calls in flight in this process: who they belong to, what they wait for, and how one is cut.

Deadlines are kept by one sweep a second over all calls rather than by a timer per chunk: a call only notes what it
waits for and since when.

A cut is a cancellation with a reason. The call's own task carries it out, so that there is one way to unwind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from enum import Enum

import attrs

from application.afterwork import Afterwork, Slot
from domain.faults import BackendTimeout, Fault, FaultCode
from domain.ports.model_backend import Answer
from domain.ports.surroundings import Clock
from domain.ports.wedge_board import Runner
from domain.settlement import Outcome

SWEEP_INTERVAL_S = 1.0


class Waiting(Enum):
    """What a call waits for."""

    STORES = "stores"
    """Identity, limits, budgets or a turn: each bounds its own waiting."""
    FIRST_BYTE = "first_byte"
    NEXT_BYTE = "next_byte"
    READER = "reader"


@attrs.frozen(kw_only=True)
class Deadlines:
    """How long a call may wait, in seconds."""

    first_byte_s: float
    """For the backend's queue, the model's load and the prompt's evaluation together: nothing comes before them."""
    next_byte_s: float
    reader_s: float
    whole_call_s: float
    drain_s: float = 0.0
    """How long the backend may go on with a call whose client has left; with 0 it is cut at once."""


@attrs.frozen
class Cut:
    """Why a call is ended from outside."""

    outcome: Outcome
    fault: Fault


@attrs.define(eq=False)
class LiveCall:
    """One call in flight."""

    request_id: str
    task: asyncio.Task[None]
    began_s: float
    waits_for: Waiting = Waiting.STORES
    since_s: float = 0.0
    tenant_id: str = ""
    key_id: str = ""
    has_slots: bool = False
    """Whether it has slots in the limit store, which must be renewed."""
    runner: Runner | None = None
    """Where it was sent; None before that."""
    answer: Answer | None = None
    clogged_since_s: float | None = None
    """Since when each sweep has found the answer's buffer full."""
    cut: Cut | None = None
    drain_s: float = 0.0
    drains: bool = False
    """Whether it goes on, and its client is gone."""
    drains_since_s: float | None = None
    """Since when each sweep has found it so."""
    _entered: bool = False

    def enter(self) -> None:
        """The task's first step. A task that is cancelled before it would end without a word, and without a trace."""
        self._entered = True
        if self.cut is not None:
            raise asyncio.CancelledError

    def look(self, now_s: float) -> None:
        """Notes whether the answer's buffer is full, whether the call drains, and since when."""
        if self.answer is None or not self.answer.clogged:
            self.clogged_since_s = None
        elif self.clogged_since_s is None:
            self.clogged_since_s = now_s
        if self.drains and self.drains_since_s is None:
            self.drains_since_s = now_s

    def end(self, cut: Cut) -> None:
        """Cuts the call. The first reason stands."""
        if self.task.done() or (self.cut is not None and not self.drains):
            return
        self.cut = self.cut or cut
        self.drains = False
        if self._entered:
            self.task.cancel()

    def hang_up(self) -> None:
        """Its client is gone: cuts it, or lets a backend that has it finish, to nobody, for a bounded time."""
        if self.cut is None and self.drain_s and self.runner is not None:
            self.cut, self.drains = HUNG_UP, True
        else:
            self.end(HUNG_UP)


HUNG_UP = Cut(Outcome.HUNG_UP, Fault(FaultCode.CLIENT_HUNG_UP, "The client hung up."))
SHUT_DOWN = Cut(Outcome.SHUT_DOWN, Fault(FaultCode.SHUTTING_DOWN, "The gateway is shutting down. Please try again."))


def _key_cut() -> Cut:
    return Cut(
        Outcome.KEY_CUT,
        Fault(FaultCode.KEY_CUT, "This API key was revoked or its tenant suspended. Ask the gateway's operator."),
    )


def overdue(call: LiveCall, now_s: float, deadlines: Deadlines) -> Cut | None:
    """Whether, and why, a call has waited too long."""
    waited = now_s - call.since_s
    if call.drains_since_s is not None and now_s - call.drains_since_s > call.drain_s:
        return HUNG_UP
    if now_s - call.began_s > deadlines.whole_call_s:
        fault = Fault(
            FaultCode.CALL_TOO_LONG, f"The call took longer than {deadlines.whole_call_s:.0f} s. Ask for less."
        )
        return Cut(Outcome.TIMED_OUT, fault)
    match call.waits_for:
        case Waiting.FIRST_BYTE if waited > deadlines.first_byte_s:
            return Cut(Outcome.TIMED_OUT, BackendTimeout())
        case Waiting.NEXT_BYTE if waited > deadlines.next_byte_s:
            return Cut(Outcome.TIMED_OUT, BackendTimeout("The model backend stopped in the middle of its answer."))
        case Waiting.READER if waited > deadlines.reader_s or _clogged(call, now_s):
            fault = Fault(FaultCode.READER_TOO_SLOW, "The client reads too slowly; the answer was cut. Read faster.")
            return Cut(Outcome.READER_TOO_SLOW, fault)
        case _:
            return None


def _clogged(call: LiveCall, now_s: float) -> bool:
    # A full buffer means that the backend is being held up: that must not last, whatever the reader's deadline, nor
    # be drawn out by a reader who sips.
    return call.clogged_since_s is not None and now_s - call.clogged_since_s > SWEEP_INTERVAL_S


class LiveCalls:
    """All calls in flight in this process."""

    def __init__(self, clock: Clock, deadlines: Deadlines) -> None:
        self._clock = clock
        self._deadlines = deadlines
        self._calls: dict[str, LiveCall] = {}
        self.afterwork = Afterwork()
        """What goes on at the backends after calls were abandoned."""

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, request_id: str) -> LiveCall:
        return self._calls[request_id]

    def __iter__(self) -> Iterator[LiveCall]:
        return iter(list(self._calls.values()))

    def slots(self) -> Sequence[Slot]:
        """The leases that must be renewed: of the calls in flight, and of those whose backend still works on."""
        live = [(call.tenant_id, call.key_id, call.request_id) for call in self if call.has_slots]
        return [*live, *self.afterwork.slots]

    def add(self, request_id: str, task: asyncio.Task[None]) -> LiveCall:
        """Notes a call that begins; it is forgotten when its task ends."""
        now = self._clock.monotonic_s()
        call = LiveCall(request_id, task, now, since_s=now, drain_s=self._deadlines.drain_s)
        self._calls[request_id] = call
        task.add_done_callback(lambda _: self._calls.pop(request_id, None))
        return call

    def cut_key(self, key_id: str) -> None:
        """Ends the calls of a revoked key."""
        for call in self:
            if call.key_id == key_id:
                call.end(_key_cut())

    def cut_tenant(self, tenant_id: str) -> None:
        """Ends the calls of a suspended tenant."""
        for call in self:
            if call.tenant_id == tenant_id:
                call.end(_key_cut())

    def cut_all(self, cut: Cut) -> None:
        """Ends every call."""
        for call in self:
            call.end(cut)

    def sweep(self) -> None:
        """Cuts what has waited too long."""
        now = self._clock.monotonic_s()
        for call in self:
            call.look(now)
            cut = overdue(call, now, self._deadlines)
            if cut is not None:
                call.end(cut)

    async def drained(self) -> None:
        """Returns when no call is left, those that begin meanwhile included."""
        while self._calls:
            await asyncio.wait([call.task for call in self])
