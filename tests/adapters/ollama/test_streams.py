from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ollama.lines import MOST_LINE_BYTES, LineDecoder
from adapters.ollama.model_backend import decoder_of
from adapters.ollama.ndjson import NativeStream
from adapters.ollama.sse import OpenAIStream
from domain.calls import Endpoint
from domain.tally import Piece, Usage
from tests.adapters.ollama.tapes import REQUEST_ID, Sum, Tape, call_of, inference_tapes, tape, total, upstream_of

STREAMS = inference_tapes(streamed=True)


def decode(
    one: Tape,
    chunks: Iterable[bytes],
    *,
    ours: str | None = None,
    theirs: str | None = None,
    wants_usage: bool | None = None,
) -> Sum:
    call = call_of(one, model=theirs, wants_usage=wants_usage)
    decoder = decoder_of(upstream_of(call, ours=ours or one.body["model"]))
    return run(decoder, chunks)


def run(decoder: LineDecoder, chunks: Iterable[bytes]) -> Sum:
    pieces: list[Piece] = []
    for chunk in chunks:
        piece = decoder.feed(chunk)
        if piece is not None:
            pieces.append(piece)
        if decoder.over or decoder.fault is not None:
            break
    else:
        piece = decoder.finish()
        if piece is not None:
            pieces.append(piece)
    if decoder.fault is not None:
        raise decoder.fault
    return total(pieces)


def truth(one: Tape) -> tuple[int, int]:
    """Objects with text and bytes of text, by an ordinary decoder."""
    objects = text_bytes = 0
    for found in objects_of(one.octets):
        size = sum(len(text.encode()) for text in texts(found))
        objects += size > 0
        text_bytes += size
    return objects, text_bytes


def objects_of(octets: bytes) -> Iterable[dict[str, Any]]:
    for line in octets.decode().splitlines():
        payload = line.removeprefix("data: ")
        if payload.startswith("{"):
            yield json.loads(payload)


def texts(found: dict[str, Any]) -> Iterable[str]:
    if "type" in found:  # an event of Anthropic's or of /v1/responses: what it says is in its delta
        delta = found.get("delta", {})
        yield from (
            [delta] if isinstance(delta, str) else map(delta.get, ("text", "thinking", "partial_json"), repeat(""))
        )
        return
    yield found.get("response") or ""
    choices = found.get("choices") or [found]
    for choice in choices:
        yield choice.get("text") or ""
        for message in (choice.get("message") or {}, choice.get("delta") or {}):
            yield from (message.get(key) or "" for key in ("content", "thinking", "reasoning"))
            for tool in message.get("tool_calls") or ():
                arguments = tool["function"]["arguments"]
                yield tool["function"]["name"]
                yield json.dumps(arguments, separators=(",", ":"))


@pytest.mark.parametrize("one", STREAMS, ids=lambda one: one.name)
def test_every_recording_is_counted_as_an_ordinary_decoder_counts_it(one: Tape) -> None:
    found = decode(one, one.chunks)

    assert (found.objects, found.text_bytes) == truth(one)


@pytest.mark.parametrize("one", STREAMS, ids=lambda one: one.name)
def test_every_recording_split_at_every_byte_gives_the_same_sum(one: Tape) -> None:
    octets = one.octets
    whole = decode(one, one.chunks)

    assert decode(one, [octets]) == whole
    assert decode(one, [octets[i : i + 1] for i in range(len(octets))]) == whole
    for at in range(1, len(octets)):
        assert decode(one, [octets[:at], octets[at:]]) == whole


@pytest.mark.parametrize("one", STREAMS, ids=lambda one: one.name)
def test_the_short_way_decides_nothing_that_the_long_way_decides_otherwise(one: Tape) -> None:
    short = decode(one, one.chunks, theirs="caller/name:x")

    assert decode(one, one.chunks, ours="never-echoed", theirs="caller/name:x") == short


@pytest.mark.parametrize(
    ("name", "usage", "ended", "error"),
    [
        ("native-chat-stream", Usage(36, 8), True, False),
        ("native-chat-stop", None, True, False),
        ("native-chat-thinking-stream", Usage(19, 12), True, False),
        ("native-chat-tool-stream", Usage(161, 30), True, False),
        ("native-generate-stream", Usage(33, 12), True, False),
        ("native-chat-repeat-abort", None, False, False),
        ("native-chat-runner-killed", None, False, True),
        ("native-chat-server-killed", None, False, False),
        ("openai-chat-stream", None, True, False),
        ("openai-chat-stream-usage", Usage(36, 8), True, False),
        ("openai-chat-tool-stream", Usage(161, 30), True, False),
        ("openai-completions-stream-usage", Usage(31, 8), True, False),
        ("openai-chat-repeat-abort-stream", None, False, False),
        ("openai-chat-runner-killed", None, False, True),
        ("anthropic-messages-stream", Usage(36, 8), True, False),
        ("responses-stream", Usage(33, 12), True, False),
    ],
)
def test_the_endings_of_the_recordings(name: str, usage: Usage | None, *, ended: bool, error: bool) -> None:
    found = decode(tape(name), tape(name).chunks)

    if usage is not None:
        assert found.usage == usage
    assert found.ended is ended
    assert (found.error is not None) is error


