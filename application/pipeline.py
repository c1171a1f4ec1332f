"""The request pipeline: the rooms in order, readable top to bottom.

    identify -> permit -> admit -> reserve -> dispatch -> relay -> settle

One call runs in one task of the application, which the door cancels when the client hangs up. Whatever happens, the
`finally` at the bottom pays what was taken: exactly once, without waiting.
"""

from __future__ import annotations

import asyncio

import structlog

from application.backends import Backends
from application.live_calls import SHUT_DOWN, LiveCall, LiveCalls
from application.notes import note_of
from application.passage import Entered, Passage
from application.presented import PresentedCall, Rates, Reply
from application.records import record_of
from application.rooms.admit import Admit, admission_request
from application.rooms.dispatch import Dispatch
from application.rooms.identify import TRIES, Identify, never_settled
from application.rooms.keep import Keep
from application.rooms.permit import TURNED_BY_POLICY, permit
from application.rooms.relay import CapBroken, read_to_end, relay, relay_whole
from application.rooms.reserve import reserve
from application.rooms.settle import Debts, outcome_of
from application.watchdog import Watchdog
from domain.bounds import OutputCaps
from domain.calls import PermittedCall
from domain.faults import BackendFailed, Fault, FaultCode, internal_error
from domain.models import shortest
from domain.policies import Caller
from domain.ports.budget_ledger import BudgetLedger
from domain.ports.call_observer import CallObserver, Room
from domain.ports.limit_store import Admitted, Full, LimitStore, Outdated
from domain.ports.model_backend import Answer
from domain.ports.surroundings import Clock
from domain.ports.turns import Turns
from domain.ports.usage_journal import UsageJournal
from domain.refusals import RateLimited, Refusal
from domain.settlement import Outcome, Sent

LAST_WORDS_S = 5.0
"""How long a client is given to take the end of a broken answer."""
_MOST_LOGGED = 200
"""Characters of a model's name: it is the caller's text."""
_log = structlog.get_logger("neuronetz")


