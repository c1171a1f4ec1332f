import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calls import Endpoint
from domain.prompts import MOST_BYTES, Exchange, Heading, Hearing, Kept, Part, bound_to, end_of_hour, prompt_of
from tests.builders import a_call

HEADING = Heading(
    request_id="0" * 32, tenant_id="t", key_id="k", key_prefix="nz_abcd1234", route="/r", model="m", streamed=True
)
TEN = datetime(2027, 1, 31, 10, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("expires_at", "ends_at"),
    [
        (TEN, TEN),
        (TEN + timedelta(microseconds=1), TEN + timedelta(hours=1)),
        (TEN + timedelta(minutes=59, seconds=59, microseconds=999_999), TEN + timedelta(hours=1)),
        (TEN.replace(hour=23, minute=30), datetime(2027, 2, 1, tzinfo=UTC)),
    ],
)
def test_a_data_key_ends_with_the_hour_of_expiry(expires_at: datetime, ends_at: datetime) -> None:
    assert end_of_hour(expires_at) == ends_at


@given(minutes=st.integers(0, 10**6), microseconds=st.integers(0, 10**6))
def test_a_data_key_outlives_its_entry_by_less_than_an_hour(minutes: int, microseconds: int) -> None:
    expires_at = TEN + timedelta(minutes=minutes, microseconds=microseconds)

    assert timedelta(0) <= end_of_hour(expires_at) - expires_at < timedelta(hours=1)


@given(fields=st.dictionaries(st.text(max_size=8).filter(lambda name: not name.startswith("image")), JSON, max_size=5))
def test_a_small_prompt_is_kept_whole_as_json(fields: dict[str, object]) -> None:
    kept = prompt_of(a_call(fields=fields, model="llama3.2", streamed=False))

    assert json.loads(kept.text) == {"model": "llama3.2", "stream": False} | fields
    assert not kept.cut


@given(
    texts=st.lists(st.sampled_from(["a", "é", "𐍈", "\n", '"', "\0"]).map(lambda one: one * 30_000), max_size=16),
    short=st.lists(st.text(max_size=3), max_size=50),
)
def test_of_any_prompt_no_more_is_kept_than_may_be(texts: list[str], short: list[str]) -> None:
    kept = prompt_of(a_call(fields={"input": [*texts, *short], "options": {"stop": short}}))

    assert len(kept.text) <= MOST_BYTES
    if sum(len(text.encode()) for text in texts) > MOST_BYTES:
        assert kept.cut


@pytest.mark.parametrize("text", ["a", "é", "𐍈", "\n", 'a "quoted" line\n'])
def test_a_long_prompt_is_cut_and_says_so_and_is_json_still(text: str) -> None:
    kept = prompt_of(a_call(fields={"messages": [{"role": "user", "content": text * 4_000_000}, {"role": "user"}]}))

    body = json.loads(kept.text)
    assert kept.cut
    assert MOST_BYTES * 0.99 < len(kept.text) <= MOST_BYTES
    assert set(body["messages"][0]["content"]) == set(text)


def test_a_multitude_of_small_values_is_cut_too() -> None:
    kept = prompt_of(a_call(fields={"tools": [{"parameters": [1] * 1_000_000}]}))

    assert kept.cut
    assert len(kept.text) <= MOST_BYTES


def test_images_are_kept_as_their_size() -> None:
    image = "QUJD" * 1000
    native = {"messages": [{"role": "user", "content": "look", "images": [image, "QUJD"]}], "images": [image]}
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
    openai = {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]}

    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": image}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [block]}
    anthropic = {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, block, result]}]}

    for fields in (native, openai, anthropic):
        kept = prompt_of(a_call(fields=fields, endpoint=Endpoint.OPENAI_CHAT))
        assert b"QUJD" not in kept.text
        assert b"image of 3000 bytes" in kept.text
        assert b"look" in kept.text
        assert not kept.cut


def test_a_field_that_is_only_called_images_is_kept_as_it_is() -> None:
    fields = {"tools": [{"images": [1, 2], "image_url": "no table"}]}

    assert json.loads(prompt_of(a_call(fields=fields)).text)["tools"] == fields["tools"]


@pytest.mark.parametrize("name", ["images", "image_url"])
def test_what_a_caller_calls_images_where_none_can_be_is_kept_word_for_word(name: str) -> None:
    hidden = {name: ["a word"]} if name == "images" else {name: {"url": "a word"}}
    call = {"function": {"name": "f", "arguments": hidden}}
    fields = {"messages": [{"role": "assistant", "tool_calls": [call]}], "tools": [{"parameters": hidden}]}

    assert json.loads(prompt_of(a_call(fields=fields)).text) == {"model": "llama3.2", "stream": True} | fields


@pytest.mark.parametrize(
    "message",
    [
        {"images": [""] * 500_000},
        {"content": [{"type": "image_url", "image_url": {str(nth): "" for nth in range(200_000)}}]},
        {"tool_calls": [{"function": {"arguments": {"images": [""] * 500_000}}}]},
        {"tool_calls": [{"function": {"arguments": {"x" * 4_000_000: 1}}}]},
    ],
)
def test_a_multitude_of_images_or_a_long_name_is_cut_before_it_is_written(message: dict[str, object]) -> None:
    kept = prompt_of(a_call(fields={"messages": [message]}))

    assert kept.cut
    assert json.loads(kept.text)  # what was written whole and then cut would be no JSON


def test_half_a_surrogate_pair_does_no_harm() -> None:
    assert prompt_of(a_call(fields={"prompt": "a\ud800b"})).text.decode().count("?") == 1


@given(pieces=st.lists(st.binary(max_size=50)))
def test_what_is_heard_piece_by_piece_is_kept_as_one(pieces: list[bytes]) -> None:
    hearing = Hearing()
    for piece in pieces:
        hearing.add(piece)

    assert hearing.kept() == Kept(b"".join(pieces), cut=False)


def test_of_an_answer_no_more_is_kept_than_may_be() -> None:
    hearing = Hearing()
    for _ in range(300):
        hearing.add(b"x" * 1000)
    exactly = Hearing()
    exactly.add(b"x" * MOST_BYTES)

    assert hearing.kept() == Kept(b"x" * MOST_BYTES, cut=True)
    assert exactly.kept().cut is False


def test_an_answer_in_tiny_pieces_takes_hardly_more_memory_than_its_bytes() -> None:
    hearing = Hearing()
    tracemalloc.start()
    for nth in range(60_000):
        hearing.add(b"%d" % nth)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken < 2 * MOST_BYTES


def test_every_side_of_every_call_is_bound_to_another_place() -> None:
    places = {
        bound_to(attrs.evolve(HEADING, tenant_id=tenant, request_id=request), part)
        for tenant in ("t1", "t2")
        for request in ("r1", "r2")
        for part in Part
    }

    assert len(places) == 8


def test_no_word_of_an_exchange_is_in_its_text_form() -> None:
    exchange = Exchange(
        heading=HEADING, ttl_s=3600, ended_s=0.0, prompt=Kept(b"canary", cut=False), answer=Kept(b"canary", cut=True)
    )
    hearing = Hearing()
    hearing.add(b"canary")

    assert "canary" not in repr(exchange) + repr(hearing)