@pytest.mark.parametrize("name", ["native-chat-runner-killed", "openai-chat-runner-killed"])
def test_a_failure_in_mid_stream_is_not_passed_on(name: str) -> None:
    found = decode(tape(name), tape(name).chunks)

    assert found.error == "The model backend failed while it generated the answer."
    assert b"unexpected EOF" not in found.raw
    assert b'"model":""' not in found.raw
    assert found.objects > 2


def test_a_native_stream_passes_byte_true_but_for_its_durations() -> None:
    one = tape("native-chat-stream")

    found = decode(one, one.chunks)

    *lines, last, empty = one.octets.split(b"\n")
    *passed, passed_last, passed_empty = found.raw.split(b"\n")
    assert passed == lines
    assert passed_empty == empty == b""
    before, after = json.loads(last), json.loads(passed_last)
    for key in ("total_duration", "load_duration", "prompt_eval_duration"):
        assert after[key] % 100_000_000 == 0
        assert 0 <= after.pop(key) - before.pop(key) < 100_000_000
    assert after == before


def test_an_openai_stream_passes_byte_true_but_for_its_id() -> None:
    one = tape("openai-chat-stream-usage")

    found = decode(one, one.chunks)

    assert found.raw == one.octets.replace(b"chatcmpl-720", b"chatcmpl-" + REQUEST_ID.encode())


@pytest.mark.parametrize("one", STREAMS, ids=lambda one: one.name)
def test_answers_name_the_model_as_the_caller_does(one: Tape) -> None:
    found = decode(one, one.chunks, theirs="Caller/Name:X")

    for event in objects_of(found.raw):
        names = [place["model"] for place in (event, event.get("message")) if place and "model" in place]
        assert set(names) == {"Caller/Name:X"} or "type" in event
    assert found.raw.count(b'"model":"Caller/Name:X"') == decode(one, one.chunks).raw.count(b'"model":"')


@pytest.mark.parametrize("name", ["openai-chat-stream-usage", "openai-completions-stream-usage"])
def test_a_usage_that_was_not_asked_for_is_counted_and_removed(name: str) -> None:
    one = tape(name)

    found = decode(one, one.chunks, wants_usage=False)

    assert b"usage" not in found.raw
    assert found.raw.endswith(b"data: [DONE]\n\n")
    assert found.usage == decode(one, one.chunks, wants_usage=True).usage
    assert found.objects == decode(one, one.chunks, wants_usage=True).objects


def test_before_the_last_chunk_of_completions_the_usage_is_null() -> None:
    one = tape("openai-completions-stream-usage")

    for found in (decode(one, one.chunks), decode(one, one.chunks, ours="never-echoed")):
        *before, last = [chunk["usage"] for chunk in objects_of(found.raw)]
        assert set(before) == {None}
        assert last == {"prompt_tokens": 31, "completion_tokens": 8, "total_tokens": 39}


def test_a_usage_beside_choices_is_removed_too() -> None:
    decoder = OpenAIStream(Endpoint.OPENAI_CHAT, ours="m", theirs="m", request_id="r", wants_usage=False)
    line = (
        b'data: {"id":"chatcmpl-1","model":"m","choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":3}}\n\n'
    )

    found = run(decoder, [line])

    assert found.usage == Usage(3, None)
    assert b"usage" not in found.raw
    assert b"chatcmpl-r" in found.raw


def test_a_tool_argument_named_like_a_member_of_the_answer_is_left_alone() -> None:
    decoder = NativeStream(Endpoint.NATIVE_CHAT, ours="m", theirs="n")
    call = b'{"name":"f","arguments":{"model":"m","total_duration":5}}'
    line = b'{"model":"m","message":{"content":"","tool_calls":[{"function":%b}]},"done":true,"eval_count":3}\n' % call

    found = run(decoder, [line])

    assert call in found.raw
    assert found.raw.startswith(b'{"model":"n"')
    assert found.usage == Usage(None, 3)


def test_what_names_a_remote_server_is_removed() -> None:
    decoder = NativeStream(Endpoint.NATIVE_CHAT, ours="m", theirs="m")
    line = (
        b'{"model":"m","remote_model":"big","remote_host":"https://x.example:443","created_at":"t",'
        b'"message":{"role":"assistant","content":"a"},"done":false}\n'
    )

    found = run(decoder, [line])

    assert found.raw == b'{"model":"m","created_at":"t","message":{"role":"assistant","content":"a"},"done":false}\n'


