import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.calls import Bounds
from domain.settlement import NOTHING, Charge, Outcome, Sent, charge_of
from domain.tally import Tally, Usage

BOUNDS = Bounds(prompt=100, output=50)
counts = st.none() | st.integers(-10, 500)
bounds_ = st.builds(
    Bounds, prompt=st.integers(0, 200), output=st.integers(0, 100), output_factor=st.sampled_from([1, 3])
)
tallies = st.builds(
    Tally,
    objects=st.integers(0, 400),
    text_bytes=st.integers(0, 2000),
    usage=st.none() | st.builds(Usage, counts, counts),
    ended=st.booleans(),
)


@attrs.frozen(kw_only=True)
class Case:
    """A call that ended somehow."""

    bounds: Bounds
    tally: Tally
    sent: Sent
    streamed: bool
    generates: bool

    def charge(self) -> Charge:
        return charge_of(self.bounds, self.tally, sent=self.sent, streamed=self.streamed, generates=self.generates)


cases = st.builds(
    Case,
    bounds=bounds_,
    tally=tallies,
    sent=st.sampled_from(list(Sent)),
    streamed=st.booleans(),
    generates=st.booleans(),
)


def sent_case(bounds: Bounds, tally: Tally, *, streamed: bool) -> Case:
    return Case(bounds=bounds, tally=tally, sent=Sent.YES, streamed=streamed, generates=True)


def charged(tally: Tally, *, sent: Sent = Sent.YES, streamed: bool = True, generates: bool = True) -> Charge:
    return charge_of(BOUNDS, tally, sent=sent, streamed=streamed, generates=generates)


@given(cases)
def test_a_charge_is_never_above_the_hold_and_never_below_zero(case: Case) -> None:
    charge = case.charge()

    assert 0 <= charge.tokens <= case.bounds.hold
    assert min(charge.prompt, charge.output, charge.overshoot) >= 0


@given(cases)
def test_what_passed_is_paid_for_up_to_the_hold(case: Case) -> None:
    charge = case.charge()

    if case.sent is Sent.YES and case.generates:
        most = case.bounds.output * case.bounds.output_factor
        assert charge.tokens == case.bounds.hold or charge.output >= min(case.tally.objects, most)


@given(cases)
@example(sent_case(Bounds(prompt=10, output=100), Tally(1, 4, Usage(5, 50), ended=False), streamed=True))
@example(sent_case(Bounds(prompt=10, output=100), Tally(0, 0, Usage(None, None), ended=False), streamed=False))
def test_a_charge_is_never_below_the_backends_own_count_unless_it_broke_its_cap(case: Case) -> None:
    charge = case.charge()

    if case.sent is Sent.YES and case.tally.usage is not None:
        prompt = min(max(case.tally.usage.prompt or 0, 0), case.bounds.prompt)
        output = (
            min(max(case.tally.usage.output or 0, 0), case.bounds.output * case.bounds.output_factor)
            if case.generates
            else 0
        )
        assert charge.tokens + charge.overshoot >= prompt + output


@given(cases)
def test_unknown_usage_is_never_free(case: Case) -> None:
    charge = case.charge()
    known = case.tally.usage is not None and case.tally.ended

    if case.sent in (Sent.YES, Sent.ERRED) and not known:
        assert charge.prompt == case.bounds.prompt


@given(cases)
def test_an_overshoot_means_the_whole_hold_is_charged(case: Case) -> None:
    charge = case.charge()

    assert not charge.overshoot or charge.tokens == case.bounds.hold


@pytest.mark.parametrize("sent", [Sent.NO, Sent.REFUSED])
def test_a_call_that_made_no_token_is_free(sent: Sent) -> None:
    assert charged(Tally(9, 99, Usage(5, 5), ended=True), sent=sent) == NOTHING


@pytest.mark.parametrize(
    ("tally", "expected"),
    [
        (Tally(10, 40, Usage(80, 10), ended=True), Charge(prompt=80, output=10)),
        (Tally(10, 40, Usage(80, 5), ended=True), Charge(prompt=80, output=10)),
        (Tally(10, 40, Usage(80, 20), ended=True), Charge(prompt=80, output=20)),
        (Tally(10, 40, Usage(None, 20), ended=True), Charge(prompt=100, output=20)),
        (Tally(10, 40, Usage(0, 20), ended=True), Charge(prompt=100, output=20)),
        (Tally(10, 40, Usage(-3, -20), ended=True), Charge(prompt=100, output=10)),
        (Tally(10, 40, Usage(80, None), ended=True), Charge(prompt=80, output=10)),
        (Tally(10, 40, Usage(120, 20), ended=True), Charge(prompt=120, output=20)),
        (Tally(10, 40, Usage(140, 20), ended=True), Charge(prompt=140, output=10, overshoot=10)),
        (Tally(10, 40, Usage(900, 20), ended=True), Charge(prompt=150, output=0, overshoot=770)),
        (Tally(10, 40, Usage(100, 900), ended=True), Charge(prompt=100, output=50, overshoot=850)),
        (Tally(99, 40, Usage(10, 5), ended=True), Charge(prompt=10, output=50)),
    ],
)
def test_the_backends_counts_are_believed_within_bounds(tally: Tally, expected: Charge) -> None:
    assert charged(tally) == expected


@pytest.mark.parametrize(
    ("tally", "output"),
    [
        (Tally(), 0),
        (Tally(objects=7), 7),
        (Tally(objects=7, text_bytes=100), 25),
        (Tally(objects=70), 50),
        (Tally(objects=7, usage=Usage(0, 0)), 7),
        (Tally(objects=7, usage=Usage(90, 30)), 30),
        (Tally(objects=7, ended=True), 7),
    ],
)
def test_a_broken_stream_costs_the_prompt_and_what_passed(tally: Tally, output: int) -> None:
    assert charged(tally) == Charge(prompt=100, output=output)


def test_a_broken_answer_of_which_nothing_was_seen_costs_the_hold() -> None:
    assert charged(Tally(), streamed=False) == Charge(prompt=100, output=50)
    assert charged(Tally(objects=1, text_bytes=20), streamed=False) == Charge(prompt=100, output=20)


def test_an_error_status_costs_the_prompt() -> None:
    assert charged(Tally(), sent=Sent.ERRED) == Charge(prompt=100, output=0)


def test_embeddings_cost_no_output() -> None:
    assert charged(Tally(3, 30, Usage(80, 9), ended=True), generates=False) == Charge(prompt=80, output=0)
    assert charged(Tally(3, 30), generates=False) == Charge(prompt=100, output=0)


def test_both_runs_of_a_thinking_model_are_charged() -> None:
    bounds = Bounds(prompt=100, output=50, output_factor=3)
    whole = charge_of(bounds, Tally(usage=Usage(150, 100), ended=True), sent=Sent.YES, streamed=True, generates=True)
    unseen = charge_of(bounds, Tally(), sent=Sent.YES, streamed=False, generates=True)

    assert whole == Charge(prompt=150, output=100)
    assert unseen.tokens == bounds.hold == 250


def test_outcomes_are_stable_words() -> None:
    assert {outcome.value for outcome in Outcome} == {
        "done", "hung_up", "reader_too_slow", "cut_at_cap", "key_cut", "timed_out", "backend_broke_off",
        "backend_refused", "not_sent", "shut_down", "failed", "reaped",
    }  # fmt: skip
