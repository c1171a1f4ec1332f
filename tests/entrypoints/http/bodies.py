"""Bodies that are just enough, and the readers they are for."""

from typing import Any

import pytest
from hypothesis import strategies as st

from domain.calls import Call, Endpoint
from domain.refusals import Refusal
from entrypoints.http.routes import TABLE, Inference

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
USER = {"role": "user", "content": "Hi"}

BASES: dict[Endpoint, dict[str, Any]] = {
    Endpoint.NATIVE_CHAT: {"model": "m", "messages": [USER]},
    Endpoint.NATIVE_GENERATE: {"model": "m", "prompt": "Hi"},
    Endpoint.NATIVE_EMBED: {"model": "m", "input": "Hi"},
    Endpoint.NATIVE_EMBEDDINGS: {"model": "m", "prompt": "Hi"},
    Endpoint.OPENAI_CHAT: {"model": "m", "messages": [USER]},
    Endpoint.OPENAI_COMPLETIONS: {"model": "m", "prompt": "Hi"},
    Endpoint.OPENAI_EMBEDDINGS: {"model": "m", "input": "Hi"},
    Endpoint.RESPONSES: {"model": "m", "input": "Hi"},
    Endpoint.ANTHROPIC_MESSAGES: {"model": "m", "max_tokens": 9, "messages": [USER]},
}
ROUTES = {route.endpoint: route for _, route in TABLE.values() if isinstance(route, Inference)}
EVERY_ENDPOINT = pytest.mark.parametrize("endpoint", list(ROUTES), ids=lambda endpoint: endpoint.value)


def read(endpoint: Endpoint, **more: Any) -> Call:
    return ROUTES[endpoint].read(BASES[endpoint] | more)


def refusal(endpoint: Endpoint, **more: Any) -> Refusal:
    with pytest.raises(Refusal) as met:
        read(endpoint, **more)
    return met.value


def said(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def each(*values: Any) -> tuple[Any, ...]:
    return values


junk = st.sampled_from([0, -1, 1, True, "x", None, [1], {"a": 1}])
