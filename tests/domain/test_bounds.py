import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import SLACK_PER_PIECE, TWO_RUNS_FACTOR, bounds_of
from domain.calls import NO_BOUNDS, Bounds, Call, Dialect, Endpoint, PermittedCall
from domain.limits import NO_LIMITS, Limits
from domain.models import Model
from domain.refusals import Code, Refusal
from tests.builders import a_call, a_model, caps

EMBEDDING = Endpoint.NATIVE_EMBED
calls = st.builds(
    a_call,
    endpoint=st.sampled_from(list(Endpoint)),
    inputs_bytes=st.lists(st.integers(0, 100_000), min_size=1, max_size=4).map(tuple),
    pieces=st.integers(1, 600),
    images=st.integers(0, 2),
    asked_output_tokens=st.none() | st.integers(1, 10**19),
    structured=st.booleans(),
    thinks=st.booleans(),
)
models = st.builds(
    a_model,
    context_length=st.none() | st.integers(1, 200_000),
    template_bytes=st.integers(0, 5000),
    capabilities=st.frozensets(st.sampled_from(["completion", "thinking"])),
)
limits = st.builds(Limits, tpm=st.none() | st.integers(1, 300_000))


def bounds_or_none(call: Call, model: Model, *rates: Limits) -> Bounds | None:
    try:
        return bounds_of(call, model, caps(), *rates)
    except Refusal as refusal:
        if refusal.code is not Code.REQUEST_EXCEEDS_TPM:
            raise
        return None


@given(calls, models, st.integers(0, 50_000), st.data())
def test_no_prompt_becomes_more_tokens_than_p(call: Call, model: Model, template: int, data: st.DataObject) -> None:
    """Tokens: at most one a byte of text, one a byte of template, and the slack of each piece; cut to the context."""
    tokens = 0
    for size in call.inputs_bytes:
        text = data.draw(st.integers(0, size))
        around = min(template, model.template_bytes + SLACK_PER_PIECE * call.pieces)
        tokens += min(text + around, model.context_length or text + around)

    assert tokens <= bounds_of(call, model, caps()).prompt or call.images


@given(calls, models)
def test_p_is_never_more_than_the_context_for_each_input(call: Call, model: Model) -> None:
    if model.context_length is not None:
        assert bounds_of(call, model, caps()).prompt <= model.context_length * len(call.inputs_bytes)


@given(calls, models, limits, limits)
def test_the_hold_fits_under_every_token_rate_or_the_call_is_refused(
    call: Call, model: Model, tenant: Limits, key: Limits
) -> None:
    bounds = bounds_or_none(call, model, tenant, key)
    free = bounds_of(call, model, caps())
    rates = [limit.tpm for limit in (tenant, key) if limit.tpm is not None]

    if bounds is None:
        assert any(free.prompt + (free.output_factor if call.endpoint.generates else 0) > tpm for tpm in rates)
        return
    assert all(bounds.hold <= tpm for tpm in rates)
    assert bounds.prompt == free.prompt
    assert bounds.output <= free.output
    assert bounds.output_factor == free.output_factor
    assert (bounds.output >= 1) == call.endpoint.generates


@given(calls, models)
def test_m_is_what_was_asked_within_the_caps(call: Call, model: Model) -> None:
    bounds = bounds_of(call, model, caps(default=1000, most=4000))

    if call.endpoint.generates:
        assert bounds.output == min(call.asked_output_tokens or 1000, 4000)
    else:
        assert bounds.output == 0
        assert bounds.hold == bounds.prompt


def test_p_counts_text_pieces_and_template() -> None:
    call = a_call(inputs_bytes=(100,), pieces=3)

    assert bounds_of(call, a_model(template_bytes=200), caps()).prompt == 100 + 3 * 16 + 200


def test_a_default_cap_above_the_greatest_is_lowered() -> None:
    assert bounds_of(a_call(), a_model(), caps(default=9000, most=500)).output == 500


