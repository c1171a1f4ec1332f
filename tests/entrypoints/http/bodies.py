"""Bodies that are just enough, and the readers they are for."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import strategies as st

from domain.calls import Call, Endpoint
from domain.refusals import Refusal
from entrypoints.http import native, openai

Read = Callable[[Mapping[str, Any]], Call]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
USER = {"role": "user", "content": "Hi"}

BASES: dict[Endpoint, dict[str, Any]] = {
    Endpoint.NATIVE_CHAT: {"model": "m", "messages": [USER]},
    Endpoint.NATIVE_GENERATE: {"model": "m", "prompt": "Hi"},
    Endpoint.NATIVE_EMBED: {"model": "m", "input": "Hi"},
    Endpoint.OPENAI_CHAT: {"model": "m", "messages": [USER]},
    Endpoint.OPENAI_COMPLETIONS: {"model": "m", "prompt": "Hi"},
    Endpoint.OPENAI_EMBEDDINGS: {"model": "m", "input": "Hi"},
}
READS: dict[Endpoint, Read] = {
    Endpoint.NATIVE_CHAT: native.read_chat,
    Endpoint.NATIVE_GENERATE: native.read_generate,
    Endpoint.NATIVE_EMBED: native.read_embed,
    Endpoint.OPENAI_CHAT: openai.read_chat,
    Endpoint.OPENAI_COMPLETIONS: openai.read_completions,
    Endpoint.OPENAI_EMBEDDINGS: openai.read_embeddings,
}
EVERY_ENDPOINT = pytest.mark.parametrize("endpoint", list(Endpoint), ids=lambda endpoint: endpoint.value)


def read(endpoint: Endpoint, **more: Any) -> Call:
    return READS[endpoint](BASES[endpoint] | more)


def refusal(endpoint: Endpoint, **more: Any) -> Refusal:
    with pytest.raises(Refusal) as met:
        read(endpoint, **more)
    return met.value


def said(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def each(*values: Any) -> tuple[Any, ...]:
    return values


junk = st.sampled_from([0, -1, 1, True, "x", None, [1], {"a": 1}])