class Pipeline:
    """Serves calls."""

    def __init__(
        self,
        *,
        identify: Identify,
        admit: Admit,
        limits: LimitStore,
        ledger: BudgetLedger,
        journal: UsageJournal,
        backends: Backends,
        turns: Turns,
        live_calls: LiveCalls,
        watchdog: Watchdog,
        clock: Clock,
        caps: OutputCaps,
        observer: CallObserver,
        keep: Keep,
    ) -> None:
        self._identify = identify
        self._admit = admit
        self._limits = limits
        self._ledger = ledger
        self._journal = journal
        self._backends = backends
        self._turns = turns
        self._live_calls = live_calls
        self._watchdog = watchdog
        self._clock = clock
        self._caps = caps
        self._observer = observer
        self._keep = keep

    def start(self, presented: PresentedCall, reply: Reply) -> LiveCall:
        """Begins a call in a task of the application's own. It never raises; to end it early, cut it."""
        task = asyncio.create_task(self._serve(presented, reply))
        return self._live_calls.add(presented.request_id, task)

    # -- the rooms ----------------------------------------------------------------------------------------------

    async def _serve(self, presented: PresentedCall, reply: Reply) -> None:
        passage = Passage(
            presented=presented,
            reply=reply,
            live=self._live_calls[presented.request_id],
            dispatch=Dispatch(self._backends, self._turns, self._clock, self._live_calls.afterwork, self._watchdog),
        )
        try:
            passage.live.enter()
            entered = await self._enter(passage)
            answer = await self._answer(passage, entered)
            passage.ending.outcome = Outcome.HUNG_UP if passage.live.drains else Outcome.DONE
            await read_to_end(answer)
        except asyncio.CancelledError:
            await self._end_cut(passage)
        except (Refusal, Fault) as reason:
            await self._end_badly(passage, reason)
        except CapBroken:
            await self._end_at_cap(passage)
        except Exception:  # noqa: BLE001  the last line of defence: a bug of ours still answers, settles and is logged
            _log.exception("call_failed", request_id=presented.request_id)
            await self._end_badly(passage, internal_error())
        finally:
            self._settle(passage)

    async def _enter(self, passage: Passage) -> Entered:
        """Rooms 2 to 5. An identity that proves outdated is looked up afresh, and the call starts over."""
        presented = passage.presented
        for attempt in range(TRIES):
            passage.enter(Room.IDENTIFY)
            caller = passage.caller = await self._identify(presented, fresh=attempt > 0)
            passage.live.tenant_id, passage.live.key_id = caller.tenant_id, caller.key_id
            self._keep.require(caller)
            passage.enter(Room.PERMIT)
            permitted = await self._permit(passage, caller, attempt)
            if permitted is None:
                continue
            passage.enter(Room.ADMIT)
            debts = passage.debts = self._debts(passage, caller, attempt)
            admitted = await self._take_rates(passage, debts, caller, permitted)
            if admitted is None:
                continue
            passage.enter(Room.RESERVE)
            bounds = await reserve(self._ledger, debts, presented, caller, permitted, epoch=admitted.epoch)
            if bounds is None:
                passage.pay()
                if attempt > 0:  # the caller was looked up afresh, so it may be the windows that are out of date
                    question = admission_request(caller, presented.request_id, tokens=0, calls=0)
                    await self._admit.renew(question, admitted.epoch)
                continue
            passage.granted, passage.bounds = True, bounds
            self._keep.listen(passage)
            return Entered(permitted=permitted, bounds=bounds)
        raise never_settled()

    async def _permit(self, passage: Passage, caller: Caller, attempt: int) -> PermittedCall | None:
        """Room 3. None: the caller is out of date, and may be allowed by now what its copy does not allow."""
        presented = passage.presented
        call = passage.call = passage.call or await presented.read()
        try:
            permitted = permit(caller, call, self._backends.catalogue, self._caps)
        except Refusal as refusal:
            if attempt > 0 or refusal.code not in TURNED_BY_POLICY:
                raise
            question = admission_request(caller, presented.request_id, tokens=0, calls=0)
            if not isinstance(await self._admit(question), Outdated):
                raise
            return None
        passage.bounds, passage.model = permitted.bounds, shortest(permitted.model.canonical)
        return permitted

    def _debts(self, passage: Passage, caller: Caller, attempt: int) -> Debts:
        """Each attempt is an admission of its own: the store answers a repeated one as it did before."""
        return Debts(
            limits=self._limits,
            ledger=self._ledger,
            clock=self._clock,
            request_id=passage.presented.request_id,
            attempt=attempt,
            tenant_id=caller.tenant_id,
            key_id=caller.key_id,
            began_s=passage.live.began_s,
        )

    async def _take_rates(
        self, passage: Passage, debts: Debts, caller: Caller, permitted: PermittedCall
    ) -> Admitted | None:
        """Room 4. None: the caller is out of date."""
        tokens = permitted.bounds.hold
        debts.will_admit(tokens)
        question = admission_request(caller, debts.request_id, tokens=tokens, calls=1, attempt=debts.attempt)
        verdict = await self._admit(question)
        if isinstance(verdict, Admitted):
            passage.live.has_slots = True
            passage.rates = Rates(rpm=verdict.rpm, tpm=verdict.tpm)
            return verdict
        debts.nothing_admitted()
        if isinstance(verdict, Full):
            passage.rates = Rates(rpm=verdict.rpm, tpm=verdict.tpm)
            raise RateLimited(
                rate=verdict.rate, scope=verdict.scope, limit=verdict.limit, retry_after_s=verdict.retry_after_s
            )
        return None

    async def _answer(self, passage: Passage, entered: Entered) -> Answer:
        """Rooms 6 and 7."""
        dispatch, live, reply = passage.dispatch, passage.live, passage.reply
        tally, rates = passage.tally, passage.rates
        first = await dispatch.first_piece(passage.presented.request_id, entered.permitted, entered.bounds, live)
        answer = dispatch.answer
        if answer is None:
            raise AssertionError("a first piece comes from an answer")
        if entered.permitted.call.streamed:
            bounds = entered.bounds
            await relay(answer, first, reply, rates=rates, bounds=bounds, tally=tally, live=live, clock=self._clock)
        else:
            await relay_whole(answer, first, reply, rates=rates, tally=tally, live=live, clock=self._clock)
        return answer

    def _settle(self, passage: Passage) -> None:
        """Room 8."""
        passage.enter(Room.SETTLE)
        passage.dispatch.leave()
        passage.ending.status = passage.reply.status
        passage.ending.bytes_out = passage.reply.bytes_out
        passage.pay()
        self._keep.end(passage)
        self._observer.ended(record_of(passage, self._clock))
        self._log_end(passage)

    def _log_end(self, passage: Passage) -> None:
        """One line a call. Who, what, how it ended; never a key, never a prompt."""
        presented, caller, ending = passage.presented, passage.caller, passage.ending
        _log.info(
            "call",
            request_id=presented.request_id,
            route=presented.route,
            tenant=caller.tenant_name if caller else None,
            key=caller.key_prefix if caller else None,
            model=passage.model,
            asked=passage.call.model[:_MOST_LOGGED] if passage.call else None,
            backend=passage.dispatch.backend,
            status=ending.status,
            outcome=ending.outcome.value,
            code=ending.code,
            ms=int((self._clock.monotonic_s() - passage.live.began_s) * 1000),
        )

    # -- other endings ------------------------------------------------------------------------------------------

    async def _end_badly(self, passage: Passage, reason: Refusal | Fault) -> None:
        if isinstance(reason, BackendFailed) and reason.lost:
            passage.dispatch.sent = Sent.LOST
        if passage.live.drains:
            passage.ending.outcome = Outcome.HUNG_UP
            return
        passage.ending.code = reason.code.value
        passage.ending.outcome = outcome_of(reason, passage.dispatch.sent)
        await self._last_words(passage, reason)
        self._note_refusal(passage, reason)

    async def _end_cut(self, passage: Passage) -> None:
        if passage.ending.outcome is Outcome.DONE:
            return  # the client has its whole answer
        cut = passage.live.cut or SHUT_DOWN  # nobody else cancels a call without saying why
        passage.ending.outcome = cut.outcome
        passage.ending.code = cut.fault.code.value if cut.outcome is not Outcome.HUNG_UP else None
        if cut.outcome is not Outcome.HUNG_UP:
            await self._last_words(passage, cut.fault)
        self._note_refusal(passage, cut.fault)

    async def _end_at_cap(self, passage: Passage) -> None:
        passage.ending.outcome = Outcome.CUT_AT_CAP
        passage.ending.code = FaultCode.STREAM_BROKEN.value
        await self._last_words(
            passage, BackendFailed("The model backend went on past its output cap.", FaultCode.STREAM_BROKEN)
        )

    async def _last_words(self, passage: Passage, reason: Refusal | Fault) -> None:
        """Tells the client, if it still listens."""
        # The GPU is let go first: the client may take its time.
        passage.dispatch.leave()
        if passage.live.drains:
            return  # there is no client
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                if not passage.reply.begun:
                    await passage.reply.refuse(reason, passage.rates)
                else:
                    await passage.reply.break_off(_as_fault(reason))
        except (TimeoutError, asyncio.CancelledError):
            _log.info("client_did_not_listen", request_id=passage.presented.request_id)
        except Exception:  # noqa: BLE001  a client that cannot be told must not cost the audit its trace
            _log.exception("client_not_told", request_id=passage.presented.request_id)

    def _note_refusal(self, passage: Passage, reason: Refusal | Fault) -> None:
        if not passage.granted:
            self._journal.note(note_of(passage.presented, passage.reply, reason, passage.caller, passage.model_noted))


def _as_fault(reason: Refusal | Fault) -> Fault:
    return reason if isinstance(reason, Fault) else Fault(FaultCode.STREAM_BROKEN, reason.sentence)
