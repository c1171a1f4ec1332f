"""The request pipeline: the rooms in order, readable top to bottom.

    identify -> permit -> admit -> reserve -> dispatch -> relay -> settle

One call runs in one task of the application, which the door cancels when the client hangs up. Whatever happens, the
`finally` at the bottom pays what was taken: exactly once, without waiting.
"""

from __future__ import annotations

import asyncio

import attrs
import structlog

from application.backends import Backends
from application.live_calls import Cut, LiveCall, LiveCalls
from application.presented import NO_RATES, Presented, PresentedCall, Rates, Reply
from application.rooms.admit import Admit, admission_request
from application.rooms.dispatch import Dispatch
from application.rooms.identify import Identify, KnownAndRefused, never_settled
from application.rooms.permit import permit
from application.rooms.relay import CapBroken, read_to_end, relay, relay_whole
from application.rooms.settle import Debts, Ending
from application.turns import Turns
from domain.bounds import OutputCaps
from domain.calls import NO_BOUNDS, Bounds, Call, PermittedCall
from domain.faults import BackendFailed, BackendFault, Fault, FaultCode
from domain.policies import Caller
from domain.ports.budget_ledger import BudgetLedger, Granted, HoldRequest, Spent
from domain.ports.limit_store import Admitted, Full, LimitStore
from domain.ports.model_backend import Answer
from domain.ports.surroundings import Clock
from domain.ports.usage_journal import Note, UsageJournal
from domain.refusals import BackendRejected, BudgetSpent, RateLimited, Refusal
from domain.settlement import Outcome, Sent
from domain.tally import Tally

TRIES = 4
"""How often a call whose identity proves outdated is identified anew."""
LAST_WORDS_S = 5.0
"""How long a client is given to take the end of a broken answer."""
_MOST_LOGGED = 200
"""Characters of a model's name: it is the caller's text."""
_log = structlog.get_logger("neuronetz")


@attrs.frozen(kw_only=True)
class Entered:
    """A call that has passed rooms 2 to 5: known, permitted, admitted, and its tokens held."""

    caller: Caller
    permitted: PermittedCall
    bounds: Bounds
    """With the output cap as granted."""
    rates: Rates


