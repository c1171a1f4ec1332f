"""What is Anthropic's own in its streams; what they share with the others is in `test_streams`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ollama.plain import piece_of
from adapters.ollama.sse_anthropic import AnthropicStream
from domain.calls import Endpoint
from domain.faults import BackendFailed
from domain.tally import Usage
from tests.adapters.ollama.tapes import REQUEST_ID, Sum, chat, tape
from tests.adapters.ollama.test_streams import decode, run

RECORDED = tape("anthropic-messages-stream")


class LongWay(AnthropicStream):
    """Decodes every event."""

    def _usual(self, *_args: Any, **_named: Any) -> None:
        return None


def event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data}, separators=(',', ':'))}\n\n".encode()


def delta(kind: str, **data: Any) -> bytes:
    return event("content_block_delta", index=0, delta={"type": kind, **data})


def heard(*events: bytes, theirs: str = "m") -> Sum:
    return run(AnthropicStream(theirs=theirs, request_id="r"), events)


def test_a_stream_passes_byte_true_but_for_its_id() -> None:
    found = decode(RECORDED, RECORDED.chunks)

    assert found.raw == RECORDED.octets.replace(b"b8fe4d8366ce9ca8c5e19a49", REQUEST_ID.encode())


@pytest.mark.parametrize(
    "octets",
    [
        RECORDED.octets,
        delta("text_delta", text="a") + delta("thinking_delta", thinking="b") + delta("text_delta", text="\\ud83d"),
        delta("text_delta", text='"}}') + delta("text_delta", text="\\") + delta("text_delta", text=""),
        event("content_block_delta", index=1234, delta={"type": "text_delta", "text": "<é\u2028>"}),
        event("content_block_delta", index=-1, delta={"type": "text_delta", "text": "a"}),
        event("content_block_delta", index=[0], delta={"type": "text_delta", "text": "a"}),
    ],
)
def test_the_short_way_decides_nothing_that_the_long_way_decides_otherwise(octets: bytes) -> None:
    short, long = (AnthropicStream(theirs="n", request_id="r"), LongWay(theirs="n", request_id="r"))

    assert run(short, [octets]) == run(long, [octets])
    for at in range(0, len(octets), 7):
        assert run(AnthropicStream(theirs="n", request_id="r"), [octets[:at], octets[at:]]) == run(
            LongWay(theirs="n", request_id="r"), [octets]
        )


@given(text=st.text(min_size=1), thinking=st.booleans())
def test_text_is_counted_exactly_whatever_it_holds(text: str, *, thinking: bool) -> None:
    text = text.encode("utf-8", "ignore").decode()
    kind = "thinking" if thinking else "text"
    octets = delta(f"{kind}_delta", **{kind: text})

    found = heard(octets)

    assert found.text_bytes == len(text.encode())
    assert found.raw == octets


def test_the_estimate_at_the_start_is_never_the_usage() -> None:
    start = event("message_start", message={"id": "msg_1", "usage": {"input_tokens": 7, "output_tokens": 3}})

    assert heard(start).usage is None
    assert heard(start, event("message_stop")).usage is None


def test_the_last_usage_is_believed_and_zeros_mean_not_known() -> None:
    def counted(prompt: Any, output: Any) -> bytes:
        return event("message_delta", delta={}, usage={"input_tokens": prompt, "output_tokens": output})

    assert heard(counted(3, 4), counted(5, 6)).usage == Usage(5, 6)
    assert heard(counted(3, 4), counted(0, 0)).usage == Usage(3, 4)
    assert heard(counted(-1, 6)).usage == Usage(None, 6)
    assert heard(counted("3", True)).usage is None


def test_only_message_stop_is_the_end() -> None:
    assert not heard(event("message_delta", delta={"stop_reason": "end_turn"})).ended
    assert heard(event("message_stop")).ended


def test_a_tool_call_is_counted_by_its_name_and_arguments() -> None:
    found = heard(
        event(
            "content_block_start", index=0, content_block={"type": "tool_use", "id": "1", "name": "abc", "input": {}}
        ),
        delta("input_json_delta", partial_json='{"a":1}'),
    )

    assert found.text_bytes == len("abc") + len('{"a":1}')
    assert found.objects == 2


def test_text_in_the_first_event_is_counted_too() -> None:
    content = [{"type": "text", "text": "free of charge"}]

    assert heard(event("message_start", message={"content": content})).text_bytes == len("free of charge")


def test_a_tool_argument_named_like_a_member_of_the_answer_is_left_alone() -> None:
    block = {"type": "tool_use", "name": "f", "input": {"id": "msg_1", "model": "m"}}
    start = event("content_block_start", index=0, content_block=block)

    assert heard(start, theirs="n").raw == start


def test_an_error_event_is_told_and_not_passed() -> None:
    found = heard(
        delta("text_delta", text="a"),
        event("error", error={"type": "api_error", "message": "cuda at /usr/lib/x"}),
        delta("text_delta", text="never looked at"),
    )

    assert found.error == "The model backend failed while it generated the answer."
    assert found.raw == delta("text_delta", text="a")


@pytest.mark.parametrize(
    "strange",
    [
        b": a comment\n\n",
        b"id: 1\nretry: 10\n\n",
        event("message_batch", text="not Ollama's"),
        b"event: message_stop\n\n",
        b'event: message_stop\ndata: {"x":1}\n\n',
        b'data: {"type":"content_block_delta\\n\\nevent: error"}\n\n',
    ],
)
def test_what_is_not_ollamas_is_dropped(strange: bytes) -> None:
    good = delta("text_delta", text="a")

    found = heard(good + strange + good)

    assert found.raw == good + good
    assert not found.ended


def test_the_name_of_an_event_is_that_of_its_data() -> None:
    assert heard(b'event: error\ndata: {"type":"ping"}\n\n').raw == b'event: ping\ndata: {"type":"ping"}\n\n'


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {nope",
        b"data: []",
        b"data: " + b"[" * 100_000,
        b"data: \xff\xfe",
        b'data: {"type":5}',
        b'data: {"type":"ping",\r"x":1}',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\rb"}}',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":5}}',
    ],
)
def test_garbage_is_a_fault_after_what_was_good(garbage: bytes) -> None:
    decoder = AnthropicStream(theirs="m", request_id="r")

    piece = decoder.feed(delta("text_delta", text="a") + garbage + b"\n")

    assert piece is not None
    assert piece.raw == delta("text_delta", text="a")
    assert decoder.fault is not None


# -- whole answers --------------------------------------------------------------------------------------------------
CALL = chat("Caller:X", endpoint=Endpoint.ANTHROPIC_MESSAGES, streamed=False)


def answer(**more: Any) -> bytes:
    usage = {"input_tokens": 3, "output_tokens": 4}
    return json.dumps(
        {"id": "msg_1", "type": "message", "model": "m", "stop_reason": "end_turn", "usage": usage} | more,
        separators=(",", ":"),
    ).encode()


def test_an_answer_without_a_stop_reason_is_not_complete() -> None:
    octets = answer(content=[{"type": "text", "text": "a a"}], stop_reason=None, usage={"input_tokens": 0})

    piece = piece_of(octets, CALL, request_id="r")

    assert not piece.ended
    assert piece.usage is None
    assert piece.text_bytes == 3


def test_all_blocks_of_an_answer_are_counted() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "é"},
        {"type": "tool_use", "id": "call_1", "name": "abc", "input": {"a": 1}},
    ]

    piece = piece_of(answer(content=blocks), CALL, request_id="r")

    assert piece.text_bytes == 2 + 2 + 3 + len('{"a":1}')
    assert piece.usage == Usage(3, 4)


def test_the_content_of_an_empty_answer_is_a_list() -> None:
    """Ollama writes null for none; the SDKs walk over it."""
    said = {"type": "tool_use", "name": "f", "input": {"content": None}}

    empty = piece_of(answer(content=None), CALL, request_id="r")
    other = piece_of(answer(content=[said]), CALL, request_id="r")

    assert json.loads(empty.raw)["content"] == []
    assert json.loads(other.raw)["content"] == [said]


def test_an_error_under_a_200_is_an_error() -> None:
    octets = b'{"type":"error","error":{"type":"api_error","message":"cuda at /usr/lib/x"},"request_id":"req_1"}'

    piece = piece_of(octets, CALL, request_id="r")

    assert piece.error == "The model backend failed while it generated the answer."
    assert piece.raw == b""


@pytest.mark.parametrize("octets", [b"x", b"null", b"[]", b"{", b"\xff", b"[" * 200_000, b'{"content":"text"}'])
def test_garbage_as_an_answer_is_a_fault(octets: bytes) -> None:
    with pytest.raises(BackendFailed):
        piece_of(octets, CALL, request_id="r")
