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
    "model", "name", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens",
    "keep_alive",
})  # fmt: skip
_CAPS: Final = {
    Dialect.OPENAI: "max_tokens",
    Dialect.RESPONSES: "max_output_tokens",
    Dialect.ANTHROPIC: "max_tokens",
}
"""Where the cap stands; native calls have it among their options."""
_NUM_PREDICT: Final = "num_predict"
_ENCODER: Final = msgspec.json.Encoder()
_LONG_BYTES: Final = 262_144
_SLICE: Final = 65_536
"""Characters that are written at once: Python's lock is held until they are."""


def is_long(call: Call) -> bool:
    """Whether the body may be so long that it must be built beside the event loop."""
    return call.images > 0 or sum(call.inputs_bytes) > _LONG_BYTES


def body_of(upstream: UpstreamCall, *, keep_alive: str | int | None = None) -> bytes:
    """The upstream body of a call.

    Args:
        upstream: the call, its model on this backend and its bounds.
        keep_alive: the operator's own, for native endpoints; None leaves it to Ollama.
    """
    call = upstream.call
    built: dict[str, Any] = {"model": upstream.model.name}
    built |= {key: value for key, value in call.fields.items() if key.casefold() not in _KEYS_OF_OURS}
    if call.endpoint is Endpoint.NATIVE_EMBEDDINGS and "prompt" in built:
        built["input"] = built.pop("prompt")
    if call.endpoint.generates:
        _set_cap(built, call.endpoint, upstream.bounds.output)
        _set_stream(built, call)
    if keep_alive is not None and call.endpoint.dialect is Dialect.NATIVE:
        built["keep_alive"] = keep_alive
    return _ENCODER.encode(_in_slices(built) if is_long(call) else built)


def _in_slices(value: Any) -> Any:
    """The same value with its long texts written already, a slice at a time."""
    if isinstance(value, dict):
        return {name: _in_slices(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_in_slices(item) for item in value]
    if isinstance(value, str) and len(value) > _SLICE:
        starts = range(0, len(value), _SLICE)
        return msgspec.Raw(b'"%b"' % b"".join(_ENCODER.encode(value[at : at + _SLICE])[1:-1] for at in starts))
    return value


def _set_cap(built: dict[str, Any], endpoint: Endpoint, output_tokens: int) -> None:
    if output_tokens < 1:
        raise ValueError(f"the output cap must be positive, got {output_tokens}: Ollama reads 0 as no limit")
    if endpoint.dialect in _CAPS:
        built[_CAPS[endpoint.dialect]] = output_tokens
        return
    options = {key: value for key, value in built.get("options", {}).items() if key.casefold() != _NUM_PREDICT}
    built["options"] = options | {_NUM_PREDICT: output_tokens}


def _set_stream(built: dict[str, Any], call: Call) -> None:
    built["stream"] = call.streamed
    if call.streamed and call.endpoint.dialect is Dialect.OPENAI:
        built["stream_options"] = {"include_usage": True}
