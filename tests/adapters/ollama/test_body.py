from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ollama.body import body_of
from domain.calls import Endpoint
from tests.adapters.ollama.tapes import chat, upstream_of

JSON = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5), st.lists)
HOSTILE_KEYS = ["model", "MODEL", "stream", "\u017ftream", "max_tokens", "Max_Tokens", "\u212aeep_alive", "name", "x"]


def built(endpoint: Endpoint, fields: dict[str, Any], **extra: Any) -> dict[str, Any]:
    call = attrs.evolve(chat("caller", endpoint=endpoint), fields=fields)
    found: dict[str, Any] = json.loads(body_of(upstream_of(call, ours="Ours:1b", output=77), **extra))
    return found


@settings(deadline=None)
@given(
    endpoint=st.sampled_from(Endpoint),
    fields=st.dictionaries(st.sampled_from(HOSTILE_KEYS) | st.text(max_size=8), JSON, max_size=6),
)
def test_the_body_is_the_allowed_fields_and_ours_and_nothing_else(endpoint: Endpoint, fields: dict[str, Any]) -> None:
    fields.pop("options", None)

    body = built(endpoint, fields)

    ours = {"model", "stream", "stream_options", "max_tokens", "max_output_tokens", "options"}
    assert body["model"] == "Ours:1b"
    assert [key.casefold() for key in body].count("model") == 1
    assert [key.casefold() for key in body].count("stream") == int(endpoint.generates)
    assert not [key for key in body if key.casefold() == "keep_alive"]
    assert set(body) - ours <= set(fields)
    assert {key: body[key] for key in set(body) - ours} == {key: fields[key] for key in set(body) - ours}


def test_the_cap_is_always_ours() -> None:
    native = built(Endpoint.NATIVE_CHAT, {"options": {"num_predict": -1, "NUM_PREDICT": 0, "seed": 1}})
    openai = built(Endpoint.OPENAI_CHAT, {"max_tokens": 10**9, "max_completion_tokens": 0})
    responses = built(Endpoint.RESPONSES, {"max_output_tokens": -1, "MAX_OUTPUT_TOKENS": 0, "max_tokens": 5})

    assert native["options"] == {"seed": 1, "num_predict": 77}
    assert openai["max_tokens"] == 77
    assert "max_completion_tokens" not in openai
    assert responses["max_output_tokens"] == 77
    assert not {"max_tokens", "MAX_OUTPUT_TOKENS", "stream_options"} & set(responses)
    assert openai["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in Endpoint if endpoint.generates])
def test_without_a_positive_cap_there_is_no_body(endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match="positive"):
        body_of(upstream_of(chat("m", endpoint=endpoint), ours="m", output=0))


def test_embeddings_have_neither_cap_nor_stream() -> None:
    assert built(Endpoint.NATIVE_EMBED, {"input": "a"}) == {"model": "Ours:1b", "input": "a"}
    assert built(Endpoint.NATIVE_EMBEDDINGS, {"prompt": "a"}) == {"model": "Ours:1b", "input": "a"}
    assert built(Endpoint.OPENAI_EMBEDDINGS, {"input": "a"}) == {"model": "Ours:1b", "input": "a"}


def test_keep_alive_is_the_operators_and_native() -> None:
    for endpoint in Endpoint:
        body = built(endpoint, {"keep_alive": 0, "KEEP_ALIVE": -1}, keep_alive="10m")

        assert body.get("keep_alive") == ("10m" if endpoint.value.startswith("/api/") else None)
        assert "KEEP_ALIVE" not in body
