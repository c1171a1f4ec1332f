"""The body sent upstream: built anew from what was allowed, the operator's model name and our caps.

Ollama matches keys without regard to case and lets the last one win (`encoding/json`; U+017F reads as `s`), so a
field that folds to a key of ours is dropped here once more, whatever the reader of requests let through. The output
cap is always sent and always positive: 0 and absent mean *no limit* (Ollama v0.33 `llm/llama_server.go`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from domain.calls import Call, Dialect, Endpoint
from domain.ports.model_backend import UpstreamCall

_KEYS_OF_OURS: Final = frozenset({
    "model", "name", "stream", "stream_options", "max_tokens", "max_completion_tokens", "keep_alive",
})  # fmt: skip
_NUM_PREDICT: Final = "num_predict"
_ENCODER: Final = msgspec.json.Encoder()


def body_of(upstream: UpstreamCall, *, keep_alive: str | int | None = None) -> bytes:
    """The upstream body of a call.

    Args:
        upstream: the call, its model on this backend and its bounds.
        keep_alive: the operator's own, for native endpoints; None leaves it to Ollama.
    """
    call = upstream.call
    built: dict[str, Any] = {"model": upstream.model.name}
    built |= {key: value for key, value in call.fields.items() if key.casefold() not in _KEYS_OF_OURS}
    if call.endpoint.generates:
        _set_cap(built, call.endpoint, upstream.bounds.output)
        _set_stream(built, call)
    if keep_alive is not None and call.endpoint.dialect is Dialect.NATIVE:
        built["keep_alive"] = keep_alive
    return _ENCODER.encode(built)


def _set_cap(built: dict[str, Any], endpoint: Endpoint, output_tokens: int) -> None:
    if output_tokens < 1:
        raise ValueError(f"the output cap must be positive, got {output_tokens}: Ollama reads 0 as no limit")
    if endpoint.dialect is Dialect.OPENAI:
        built["max_tokens"] = output_tokens
        return
    options = {key: value for key, value in built.get("options", {}).items() if key.casefold() != _NUM_PREDICT}
    built["options"] = options | {_NUM_PREDICT: output_tokens}


def _set_stream(built: dict[str, Any], call: Call) -> None:
    built["stream"] = call.streamed
    if call.streamed and call.endpoint.dialect is Dialect.OPENAI:
        built["stream_options"] = {"include_usage": True}
