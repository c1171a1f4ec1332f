"""Every ending of a call that nobody cuts: paid once, told once, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import attrs
import pytest

from application.live_calls import HUNG_UP
from domain.budgets import Budgets
from domain.calls import Call, Endpoint
from domain.faults import BackendFailed, BackendTimeout, BackendUnreachable, FaultCode, StoreUnavailable
from domain.keys import mint
from domain.limits import Limits
from domain.models import canonical
from domain.policies import Policy
from domain.ports.limit_store import Standing
from domain.refusals import BackendRejected, Code, Refusal
from domain.settlement import Outcome
from domain.tally import Piece, Usage
from tests.application.rig import (
    FORMS,
    HEALTHY,
    HOLD,
    MODEL,
    NATIVE,
    NATIVE_WHOLE,
    OUTPUT,
    PEPPER,
    PROMPT,
    STREAMED,
    WHOLE,
    Client,
    Form,
    Rig,
    RiggedBackend,
    a_call,
    part,
    scene,
    turns_of_the_loop,
    word,
)
from tests.fakes.model_backend import Scene

each_form = pytest.mark.parametrize("form", FORMS, ids=str)
each_stream = pytest.mark.parametrize("form", STREAMED, ids=str)
each_whole = pytest.mark.parametrize("form", WHOLE, ids=str)

UNREACHABLE = Scene(refuses=BackendUnreachable())


# -- done -----------------------------------------------------------------------------------------------------------


@each_form
async def test_a_call_that_is_done_is_charged_what_the_backend_reports(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(limits=Limits(rpm=9, tpm=10_000)))

    served = await rig.serve(client, a_call(form))

    assert served.reply.ended
    assert served.reply.told is None
    assert served.reply.body.count(b"word") == 8
    assert served.reply.rates.rpm == Standing(limit=9, remaining=8, reset_s=61)
    assert rig.used(client) == HEALTHY
    assert rig.settlement(served).backend == "fake"
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=HEALTHY, noted=False)


async def test_times_are_told_from_the_calls_beginning() -> None:
    rig = await Rig.of()
    client = await rig.client()
    begins = asyncio.Event()
    rig.backend.play(attrs.evolve(scene(NATIVE, 1), waits=begins))
    rig.backend.waits_after = 1
    rig.backend.reading.shut()
    rig.register.finding.shut()

    served = rig.start(client)
    await rig.register.finding.reached.wait()
    rig.clock.advance(0.5)
    rig.register.finding.open()
    await turns_of_the_loop()
    rig.clock.advance(2)
    begins.set()
    await rig.backend.reading.reached.wait()
    rig.clock.advance(4)
    rig.backend.reading.open()
    await served.end()

    settlement = rig.settlement(served)
    assert (settlement.queued_ms, settlement.first_byte_ms, settlement.duration_ms) == (0, 2500, 6500)


async def test_the_output_cap_is_what_the_budget_has_left() -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(budgets=Budgets(daily=PROMPT + 5)))
    rig.backend.natural_tokens = 100

    served = await rig.serve(client)

    assert rig.backend.calls[0].bounds.output == 5
    assert rig.used(client) == 11 + 5
    assert rig.releases(served)[0].refund_tokens == HOLD - 16
    rig.assert_nothing_is_left()


@each_stream
async def test_an_answer_without_a_byte_for_the_client_still_begins(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(Scene(pieces=[Piece(b"", usage=Usage(11, 0), ended=True)]))

    served = await rig.serve(client, a_call(form))

    assert served.reply.status == 200
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=11, noted=False)


@each_whole
async def test_a_whole_answer_without_its_end_is_passed_on_and_charged_in_full(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(scene(form, 2))

    served = await rig.serve(client, a_call(form))

    assert served.reply.body == b'{"half": {"half": '
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=HOLD, noted=False)


async def test_what_comes_after_the_end_mark_is_read_but_not_passed_on() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(Scene(pieces=[word(), Piece(b"end", usage=Usage(11, 1), ended=True), word()]))

    served = await rig.serve(client)

    assert served.reply.body == b"word end"
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=12, noted=False)


async def test_a_failure_after_the_end_mark_is_nobodys_business() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(Scene(pieces=[Piece(b"end", usage=Usage(11, 1), ended=True)], breaks=BackendFailed()))

    served = await rig.serve(client)

    assert served.reply.told is None
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=12, noted=False)


# -- refused before anything is held --------------------------------------------------------------------------------


@each_form
async def test_a_missing_key_is_refused(form: Form) -> None:
    rig = await Rig.of()

    served = await rig.serve(None, a_call(form))

    rig.assert_refused(served, "missing_api_key")
    assert rig.limits.requests == []


async def test_a_made_up_key_is_refused() -> None:
    rig = await Rig.of()

    served = await rig.serve(mint("a" * 8, "b" * 32, b"another pepper").secret)

    rig.assert_refused(served, "invalid_api_key")


async def test_a_key_that_the_register_does_not_know_is_refused() -> None:
    rig = await Rig.of()

    served = await rig.serve(mint("a" * 8, "b" * 32, PEPPER).secret)

    rig.assert_refused(served, "invalid_api_key")


async def _revoked(rig: Rig) -> Client:
    client = await rig.client()
    await rig.tenants.revoke_key(client.key.prefix, actor="tests")
    return client


async def _expired(rig: Rig) -> Client:
    client = await rig.client(expires_at=rig.clock.now() + timedelta(seconds=5))
    rig.clock.advance(5)
    return client


async def _suspended(rig: Rig) -> Client:
    client = await rig.client()
    await rig.suspend(client)
    return client


@pytest.mark.parametrize(
    ("made", "code"),
    [(_revoked, "api_key_revoked"), (_expired, "api_key_expired"), (_suspended, "tenant_suspended")],
)
async def test_a_key_that_is_no_longer_good_is_refused(made: Callable[[Rig], object], code: str) -> None:
    rig = await Rig.of()
    client = await made(rig)  # type: ignore[misc]  # all three are coroutine functions

    served = await rig.serve(client)

    rig.assert_refused(served, code)
    assert rig.limits.requests == []


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (a_call(model="unheard-of"), "model_not_found"),
        (a_call(model="gpt-oss:120b-cloud"), "cloud_model"),
        (a_call(model="a b"), "invalid_model_name"),
        (Refusal(Code.INVALID_JSON, "no"), "invalid_json"),
    ],
)
async def test_a_call_that_is_not_permitted_is_refused(call: Call | Refusal, code: str) -> None:
    rig = await Rig.of()
    client = await rig.client()

    served = await rig.serve(client, call)

    rig.assert_refused(served, code)
    assert rig.note(served).key_id == client.key.id
    asked = {(request.tokens, request.calls) for request in rig.limits.requests}
    assert asked == ({(0, 0)} if code == "model_not_found" else set())


async def test_a_model_that_is_not_on_the_list_is_refused_as_if_it_were_not_there() -> None:
    rig = await Rig.of()
    client = await rig.client(key_policy=Policy(models=frozenset({canonical("another")})))

    served = await rig.serve(client)

    rig.assert_refused(served, "model_not_found")


async def test_a_prompt_that_can_never_fit_is_refused() -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(limits=Limits(tpm=PROMPT)))

    served = await rig.serve(client)

    rig.assert_refused(served, "request_exceeds_tpm")


@pytest.mark.parametrize("limits", [Limits(rpm=1), Limits(tpm=HOLD + 5), Limits(concurrency=1)], ids=str)
@each_form
async def test_a_full_rate_is_refused_and_consumes_nothing(limits: Limits, form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client(key_policy=Policy(limits=limits))
    opens = asyncio.Event()
    rig.backend.play(attrs.evolve(scene(form, 1), waits=opens))
    first = rig.start(client, a_call(form))
    await turns_of_the_loop()

    served = await rig.serve(client, a_call(form))

    assert served.reply.code == "rate_limited"
    assert (rig.note(served).status, served.reply.wrongs) == (400, [])
    assert rig.releases(served) == []
    opens.set()
    await first.end()
    assert [one.request_id for one in rig.ledger.settlements] == [first.request_id]
    rig.assert_nothing_is_left()


async def test_a_refusal_tells_where_the_rates_stand() -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(limits=Limits(rpm=1)))
    await rig.serve(client)

    served = await rig.serve(client)

    assert served.reply.rates.rpm == Standing(limit=1, remaining=0, reset_s=61)


async def test_a_spent_budget_is_refused_and_frees_what_was_admitted() -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(budgets=Budgets(total=PROMPT)))

    served = await rig.serve(client)

    rig.assert_refused(served, "budget_exhausted")
    assert [one.refund_tokens for one in rig.releases(served)] == [HOLD]
    assert rig.ledger.settlements == []


@each_form
async def test_a_budget_that_a_running_call_holds_is_refused_as_held_and_free_again_after_it(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client(policy=Policy(budgets=Budgets(daily=HOLD + PROMPT)))
    rig.backend.reading.shut()
    rig.backend.waits_after = 0
    first = rig.start(client, a_call(form))
    await rig.backend.reading.reached.wait()

    refused = await rig.serve(client, a_call(form))
    rig.backend.reading.open()
    await first.end()
    served = await rig.serve(client, a_call(form))

    assert (refused.reply.code, rig.note(refused).code) == ("budget_held", "budget_held")
    assert [one.refund_tokens for one in rig.releases(refused)] == [HOLD]
    assert served.reply.told is None
    rig.assert_nothing_is_left()


async def test_a_register_that_cannot_answer_is_not_a_401() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.books.unavailable = True

    served = await rig.serve(client)

    rig.assert_refused(served, "identity_unavailable")
    assert served.reply.status == 503


async def test_a_limiter_that_cannot_answer_closes_and_what_it_took_is_given_back() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.serve(client)
    rig.limits.scripted.append(StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "no"))
    rig.books.windows.clear()

    served = await rig.serve(client)

    rig.assert_refused(served, "limiter_unavailable")
    assert [one.refund_tokens for one in rig.releases(served)] == [HOLD]
    assert len(rig.backend.calls) == 1


async def test_a_ledger_that_cannot_answer_closes_and_a_hold_it_may_have_made_is_let_go() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.ledger.scripted.append(StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, "no"))

    served = await rig.serve(client)

    rig.assert_refused(served, "ledger_unavailable")
    assert rig.settlement(served).charge.tokens == 0
    rig.assert_settled(served, outcome=Outcome.NOT_SENT, code="ledger_unavailable", tokens=0, noted=True)
    assert rig.backend.calls == []


# -- held, but not sent ---------------------------------------------------------------------------------------------


@each_form
async def test_no_healthy_backend_is_a_fault_that_costs_nothing(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backends.mark_unreachable("fake")

    served = await rig.serve(client, a_call(form))

    assert served.reply.code == "no_backend"
    rig.assert_settled(served, outcome=Outcome.NOT_SENT, code="no_backend", tokens=0, noted=False)


@each_form
async def test_backends_that_cannot_be_reached_are_tried_in_turn_and_taken_out(form: Form) -> None:
    one, two = RiggedBackend("one"), RiggedBackend("two")
    rig = await Rig.of(one, two)
    client = await rig.client()
    one.play(UNREACHABLE)

    served = await rig.serve(client, a_call(form))

    assert rig.settlement(served).backend == "two"
    assert [state.healthy for state in rig.backends.states()] == [False, True]
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=HEALTHY, noted=False)


@each_form
async def test_when_no_backend_can_be_reached_nothing_is_charged(form: Form) -> None:
    one, two = RiggedBackend("one"), RiggedBackend("two")
    rig = await Rig.of(one, two)
    client = await rig.client()
    one.play(UNREACHABLE)
    two.play(UNREACHABLE)

    served = await rig.serve(client, a_call(form))

    assert served.reply.code == "backend_unreachable"
    assert rig.settlement(served).backend is None
    rig.assert_settled(served, outcome=Outcome.NOT_SENT, code="backend_unreachable", tokens=0, noted=False)


@each_form
async def test_a_full_queue_is_a_fault_that_costs_nothing(form: Form) -> None:
    rig = await Rig.of(RiggedBackend(most_in_flight=1), depth=0)
    client = await rig.client()
    opens = asyncio.Event()
    rig.backend.play(attrs.evolve(scene(form, 1), waits=opens))
    first = rig.start(client, a_call(form))
    await turns_of_the_loop()

    served = await rig.serve(client, a_call(form))

    assert served.reply.code == "queue_full"
    opens.set()
    await first.end()
    rig.assert_settled(served, outcome=Outcome.NOT_SENT, code="queue_full", tokens=0, noted=False)


@each_form
async def test_where_nobody_can_say_whose_turn_it_is_nothing_is_sent(form: Form) -> None:
    rig = await Rig.of()
    rig.turns.down = True

    served = await rig.serve(await rig.client(), a_call(form))

    assert served.reply.code == "limiter_unavailable"
    assert rig.backend.calls == []
    rig.assert_settled(served, outcome=Outcome.NOT_SENT, code="limiter_unavailable", tokens=0, noted=False)


@each_form
async def test_a_wait_that_runs_out_is_a_fault_that_costs_nothing(form: Form) -> None:
    rig = await Rig.of(RiggedBackend(most_in_flight=1), wait_s=0.005)
    client = await rig.client()
    opens = asyncio.Event()
    rig.backend.play(attrs.evolve(scene(form, 1), waits=opens))
    first = rig.start(client, a_call(form))
    await turns_of_the_loop()

    served = await rig.serve(client, a_call(form))

    assert served.reply.code == "queue_timeout"
    opens.set()
    await first.end()
    rig.assert_settled(served, outcome=Outcome.NOT_SENT, code="queue_timeout", tokens=0, noted=False)


# -- sent, and failed -----------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Failure:
    """What a backend does instead of answering; what it costs a streamed and a whole call."""

    scene: Scene
    outcome: Outcome
    code: str
    streamed: int
    whole: int


FAILURES = {
    "rejects": Failure(
        scene=Scene(refuses=BackendRejected(400, "this model cannot use tools")),
        outcome=Outcome.BACKEND_REFUSED,
        code="backend_rejected",
        streamed=0,
        whole=0,
    ),
    "is busy": Failure(
        scene=Scene(refuses=BackendFailed("busy", FaultCode.BACKEND_BUSY, answered=True)),
        outcome=Outcome.BACKEND_REFUSED,
        code="backend_busy",
        streamed=0,
        whole=0,
    ),
    "refuses by the operator's mistake": Failure(
        scene=Scene(refuses=BackendFailed(answered=True, refused=True)),
        outcome=Outcome.BACKEND_REFUSED,
        code="backend_failed",
        streamed=0,
        whole=0,
    ),
    "answers an error status": Failure(
        scene=Scene(refuses=BackendFailed(answered=True)),
        outcome=Outcome.BACKEND_BROKE_OFF,
        code="backend_failed",
        streamed=PROMPT,
        whole=PROMPT,
    ),
    "fails unanswered": Failure(
        scene=Scene(refuses=BackendFailed()),
        outcome=Outcome.BACKEND_BROKE_OFF,
        code="backend_failed",
        streamed=PROMPT,
        whole=HOLD,
    ),
    "fails before its first piece": Failure(
        scene=Scene(breaks=BackendFailed()),
        outcome=Outcome.BACKEND_BROKE_OFF,
        code="backend_failed",
        streamed=PROMPT,
        whole=HOLD,
    ),
    "closes without a piece": Failure(
        scene=Scene(), outcome=Outcome.BACKEND_BROKE_OFF, code="backend_failed", streamed=PROMPT, whole=HOLD
    ),
    "does not answer in time": Failure(
        scene=Scene(refuses=BackendTimeout()),
        outcome=Outcome.BACKEND_BROKE_OFF,
        code="backend_timeout",
        streamed=PROMPT,
        whole=HOLD,
    ),
    "trips over a mistake of ours": Failure(
        scene=Scene(refuses=ValueError("a bug")),
        outcome=Outcome.FAILED,
        code="internal_error",
        streamed=PROMPT,
        whole=HOLD,
    ),
}


@pytest.mark.parametrize("what", FAILURES)
@each_form
async def test_a_backend_that_fails_before_its_first_piece_is_told_as_a_status(what: str, form: Form) -> None:
    rig = await Rig.of(RiggedBackend("one"), RiggedBackend("two"))
    client = await rig.client()
    failure = FAILURES[what]
    rig.backend.play(failure.scene)

    served = await rig.serve(client, a_call(form))

    assert (served.reply.code, served.reply.body) == (failure.code, b"")
    assert rig.fakes[1].calls == []  # what was sent is never sent twice
    tokens = failure.streamed if form.streamed else failure.whole
    assert rig.used(client) == tokens
    rig.assert_settled(served, outcome=failure.outcome, code=failure.code, tokens=tokens, noted=False)


ENDS = {
    "breaks off": {"breaks": BackendFailed(code=FaultCode.STREAM_BROKEN)},
    "ends without its mark": {},
}


@pytest.mark.parametrize("what", ENDS)
@each_stream
async def test_a_stream_that_breaks_off_tells_so_in_the_stream_and_charges_what_passed(what: str, form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(scene(form, 3, **ENDS[what]))

    served = await rig.serve(client, a_call(form))

    assert (served.reply.status, served.reply.code, served.reply.ended) == (200, "stream_broken", True)
    assert served.reply.body == b"word word word "
    rig.assert_settled(served, outcome=Outcome.BACKEND_BROKE_OFF, code="stream_broken", tokens=PROMPT + 4, noted=False)


@each_whole
async def test_a_whole_answer_that_breaks_off_is_told_as_a_status_and_charged_in_full(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(scene(form, 2, breaks=BackendFailed()))

    served = await rig.serve(client, a_call(form))

    assert (served.reply.status, served.reply.code, served.reply.body) == (503, "backend_failed", b"")
    rig.assert_settled(served, outcome=Outcome.BACKEND_BROKE_OFF, code="backend_failed", tokens=HOLD, noted=False)


@each_form
async def test_an_error_in_the_answer_is_told_in_our_words(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    before = word() if form.streamed else part()
    rig.backend.play(Scene(pieces=[before, Piece(b"secret path", error="secret path")]))

    served = await rig.serve(client, a_call(form))

    assert served.reply.body == (b"word " if form.streamed else b"")
    assert served.reply.status == (200 if form.streamed else 503)
    code = "stream_broken" if form.streamed else "backend_failed"
    tokens = PROMPT + 2 if form.streamed else HOLD
    rig.assert_settled(served, outcome=Outcome.BACKEND_BROKE_OFF, code=code, tokens=tokens, noted=False)


async def test_an_error_in_the_first_piece_is_still_a_status() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(Scene(pieces=[Piece(b"", error="no")]))

    served = await rig.serve(client)

    assert served.reply.status == 503
    rig.assert_settled(served, outcome=Outcome.BACKEND_BROKE_OFF, code="stream_broken", tokens=PROMPT, noted=False)


@each_stream
async def test_a_backend_that_goes_on_past_its_cap_is_cut_and_charges_no_more_than_the_hold(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(Scene(pieces=[word(), word(2 * OUTPUT + 16), word()]))

    served = await rig.serve(client, a_call(form))

    assert (served.reply.body, served.reply.code) == (b"word ", "stream_broken")
    rig.assert_settled(served, outcome=Outcome.CUT_AT_CAP, code="stream_broken", tokens=HOLD, noted=False)


# -- our own mistakes -----------------------------------------------------------------------------------------------


async def test_a_mistake_of_ours_before_the_hold_is_told_and_noted() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.limits.scripted.append(ZeroDivisionError())

    served = await rig.serve(client)

    rig.assert_refused(served, "internal_error")


@pytest.mark.parametrize("fault", [ConnectionResetError("gone"), ZeroDivisionError("a bug")])
async def test_a_client_that_cannot_be_told_leaves_its_trace_all_the_same(fault: Exception) -> None:
    rig = await Rig.of()
    reply_to = rig.start(None)
    reply_to.reply.fault = fault

    await reply_to.end()

    assert rig.note(reply_to).code == "missing_api_key"
    assert reply_to.live.task.exception() is None


async def test_a_client_that_cannot_be_written_to_is_settled() -> None:
    rig = await Rig.of()
    client = await rig.client()
    served = rig.start(client)
    served.reply.fault = ConnectionResetError("gone")

    await served.end()

    assert served.live.task.exception() is None
    rig.assert_settled(served, outcome=Outcome.FAILED, code="internal_error", tokens=PROMPT + 2, noted=False)


@pytest.mark.parametrize("form", [NATIVE, NATIVE_WHOLE], ids=str)
async def test_an_answer_that_cannot_be_closed_keeps_neither_turn_nor_tokens(form: Form) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.close_fault = ZeroDivisionError("a bug")

    served = await rig.serve(client, a_call(form))

    assert served.live.task.exception() is None
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=HEALTHY, noted=False)


# -- counts that are not to be believed, and embeddings -------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "tokens", "overshoot"),
    [
        (Usage(None, None), PROMPT + 3, 0),  # two words of five bytes, four bytes a token
        (Usage(-5, -7), PROMPT + 2, 0),
        (Usage(0, 0), PROMPT + 2, 0),
        (Usage(11, 1), 11 + 2, 0),  # more passed than it says
        (Usage(PROMPT, OUTPUT), HOLD, 0),
        (Usage(10**9, 10**9), HOLD, 2 * 10**9 - HOLD),
    ],
)
@each_form
async def test_counts_are_believed_within_bounds(form: Form, usage: Usage, tokens: int, overshoot: int) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.play(Scene(pieces=[word(), word(), Piece(b"end", usage=usage, ended=True)]))

    served = await rig.serve(client, a_call(form))

    assert rig.settlement(served).charge.overshoot == overshoot
    assert rig.used(client) == tokens
    rig.assert_settled(served, outcome=Outcome.DONE, code=None, tokens=tokens, noted=False)


@pytest.mark.parametrize("passed", range(1, 9))
async def test_a_client_that_leaves_early_pays_at_least_what_was_made_for_it(passed: int) -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.backend.waits_after = passed
    rig.backend.reading.shut()
    served = rig.start(client)
    await asyncio.wait_for(rig.backend.reading.reached.wait(), 5)

    served.live.end(HUNG_UP)
    await served.end()

    assert HOLD >= rig.used(client) >= PROMPT + passed
    rig.assert_nothing_is_left()


def _an_embedding(endpoint: Endpoint) -> Call:
    return Call(endpoint=endpoint, model=MODEL, streamed=False, fields={}, inputs_bytes=(100,))


@pytest.mark.parametrize(
    ("played", "tokens", "outcome"),
    [
        (None, 11, Outcome.DONE),
        (Scene(refuses=BackendFailed()), PROMPT, Outcome.BACKEND_BROKE_OFF),
        (Scene(pieces=[part()], breaks=BackendFailed()), PROMPT, Outcome.BACKEND_BROKE_OFF),
        (Scene(refuses=BackendRejected(400, "no")), 0, Outcome.BACKEND_REFUSED),
    ],
)
@pytest.mark.parametrize("endpoint", [Endpoint.NATIVE_EMBED, Endpoint.OPENAI_EMBEDDINGS], ids=str)
async def test_an_embedding_is_charged_its_prompt_at_most(
    endpoint: Endpoint, played: Scene | None, tokens: int, outcome: Outcome
) -> None:
    rig = await Rig.of()
    client = await rig.client()
    if played is not None:
        rig.backend.play(played)

    served = await rig.serve(client, _an_embedding(endpoint))

    settlement = rig.settlement(served)
    assert (settlement.outcome, settlement.charge.tokens) == (outcome, tokens)
    assert [one.refund_tokens for one in rig.releases(served)] == [PROMPT - tokens]
    rig.assert_nothing_is_left()