def test_embeddings_are_bounded_input_by_input() -> None:
    call = a_call(endpoint=EMBEDDING, inputs_bytes=(10, 100_000, 20))

    assert bounds_of(call, a_model(context_length=512, template_bytes=0), caps()).prompt == 26 + 512 + 36


@pytest.mark.parametrize(("context", "expected"), [(4096, 4096), (None, 131_072)])
def test_images_count_the_whole_context(context: int | None, expected: int) -> None:
    call = a_call(images=1, inputs_bytes=(3,))

    assert bounds_of(call, a_model(context_length=context), caps()).prompt == expected


def test_a_prompt_for_an_unknown_context_is_bounded_by_its_bytes() -> None:
    call = a_call(inputs_bytes=(10**6,))

    assert bounds_of(call, a_model(context_length=None, template_bytes=0), caps()).prompt == 10**6 + 16


@pytest.mark.parametrize(
    ("structured", "thinks", "capabilities", "factor"),
    [
        (True, True, {"completion", "thinking"}, TWO_RUNS_FACTOR),
        (True, True, {"completion"}, 1),
        (True, False, {"thinking"}, 1),
        (False, True, {"thinking"}, 1),
        (True, True, set(), TWO_RUNS_FACTOR),
        (True, False, set(), 1),
    ],
)
def test_a_model_that_may_think_runs_twice_for_a_format(
    *, structured: bool, thinks: bool, capabilities: set[str], factor: int
) -> None:
    call = a_call(structured=structured, thinks=thinks, asked_output_tokens=50)
    bounds = bounds_of(call, a_model(capabilities=frozenset(capabilities)), caps())

    assert bounds.output_factor == factor
    assert bounds.hold == bounds.prompt + factor * 50


def test_the_token_rate_lowers_m_for_both_runs() -> None:
    call = a_call(inputs_bytes=(84,), structured=True)
    model = a_model(template_bytes=0, capabilities=frozenset({"thinking"}))
    bounds = bounds_of(call, model, caps(), Limits(tpm=110), NO_LIMITS)

    assert bounds == Bounds(prompt=100, output=3, output_factor=3)


@pytest.mark.parametrize(
    ("endpoint", "tpm", "fits"),
    [
        (Endpoint.NATIVE_CHAT, 101, True),
        (Endpoint.NATIVE_CHAT, 100, False),
        (EMBEDDING, 100, True),
        (EMBEDDING, 99, False),
    ],
)
def test_a_prompt_that_never_fits_a_minute_is_refused(endpoint: Endpoint, tpm: int, *, fits: bool) -> None:
    call = a_call(endpoint=endpoint, inputs_bytes=(84,))
    bounds = bounds_or_none(call, a_model(template_bytes=0), Limits(tpm=tpm))

    assert (bounds is not None) == fits


def test_bounds_of_nothing_hold_nothing() -> None:
    assert NO_BOUNDS.hold == 0


def test_endpoints_know_their_dialect_and_whether_they_generate() -> None:
    assert [endpoint.dialect for endpoint in Endpoint] == [
        *[Dialect.NATIVE] * 4,
        *[Dialect.OPENAI] * 3,
        Dialect.RESPONSES,
        Dialect.ANTHROPIC,
    ]
    assert {e.value for e in Endpoint if not e.generates} == {"/api/embed", "/api/embeddings", "/v1/embeddings"}


def test_the_legacy_embeddings_ask_their_successor_and_everything_else_its_own_path() -> None:
    elsewhere = {endpoint for endpoint in Endpoint if endpoint.upstream != endpoint.value}

    assert elsewhere == {Endpoint.NATIVE_EMBEDDINGS}
    assert Endpoint.NATIVE_EMBEDDINGS.upstream == Endpoint.NATIVE_EMBED.value


def test_a_call_shows_nothing_of_its_prompt() -> None:
    call = a_call(fields={"prompt": "canary"})
    permitted = PermittedCall(call=call, model=a_model(description={"system": "canary"}), bounds=NO_BOUNDS)

    assert "canary" not in f"{call!r} {call} {permitted!r}"