@attrs.define
class Passage:
    """One call on its way through the rooms: what is known of it so far."""

    presented: PresentedCall
    reply: Reply
    live: LiveCall
    tally: Tally
    dispatch: Dispatch
    ending: Ending
    caller: Caller | None = None
    debts: Debts | None = None
    call: Call | None = None
    bounds: Bounds = NO_BOUNDS
    rates: Rates = NO_RATES
    granted: bool = False
    """Whether its tokens are held: the audit then has this call's start, and the settlement writes its end."""


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
        clock: Clock,
        caps: OutputCaps,
    ) -> None:
        self._identify = identify
        self._admit = admit
        self._limits = limits
        self._ledger = ledger
        self._journal = journal
        self._backends = backends
        self._turns = turns
        self._live_calls = live_calls
        self._clock = clock
        self._caps = caps

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
            tally=Tally(),
            dispatch=Dispatch(self._backends, self._turns, self._clock, self._live_calls.afterwork),
            ending=Ending(),
        )
        try:
            passage.live.enter()
            entered = await self._enter(passage)
            answer = await self._answer(passage, entered)
            passage.ending.outcome = Outcome.DONE
            await read_to_end(answer)
        except asyncio.CancelledError:
            await self._end_cut(passage)
        except (Refusal, Fault) as reason:
            await self._end_badly(passage, reason)
        except CapBroken:
            await self._end_at_cap(passage)
        except Exception:  # noqa: BLE001  the last line of defence: a bug of ours still answers, settles and is logged
            _log.exception("call_failed", request_id=presented.request_id)
            await self._end_badly(passage, Fault(FaultCode.INTERNAL, "The gateway failed to serve this request."))
        finally:
            self._settle(passage)

    async def _enter(self, passage: Passage) -> Entered:
        """Rooms 2 to 5. An identity that proves outdated is looked up afresh, and the call starts over."""
        presented = passage.presented
        for attempt in range(TRIES):
            caller = passage.caller = await self._identify(presented, fresh=attempt > 0)
            passage.live.tenant_id, passage.live.key_id = caller.tenant_id, caller.key_id
            call = passage.call = passage.call or presented.read()
            permitted = permit(caller, call, self._backends.catalogue, self._caps)
            passage.bounds = permitted.bounds
            admission_id = presented.request_id if attempt == 0 else f"{presented.request_id}-{attempt}"
            admitted = await self._take_rates(passage, caller, permitted, admission_id)
            if admitted is None:
                continue
            bounds = await self._take_tokens(passage, caller, permitted, admitted)
            if bounds is None:
                continue
            passage.bounds = bounds
            return Entered(caller=caller, permitted=permitted, bounds=bounds, rates=passage.rates)
        raise never_settled()

    async def _take_rates(
        self, passage: Passage, caller: Caller, permitted: PermittedCall, admission_id: str
    ) -> Admitted | None:
        """Room 4. None: the caller is outdated.

        A second attempt needs an admission id of its own: the store answers a repeated one as it did before.
        """
        debts = passage.debts = Debts(
            limits=self._limits,
            ledger=self._ledger,
            clock=self._clock,
            request_id=passage.presented.request_id,
            admission_id=admission_id,
            tenant_id=caller.tenant_id,
            key_id=caller.key_id,
            began_s=passage.live.began_s,
        )
        tokens = permitted.bounds.hold
        debts.will_admit(tokens)
        verdict = await self._admit(admission_request(caller, admission_id, tokens=tokens, calls=1))
        if isinstance(verdict, Admitted):
            passage.live.admission_id = admission_id
            passage.rates = Rates(rpm=verdict.rpm, tpm=verdict.tpm)
            return verdict
        debts.nothing_admitted()
        if isinstance(verdict, Full):
            passage.rates = Rates(rpm=verdict.rpm, tpm=verdict.tpm)
            raise RateLimited(
                rate=verdict.rate, scope=verdict.scope, limit=verdict.limit, retry_after_s=verdict.retry_after_s
            )
        return None

    async def _take_tokens(
        self, passage: Passage, caller: Caller, permitted: PermittedCall, admitted: Admitted
    ) -> Bounds | None:
        """Room 5. None: the caller, or the admission, is outdated."""
        debts, wanted = passage.debts, permitted.bounds
        if debts is None:
            raise AssertionError("rates come before tokens")
        debts.will_hold()
        verdict = await self._ledger.hold(
            HoldRequest(
                request_id=passage.presented.request_id,
                tenant_id=caller.tenant_id,
                key_id=caller.key_id,
                key_prefix=caller.key_prefix,
                epoch=admitted.epoch,
                prompt_tokens=wanted.prompt,
                output_tokens=wanted.output,
                output_factor=wanted.output_factor,
                route=passage.presented.route,
                model=permitted.model.canonical,
                address=passage.presented.address,
            )
        )
        if isinstance(verdict, Granted):
            passage.granted = True
            return attrs.evolve(wanted, output=verdict.output_tokens)
        debts.nothing_held()
        if isinstance(verdict, Spent):
            raise BudgetSpent(
                scope=verdict.scope,
                window=verdict.window,
                limit=verdict.limit,
                used=verdict.used,
                held=verdict.held,
                ends=verdict.ends,
            )
        self._pay(passage)
        return None

    async def _answer(self, passage: Passage, entered: Entered) -> Answer:
        """Rooms 6 and 7."""
        dispatch, live, reply = passage.dispatch, passage.live, passage.reply
        first = await dispatch.first_piece(passage.presented.request_id, entered.permitted, entered.bounds, live)
        answer = dispatch.answer
        if answer is None:
            raise AssertionError("a first piece comes from an answer")
        if not entered.permitted.call.streamed:
            await relay_whole(
                answer, first, reply, rates=entered.rates, tally=passage.tally, live=live, clock=self._clock
            )
            return answer
        await relay(
            answer,
            first,
            reply,
            rates=entered.rates,
            bounds=entered.bounds,
            tally=passage.tally,
            live=live,
            clock=self._clock,
        )
        return answer

    def _settle(self, passage: Passage) -> None:
        """Room 8."""
        passage.dispatch.leave()
        passage.ending.status = passage.reply.status
        passage.ending.bytes_out = passage.reply.bytes_out
        self._pay(passage)
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
            model=passage.call.model[:_MOST_LOGGED] if passage.call else None,
            backend=passage.dispatch.backend,
            status=ending.status,
            outcome=ending.outcome.value,
            code=ending.code,
            ms=int((self._clock.monotonic_s() - passage.live.began_s) * 1000),
        )

    def _pay(self, passage: Passage) -> None:
        passage.live.admission_id = None
        if passage.debts is not None and passage.call is not None:
            passage.debts.pay(passage.call, passage.bounds, passage.tally, passage.dispatch, passage.ending)

    # -- other endings ------------------------------------------------------------------------------------------

    async def _end_badly(self, passage: Passage, reason: Refusal | Fault) -> None:
        passage.ending.code = reason.code.value
        passage.ending.outcome = _outcome(reason, passage.dispatch.sent)
        await self._last_words(passage, reason)
        self._note_refusal(passage, reason)

    async def _end_cut(self, passage: Passage) -> None:
        if passage.ending.outcome is Outcome.DONE:
            return  # the client has its whole answer
        cut = passage.live.cut
        if cut is None:
            cut = Cut(Outcome.SHUT_DOWN, Fault(FaultCode.SHUTTING_DOWN, "The gateway is shutting down."))
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
            self._journal.note(note_of(passage.presented, passage.reply, reason, passage.caller, passage.call))


def _as_fault(reason: Refusal | Fault) -> Fault:
    return reason if isinstance(reason, Fault) else Fault(FaultCode.STREAM_BROKEN, reason.sentence)


def _outcome(reason: Refusal | Fault, sent: Sent) -> Outcome:
    match reason:
        case BackendFault() if sent is Sent.REFUSED:
            return Outcome.BACKEND_REFUSED
        case BackendRejected():
            return Outcome.BACKEND_REFUSED
        case BackendFault() if sent is not Sent.NO:
            return Outcome.BACKEND_BROKE_OFF
        case _:
            return Outcome.NOT_SENT if sent is Sent.NO else Outcome.FAILED


def note_of(
    presented: Presented,
    reply: Reply,
    reason: Refusal | Fault | None,
    caller: Caller | None,
    call: Call | None = None,
) -> Note:
    """The audit trace of a request that took no hold."""
    if isinstance(reason, KnownAndRefused):
        caller = reason.caller
    return Note(
        request_id=presented.request_id,
        event="read" if reason is None else "refused",
        route=presented.route,
        address=presented.address,
        status=reply.status,
        code=None if reason is None else reason.code.value,
        tenant_id=caller.tenant_id if caller else None,
        key_id=caller.key_id if caller else None,
        key_prefix=caller.key_prefix if caller else None,
        model=call.model if call else None,
    )
