"""What of a request matters, in Ollama's own types, after what we rewrite on purpose is brought to one form.

The forms are those of the tables (`entrypoints/http`): nothing and empty are one, seeds have 31 bits, options that are
whole are cut towards zero, one stop word is a list, a bare image URL is an object, a text format is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_WHOLE = ("num_keep", "seed", "top_k", "repeat_last_n")
_BROKEN = ("temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty")
_NOTHING: tuple[Any, ...] = (None, "", [], {})
_NO_CAP_FROM = 2**31
"""Far above any cap of an operator: from here on it is as good as none, and Go's float64 has lost the last digits."""
_EXACT_BELOW = 2**53
_FORBIDDEN = ("keep_alive", "template", "raw", "context", "shift", "_debug_render_only", "truncation", "include",
              "background", "conversation")  # fmt: skip
_PART = {
    "text": ("text",), "image_url": ("image_url",), "input_text": ("text",), "output_text": ("text",),
    "input_image": ("image_url",), "image": ("source",), "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id", "content"), "thinking": ("thinking",), "redacted_thinking": (),
}  # fmt: skip


def without_nothing(value: Any) -> Any:
    """A value without the members that say nothing."""
    if isinstance(value, dict):
        members = ((name, without_nothing(inner)) for name, inner in value.items())
        return {name: inner for name, inner in members if not any(inner is one or inner == one for one in _NOTHING)}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


def model_of(seen: Mapping[str, Any]) -> str:
    """The model."""
    return str(seen["model"])


def streams(path: str, seen: Mapping[str, Any]) -> bool:
    """Whether the answer is streamed; Ollama's own dialect does unless told not to."""
    given = seen.get("stream")
    return path in ("/api/chat", "/api/generate") if given is None else bool(given)


def cap_of(path: str, seen: Mapping[str, Any]) -> int | None:
    """The cap on output that was asked for; None for none."""
    if path.startswith("/api/"):
        given = (seen.get("options") or {}).get("num_predict")
        given = int(given) if isinstance(given, int | float) and not isinstance(given, bool) else None
    else:
        given = seen.get("max_output_tokens" if path == "/v1/responses" else "max_tokens")
    return plain_cap(given)


def plain_cap(given: int | None) -> int | None:
    """A cap, or None where it caps nothing."""
    return given if given is not None and 1 <= given < _NO_CAP_FROM else None


def forbidden_in(seen: Mapping[str, Any]) -> list[str]:
    """What must never arrive."""
    return [name for name in _FORBIDDEN if seen.get(name)]


def content_of(path: str, seen: Mapping[str, Any]) -> Any:
    """Everything else that the model, or its runner, is told."""
    ours = {"model", "stream", "stream_options", "max_tokens", "max_output_tokens", *_FORBIDDEN}
    kept = {name: value for name, value in seen.items() if name not in ours}
    for name, bring in _BROUGHT.get(path, {}).items():
        if kept.get(name) is not None:
            kept[name] = bring(kept[name])
    kept.update(dict.fromkeys(_DROPPED.get(path, ())))
    if path == "/api/embeddings":
        kept["input"] = kept.pop("prompt")
    if kept.get("dimensions") == 0:
        del kept["dimensions"]  # Ollama's word for none
    return without_nothing(kept)


def has_blurred_seed(seen: Mapping[str, Any]) -> bool:
    """Whether a native seed has more bits than Go's float64 holds: then those that we keep are not those it has."""
    seed = (seen.get("options") or {}).get("seed")
    return isinstance(seed, int | float) and abs(seed) >= _EXACT_BELOW


def _seed(given: Any) -> int:
    return -1 if given == -1 else int(given) & (_NO_CAP_FROM - 1)


def _stop(given: Any) -> Any:
    return [given] if isinstance(given, str) and given else given


def _options(given: Mapping[str, Any]) -> Any:
    kept = {name: given[name] for name in _BROKEN if given.get(name) is not None}
    kept |= {name: int(given[name]) for name in _WHOLE if isinstance(given.get(name), int | float)}
    if "seed" in kept:
        kept["seed"] = _seed(kept["seed"])
    return {**kept, "stop": _stop(given.get("stop"))}


def _openai_format(given: Mapping[str, Any]) -> Any:
    match given["type"]:
        case "json_schema":
            return given
        case "json_object":
            return {"type": "json_object"}
        case _:
            return None


def _responses_text(given: Mapping[str, Any]) -> Any:
    form = given.get("format") or {}
    match form.get("type"):
        case "json_schema":
            return {"format": form}
        case "json_object":
            return {"format": {"type": "json_schema", "name": "json_object", "schema": {"type": "object"}}}
        case _:
            return None


def _part(given: Mapping[str, Any]) -> Any:
    kept = {name: given[name] for name in _PART.get(given["type"], ())}
    if given["type"] == "image_url" and kept.get("image_url") is not None:
        url = kept["image_url"]
        kept["image_url"] = url if isinstance(url, str) else url.get("url")
    if kept.get("content") is not None:
        kept["content"] = _text(kept["content"])
    return {"type": given["type"], **kept}


def _text(given: Mapping[str, Any]) -> Any:
    return given["Plain"] or [_part(part) for part in given["Parts"] or ()]


def _message(given: Mapping[str, Any]) -> Any:
    said = given.get("content")
    return {**given, "content": _text(said) if isinstance(said, dict) else said}


def _messages(given: list[Any]) -> Any:
    return [_message(message) for message in given]


_ITEM_KEEPS = {
    "message": ("role", "content"), "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"), "reasoning": ("encrypted_content", "summary"),
}  # fmt: skip


def _item(given: Mapping[str, Any]) -> Any:
    kind = given["type"] or "message"
    kept = {name: given[name] for name in _ITEM_KEEPS.get(kind, ())}
    for name in ("content", "output"):
        if kept.get(name) is not None:
            kept[name] = _text(kept[name])
    if kept.get("summary"):
        kept["summary"] = [{"type": part["type"], "text": part["text"]} for part in kept["summary"]]
    return {"type": kind, **kept}


def _input(given: Mapping[str, Any]) -> Any:
    return given["Plain"] or [_item(item) for item in given["Items"] or ()]


def _anthropic_tools(given: list[Any]) -> Any:
    return [{**tool, "type": tool["type"] or "custom"} for tool in given]


_OPENAI = {"seed": _seed, "stop": _stop}
_BROUGHT: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "/api/chat": {"options": _options},
    "/api/generate": {"options": _options},
    "/v1/chat/completions": {**_OPENAI, "messages": _messages, "response_format": _openai_format},
    "/v1/completions": _OPENAI,
    "/v1/embeddings": {"encoding_format": str.lower},
    "/v1/responses": {"input": _input, "text": _responses_text},
    "/v1/messages": {
        "messages": _messages, "system": _text, "tools": _anthropic_tools,
        "thinking": lambda given: {"type": given["type"]},
    },
}  # fmt: skip
_DROPPED = {"/api/embed": ("options",), "/api/embeddings": ("options",), "/v1/completions": ("logprobs",)}