@pytest.mark.parametrize("lie", [-5, 10**12, "12", 1.5, True, [1], {"a": 1}])
def test_a_count_that_cannot_be_true_reads_as_absent(lie: object) -> None:
    native = NativeStream(Endpoint.NATIVE_CHAT, ours="m", theirs="m")
    line = json.dumps({"model": "m", "done": True, "prompt_eval_count": lie, "eval_count": 3}).encode() + b"\n"
    openai = OpenAIStream(Endpoint.OPENAI_CHAT, ours="m", theirs="m", request_id="r", wants_usage=True)
    event = {"model": "m", "choices": [], "usage": {"prompt_tokens": lie, "completion_tokens": 3}}

    assert run(native, [line]).usage == Usage(None, 3)
    assert run(openai, [b"data: " + json.dumps(event).encode() + b"\n\n"]).usage == Usage(None, 3)


@pytest.mark.parametrize("endpoint", [Endpoint.NATIVE_CHAT, Endpoint.OPENAI_CHAT])
@pytest.mark.parametrize(
    "garbage", [b"data: {nope", b"data: []", b"data: " + b"[" * 100_000, b"data: \xff\xfe", b"data: 3"]
)
def test_garbage_is_a_fault_after_what_was_good(endpoint: Endpoint, garbage: bytes) -> None:
    native = endpoint is Endpoint.NATIVE_CHAT
    decoder: NativeStream | OpenAIStream
    if native:
        decoder = NativeStream(endpoint, ours="m", theirs="m")
        good = b'{"model":"m","message":{"content":"a"},"done":false}\n'
    else:
        decoder = OpenAIStream(endpoint, ours="m", theirs="m", request_id="r", wants_usage=True)
        good = b'data: {"id":"chatcmpl-1","model":"m","choices":[{"delta":{"content":"a"}}]}\n\n'

    piece = decoder.feed(good + (garbage.removeprefix(b"data: ") if native else garbage) + b"\n")

    assert piece is not None
    assert piece.objects == 1
    assert decoder.fault is not None


def test_what_comes_after_the_end_mark_is_not_looked_at() -> None:
    decoder = NativeStream(Endpoint.NATIVE_CHAT, ours="m", theirs="m")

    piece = decoder.feed(b'{"model":"m","done":true}\n{"model":"m","message":{"content":"more"}}\ngarbage\n')

    assert piece is not None
    assert piece.raw == b'{"model":"m","done":true}\n'
    assert piece.ended
    assert decoder.over
    assert decoder.fault is None


def test_a_line_without_end_is_a_fault_and_is_not_kept() -> None:
    decoder = NativeStream(Endpoint.NATIVE_CHAT, ours="m", theirs="m")

    for _ in range(MOST_LINE_BYTES // 65536 + 2):
        assert decoder.feed(b"x" * 65536) is None
        if decoder.fault is not None:
            break

    assert decoder.fault is not None
    assert decoder.finish() is None


def test_a_line_of_eight_megabytes_passes() -> None:
    decoder = NativeStream(Endpoint.NATIVE_CHAT, ours="m", theirs="m")
    line = b'{"model":"m","created_at":"t","message":{"role":"assistant","content":"%b"},"done":false}\n'
    octets = line % (b"x" * 7_900_000)

    found = run(decoder, [octets[i : i + 65536] for i in range(0, len(octets), 65536)])

    assert found.raw == octets
    assert found.text_bytes == 7_900_000


@given(text=st.text(min_size=1), html=st.booleans())
def test_text_is_counted_exactly_whatever_it_holds(text: str, *, html: bool) -> None:
    text = text.encode("utf-8", "ignore").decode()
    quoted = json.dumps(text, ensure_ascii=False)
    if html:
        quoted = quoted.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    native = NativeStream(Endpoint.NATIVE_CHAT, ours="m", theirs="m")
    line = f'{{"model":"m","created_at":"t","message":{{"role":"assistant","content":{quoted}}},"done":false}}\n'
    openai = OpenAIStream(Endpoint.OPENAI_CHAT, ours="m", theirs="m", request_id="1", wants_usage=False)
    choices = f'[{{"index":0,"delta":{{"role":"assistant","content":{quoted}}},"finish_reason":null}}]'
    event = f'data: {{"id":"chatcmpl-1","model":"m","system_fingerprint":"fp_ollama","choices":{choices}}}\n\n'

    for found, octets in ((run(native, [line.encode()]), line), (run(openai, [event.encode()]), event)):
        assert found.text_bytes == len(text.encode())
        assert found.raw == octets.encode()
