from __future__ import annotations

import json

import pytest

from adapters.ollama.plain import piece_of
from domain.calls import Endpoint
from domain.faults import BackendFailed
from domain.tally import Piece, Usage
from tests.adapters.ollama.tapes import REQUEST_ID, Tape, call_of, chat, inference_tapes, tape

PLAIN = inference_tapes(streamed=False)


@pytest.mark.parametrize("one", PLAIN, ids=lambda one: one.name)
def test_every_recording_is_complete_unless_the_repeat_guard_ended_it(one: Tape) -> None:
    piece = piece_of(one.octets, call_of(one), request_id=REQUEST_ID)

    assert piece.ended is ("abort" not in one.name)
    assert piece.text_bytes > 0 or not call_of(one).endpoint.generates
    assert json.loads(piece.raw)["model"] == one.body["model"]


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("native-chat", Usage(36, 8)),
        ("native-generate", Usage(33, 12)),
        ("native-embed", None),
        ("openai-chat", Usage(36, 8)),
        ("openai-completions", Usage(31, 8)),
        ("responses", Usage(33, 12)),
        ("openai-embeddings", None),
        ("native-chat-repeat-abort-plain", None),
    ],
)
def test_the_usage_of_the_recordings(name: str, usage: Usage | None) -> None:
    one = tape(name)

    piece = piece_of(one.octets, call_of(one), request_id=REQUEST_ID)

    if "embed" in name:
        assert piece.usage is not None
        assert piece.usage.prompt
    else:
        assert piece.usage == usage


def test_an_openai_answer_of_the_repeat_guard_is_not_complete() -> None:
    octets = (
        b'{"id":"chatcmpl-1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a a"},'
        b'"finish_reason":null}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}'
    )

    piece = piece_of(octets, chat("m", endpoint=Endpoint.OPENAI_CHAT, streamed=False), request_id="r")

    assert not piece.ended
    assert piece.usage is None
    assert piece.text_bytes == 3


@pytest.mark.parametrize("one", PLAIN, ids=lambda one: one.name)
def test_only_model_id_and_durations_differ(one: Tape) -> None:
    piece = piece_of(one.octets, call_of(one, model="Caller:X"), request_id=REQUEST_ID)

    before, after = json.loads(one.octets), json.loads(piece.raw)
    assert after.pop("model") == "Caller:X"
    before.pop("model")
    for key in ("total_duration", "load_duration", "prompt_eval_duration"):
        assert after.pop(key, 0) >= before.pop(key, 0)
    if "id" in before:
        assert after.pop("id") == before.pop("id").rstrip("0123456789abcdef") + REQUEST_ID
    assert after == before


@pytest.mark.parametrize("endpoint", [Endpoint.NATIVE_EMBED, Endpoint.OPENAI_EMBEDDINGS])
def test_megabytes_of_vectors_are_counted_without_being_decoded(endpoint: Endpoint) -> None:
    vector = ",".join(["0.123456789"] * 4096)
    if endpoint is Endpoint.NATIVE_EMBED:
        vectors = ",".join([f"[{vector}]"] * 50)
        octets = f'{{"model":"m","embeddings":[{vectors}],"total_duration":5,"prompt_eval_count":7}}'
    else:
        vectors = ",".join([f'{{"object":"embedding","embedding":[{vector}],"index":0}}'] * 50)
        octets = f'{{"object":"list","data":[{vectors}],"model":"m","usage":{{"prompt_tokens":7,"total_tokens":7}}}}'

    piece = piece_of(octets.encode(), chat("n", endpoint=endpoint), request_id="r")

    assert piece.usage == Usage(7, None)
    assert piece.ended
    assert json.loads(piece.raw)["model"] == "n"


def legacy(octets: bytes) -> Piece:
    return piece_of(octets, chat("n", endpoint=Endpoint.NATIVE_EMBEDDINGS), request_id="r")


def test_a_legacy_embedding_is_the_one_vector_and_its_tokens_are_known() -> None:
    vectors = json.loads(tape("native-embed").octets)["embeddings"]
    answer = {"model": "m", "embeddings": vectors[:1], "total_duration": 5, "prompt_eval_count": 4}

    piece = legacy(json.dumps(answer, separators=(",", ":")).encode())

    assert json.loads(piece.raw) == {"embedding": vectors[0]}
    assert piece.usage == Usage(4, None)
    assert piece.ended


def test_a_legacy_embedding_has_the_shape_and_the_numbers_of_the_recorded_one() -> None:
    one, recorded = json.loads(legacy(tape("native-embed").octets).raw), json.loads(tape("native-embeddings").octets)

    assert list(one) == list(recorded)
    assert one["embedding"] == pytest.approx(recorded["embedding"], rel=1e-5)


@pytest.mark.parametrize(
    "octets",
    [
        b'{"model":"m","embeddings":[],"prompt_eval_count":1}',
        b'{"model":"m"}',
        b'{"model":"m","embeddings":[["a"]]}',
        b'{"model":"m","embeddings":[[{"model":"m"}]]}',
        b'{"model":"m","embeddings":[[1,2}',
    ],
)
def test_a_legacy_embedding_without_a_vector_is_a_fault(octets: bytes) -> None:
    with pytest.raises(BackendFailed):
        legacy(octets)


@pytest.mark.parametrize("octets", [b"x", b"null", b"[]", b"{", b"<html>", b"\xff", b"[" * 200_000, b"3"])
@pytest.mark.parametrize("endpoint", [Endpoint.NATIVE_CHAT, Endpoint.OPENAI_CHAT, Endpoint.NATIVE_EMBED])
def test_garbage_is_a_fault(endpoint: Endpoint, octets: bytes) -> None:
    with pytest.raises(BackendFailed):
        piece_of(octets, chat("m", endpoint=endpoint, streamed=False), request_id="r")


def test_an_error_under_a_200_is_an_error() -> None:
    piece = piece_of(b'{"error":"cuda at /usr/lib/x"}', chat("m", streamed=False), request_id="r")

    assert piece.error == "The model backend failed while it generated the answer."
    assert piece.raw == b""
