"""The decoder of `/v1/responses`: what the recordings do not show, and what a backend should not do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ollama.plain import piece_of
from adapters.ollama.sse_responses import ResponsesStream
from domain.calls import Endpoint
from domain.tally import Piece, Usage
from tests.adapters.ollama.tapes import REQUEST_ID, Sum, chat, tape, total

COUNTED = {"input_tokens": 33, "output_tokens": 12}


def event(kind: str, **members: Any) -> bytes:
    data = dict(sorted({**members, "type": kind, "sequence_number": 4}.items()))
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()


def text_delta(text: str) -> bytes:
    return event(
        "response.output_text.delta", content_index=0, delta=text, item_id="msg_1", logprobs=[], output_index=0
    )


def thought_delta(text: str) -> bytes:
    return event("response.reasoning_summary_text.delta", delta=text, item_id="rs_1", output_index=0, summary_index=0)


def decode(*chunks: bytes, theirs: str = "n") -> tuple[Sum, ResponsesStream]:
    decoder = ResponsesStream(theirs=theirs, request_id="r")
    pieces: list[Piece] = []
    for chunk in chunks:
        piece = decoder.feed(chunk)
        if piece is not None:
            pieces.append(piece)
        if decoder.over or decoder.fault is not None:
            break
    return total(pieces), decoder


def test_a_stream_passes_byte_true_but_for_its_id() -> None:
    one = tape("responses-stream")

    found, _ = decode(*one.chunks, theirs="smollm2:135m")

    assert found.raw == one.octets.replace(b"resp_365792", b"resp_r")
    assert found.raw.count(b"resp_r") == 3


def test_a_text_is_counted_once_however_often_it_is_repeated() -> None:
    found, _ = decode(*tape("responses-stream").chunks)

    assert found.text_bytes == len("Hello! I'sure to help you with your next adventure")
    assert found.objects == 12
    assert found.usage == Usage(33, 12)


@pytest.mark.parametrize("one", tape("responses-stream").chunks, ids=lambda chunk: chunk[7:50].split(b"\n")[0].decode())
def test_the_short_way_decides_nothing_that_the_long_way_decides_otherwise(one: bytes) -> None:
    short, short_decoder = decode(one)
    long, long_decoder = decode(one.replace(b"data: ", b"data:  "))

    assert short == long
    assert short_decoder.over is long_decoder.over


@given(text=st.text(min_size=1), html=st.booleans(), thinks=st.booleans())
def test_text_is_counted_exactly_whatever_it_holds(text: str, *, html: bool, thinks: bool) -> None:
    text = text.encode("utf-8", "ignore").decode() or "x"
    octets = (thought_delta if thinks else text_delta)(text)
    if html:
        octets = octets.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")

    found, decoder = decode(octets)

    assert decoder.fault is None
    assert (found.objects, found.text_bytes) == (1, len(text.encode()))
    assert found.raw == octets


THOUGHTS = event("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []})
PART_BEGUN = event(
    "response.reasoning_summary_part.added",
    item_id="rs_1",
    output_index=0,
    part={"text": "", "type": "summary_text"},
    summary_index=0,
)


def test_the_part_that_ollama_does_not_begin_is_begun_once_for_each_reasoning() -> None:
    found, _ = decode(THOUGHTS, thought_delta("a"), thought_delta("b"), text_delta("c"), THOUGHTS + thought_delta("d"))

    first = THOUGHTS + PART_BEGUN + thought_delta("a") + thought_delta("b") + text_delta("c")
    assert found.raw == first + THOUGHTS + PART_BEGUN + thought_delta("d")
    assert (found.objects, found.text_bytes) == (4, 4)


def test_a_part_that_is_begun_or_not_needed_is_not_added() -> None:
    begun, _ = decode(THOUGHTS, PART_BEGUN, thought_delta("a"))
    empty, _ = decode(THOUGHTS, text_delta("a"), thought_delta("b"))

    assert begun.raw == THOUGHTS + PART_BEGUN + thought_delta("a")
    assert b"summary_part" not in empty.raw


def test_a_function_call_is_counted_by_its_name_and_its_arguments() -> None:
    item = {"type": "function_call", "id": "fc_1_0", "call_id": "c", "name": "weather", "arguments": ""}
    arguments = '{"city":"Ulm"}'
    found, _ = decode(
        event("response.output_item.added", output_index=0, item=item),
        event("response.function_call_arguments.delta", item_id="fc_1_0", output_index=0, delta=arguments),
        event("response.function_call_arguments.done", item_id="fc_1_0", output_index=0, arguments=arguments),
        event("response.output_item.done", output_index=0, item=item | {"arguments": arguments}),
    )

    assert found.text_bytes == len("weather") + len(arguments)
    assert found.objects == 1
    assert not found.ended


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_only_the_last_event_ends_it_and_what_comes_after_is_not_looked_at(status: str) -> None:
    last = event(f"response.{status}", response={"id": "resp_1", "model": "m", "status": status, "usage": COUNTED})

    found, decoder = decode(text_delta("a") + last + b"data: garbage\n\n")

    assert found.ended
    assert found.usage == Usage(33, 12)
    assert decoder.fault is None
    assert b"garbage" not in found.raw


def test_a_stream_that_just_stops_has_not_ended() -> None:
    chunks = tape("responses-stream").chunks

    found, decoder = decode(*chunks[:-1])

    assert not found.ended
    assert found.usage is None
    assert decoder.finish() is None


@pytest.mark.parametrize(
    "failure",
    [
        event("response.failed", response={"id": "resp_1", "status": "failed", "error": {"message": "cuda at /usr/x"}}),
        event("error", message="cuda at /usr/x", code=None),
        event("response.output_text.delta", error={"message": "cuda at /usr/x"}, delta="x"),
        b'data: {"error":"cuda at /usr/x"}\n\n',
        event("response.failed", response={"status": "failed", "error": None}),
        event("response.completed", response={"status": "failed", "error": None}),
        event("response.completed", response={"status": "completed", "error": {"message": "cuda at /usr/x"}}),
    ],
)
def test_a_failure_is_not_passed_on(failure: bytes) -> None:
    found, decoder = decode(text_delta("a") + failure + text_delta("b"))

    assert found.error == "The model backend failed while it generated the answer."
    assert found.raw == text_delta("a")
    assert decoder.over
    assert not found.ended


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {nope",
        b"data: []",
        b"data: " + b"[" * 100_000,
        b"data: \xff\xfe",
        b"data: 3",
        b'data: {"type":5}',
        b'data: {"type":"response.completed","response":"x"}',
        b'data: {"type":"response.output_item.added","item":[]}',
        b'data: {"type":"response.output_text.done",\r"text":"a"}',
    ],
)
def test_garbage_is_a_fault_after_what_was_good(garbage: bytes) -> None:
    found, decoder = decode(text_delta("a") + garbage + b"\n\n")

    assert decoder.fault is not None
    assert found.raw == text_delta("a")


@pytest.mark.parametrize(
    "kind", ["", "x", "response", "response.", "response.a\nevent: response.completed", "response.a\r", "Response.x"]
)
def test_an_event_of_another_name_is_not_passed_on(kind: str) -> None:
    found, decoder = decode(b"data: " + json.dumps({"type": kind, "text": "x"}).encode() + b"\n\n" + text_delta("a"))

    assert found.raw == text_delta("a")
    assert decoder.fault is None


def test_an_event_of_a_later_version_is_passed_on_and_counted_by_its_delta() -> None:
    later = event("response.custom_tool_call_input.delta", delta="abc", item_id="ctc_1", output_index=0)

    found, _ = decode(later)

    assert found.raw == later
    assert (found.objects, found.text_bytes) == (1, 3)


def test_comments_and_names_of_events_that_a_box_in_between_adds_are_dropped() -> None:
    found, _ = decode(b": ping\n\nevent: response.completed\nid: 7\nretry: 1\n" + text_delta("a"))

    assert found.raw == text_delta("a")
    assert not found.ended


@pytest.mark.parametrize("lie", [-5, 10**12, "12", 1.5, True, [1], {"a": 1}])
def test_a_count_that_cannot_be_true_reads_as_absent(lie: object) -> None:
    found, _ = decode(event("response.completed", response={"usage": COUNTED | {"input_tokens": lie}}))

    assert found.usage == Usage(None, 12)
    assert found.ended


@pytest.mark.parametrize("usage", [None, {"input_tokens": 0, "output_tokens": 0}])
def test_a_usage_of_zeros_is_not_known(usage: object) -> None:
    found, _ = decode(event("response.completed", response={"usage": usage}))

    assert found.usage is None
    assert found.ended


def test_what_the_caller_or_the_model_says_is_not_taken_for_a_member() -> None:
    said = 'a","model":"m","id":"resp_7'
    tool = {"type": "function", "name": "f", "parameters": {"properties": {"model": "m", "id": "resp_7"}}}
    response = {"id": "resp_1", "instructions": said, "model": "m", "output": [{"text": said}], "tools": [tool]}

    found, _ = decode(event("response.created", response=response), theirs='their "name"')

    passed = json.loads(found.raw.split(b"data: ")[1])["response"]
    assert passed == response | {"id": "resp_r", "model": 'their "name"'}


# -- whole answers ----------------------------------------------------------------------------------------------------
def whole(**members: Any) -> Piece:
    answer = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "usage": COUNTED} | members
    octets = json.dumps(answer, separators=(",", ":")).encode()
    return piece_of(octets, chat("n", endpoint=Endpoint.RESPONSES, streamed=False), request_id=REQUEST_ID)


def test_a_whole_answer_is_counted_once() -> None:
    piece = whole(
        output=[
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "hm"},
            {"type": "function_call", "name": "f", "arguments": "{}"},
            {"type": "message", "content": [{"type": "output_text", "text": "Grüß"}]},
        ]
    )

    assert piece.text_bytes == len("hm") + len("f{}") + len("Grüß".encode())
    assert piece.objects == 1
    assert piece.usage == Usage(33, 12)
    assert piece.ended
    assert json.loads(piece.raw)["id"] == f"resp_{REQUEST_ID}"
    assert json.loads(piece.raw)["model"] == "n"


def test_an_answer_that_the_repeat_guard_ended_says_completed_and_is_not() -> None:
    piece = whole(
        output=[{"type": "message", "content": [{"type": "output_text", "text": "a a a"}]}],
        usage={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    )

    assert not piece.ended
    assert piece.usage is None
    assert piece.text_bytes == 5


@pytest.mark.parametrize("members", [{"error": {"message": "cuda at /x"}}, {"status": "failed"}])
def test_a_whole_answer_that_failed_is_an_error(members: dict[str, Any]) -> None:
    piece = whole(**members)

    assert piece.error == "The model backend failed while it generated the answer."
    assert piece.raw == b""
