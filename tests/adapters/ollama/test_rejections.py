from __future__ import annotations

import pytest

from adapters.ollama.rejections import harmless, rejection_of, sentence_of_error
from domain.faults import BackendFailed, FaultCode
from domain.refusals import BackendRejected

LEAKS = [
    "json: cannot unmarshal string into Go struct field GenerateRequest.stream of type bool",
    "model runner has unexpectedly stopped, see /root/.ollama/logs/server.log",
    'Post "http://127.0.0.1:38123/completion": EOF',
    "invalid image input at /home/op/images/x",
    "cuda error: out of memory on host gpu-7",
    "*** does not support tools",
    "/usr/lib/x/y.so (GPU 7) does not support tools",
    "unable to load model: /models/blobs/sha256-abc",
    "invalid format: 10.0.0.7",
    "x y " * 5000 + " does not support tools",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_text_that_tells_of_the_host_never_passes(text: str) -> None:
    assert harmless(text) is None
    assert sentence_of_error(text) == "The model backend failed while it generated the answer."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("registry.ollama.ai/library/rand:latest does not support tools", "This model does not support tools."),
        ("http://inner:1/x does not support tools", "This model does not support tools."),
        ('"rand" does not support thinking', "This model does not support thinking."),
        ("the input length exceeds the context length", "The input length exceeds the context length."),
        ("invalid image input", "Invalid image input."),
    ],
)
def test_a_harmless_text_passes_without_the_operators_spelling(text: str, sentence: str) -> None:
    assert harmless(text) == sentence


@pytest.mark.parametrize("status", [100, 101, 204, 206, 301, 307, 401, 403, 405, 407, 500, 502, 504, 599])
def test_a_status_that_is_not_the_callers_fault_is_a_fault(status: int) -> None:
    assert isinstance(rejection_of(status, "anything"), BackendFailed)


@pytest.mark.parametrize("status", [204, 302, 500, 502, 504])
def test_with_a_failed_status_the_prompt_may_have_been_read(status: int) -> None:
    found = rejection_of(status, None)

    assert isinstance(found, BackendFailed)
    assert found.answered
    assert not found.refused


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 429, 503])
def test_a_refusal_by_the_operators_mistake_or_for_want_of_room_is_before_any_work(status: int) -> None:
    found = rejection_of(status, None)

    assert isinstance(found, BackendFailed)
    assert found.refused


@pytest.mark.parametrize("status", [429, 503])
def test_busy_is_told_apart(status: int) -> None:
    found = rejection_of(status, None)

    assert found.code == FaultCode.BACKEND_BUSY


@pytest.mark.parametrize("status", [400, 413, 422, 499])
def test_the_callers_mistakes_keep_their_status(status: int) -> None:
    found = rejection_of(status, "json: cannot unmarshal")

    assert isinstance(found, BackendRejected)
    assert found.status == status
    assert "json" not in found.sentence
