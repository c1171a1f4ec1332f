"""Ollama's own dialect: what a request may hold, and the call that is made of it.

| dropped for every caller | because |
|---|---|
| `keep_alive` | it sticks to the shared model: the operator's own is sent |
| runner options (`num_ctx num_batch num_gpu main_gpu num_thread use_mmap draft_num_predict`), `shift` | reload it |
| `template raw context` | template code on the server, or no template at all |
| `_debug_render_only` | shows the model's own system text |

Source: Ollama v0.33 `api/types.go`, `server/routes.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.calls import Call, Endpoint
from entrypoints.http import content
from entrypoints.http.fields import (
    DROPPED,
    Table,
    apply,
    cut_to_whole,
    deep_size,
    drop,
    flag,
    json_object,
    list_of,
    number,
    size,
    table,
    text,
    text_or_dropped,
    whole,
    wrong,
)

_MOST_INT = 2**31 - 1
_THINK_LEVELS = ("low", "medium", "high", "max")


def _output_cap(value: Any, path: str) -> float:
    return float(number(-(2.0**63), 2.0**63)(value, path))


OPTIONS: Table = {
    "num_predict": _output_cap,  # rewritten: always sent positive
    "num_keep": cut_to_whole(-1, _MOST_INT),
    "seed": content.seed,
    "temperature": number(0, 10),
    "top_k": cut_to_whole(-1, 100_000),
    "top_p": number(0, 1),
    "min_p": number(0, 1),
    "typical_p": number(0, 1),
    "repeat_last_n": cut_to_whole(-1, 65_536),
    "repeat_penalty": number(-10, 10),
    "presence_penalty": number(-10, 10),
    "frequency_penalty": number(-10, 10),
    "stop": content.stop,
}


def _think(value: Any, path: str) -> Any:
    if isinstance(value, bool) or value in _THINK_LEVELS:
        return value
    if value == "":
        return DROPPED
    raise wrong(path, "true, false, low, medium, high or max")


_tool_calls = list_of(
    table(
        {
            "id": text,
            "function": table({"index": whole(0, 10_000), "name": text, "arguments": json_object(1_000_000)}),
        }
    ),
    most=content.MAX_TOOLS,
)
_message = table(
    {
        "role": text,
        "content": text,
        "thinking": text,
        "images": list_of(content.image, most=content.MAX_IMAGES),
        "tool_calls": _tool_calls,
        "tool_name": text,
        "tool_call_id": text,
    }
)

_SHARED: Table = {
    "model": text,
    "stream": flag,
    "options": table(OPTIONS),
    "format": content.answer_format,
    "think": _think,
    "truncate": flag,
    "logprobs": flag,
    "top_logprobs": whole(0, 20),
    "keep_alive": drop,
    "shift": drop,
    "_debug_render_only": drop,
}
CHAT: Table = {**_SHARED, "messages": list_of(_message, most=content.MAX_MESSAGES), "tools": content.tools}
GENERATE: Table = {
    **_SHARED,
    "prompt": text,
    "suffix": text_or_dropped,
    "system": text_or_dropped,
    "images": content.images,
    "template": drop,
    "raw": drop,
    "context": drop,
}


def _inputs(value: Any, path: str) -> Any:
    return value if isinstance(value, str) else list_of(text, most=content.MAX_INPUTS)(value, path)


EMBED: Table = {
    "model": text,
    "input": _inputs,
    "truncate": flag,
    "dimensions": whole(1, 65_536),
    "options": drop,
    "keep_alive": drop,
}


def _asked_output(fields: dict[str, Any]) -> int | None:
    """The caller's cap. 0, negative, absent and fractions below 1 all mean "no cap" to some runner: not given."""
    asked = fields.get("options", {}).pop("num_predict", None)
    return int(asked) if asked is not None and asked >= 1 else None


def _message_bytes(message: Mapping[str, Any]) -> int:
    texts = (message.get(name, "") for name in ("role", "content", "thinking", "tool_name", "tool_call_id"))
    calls = message.get("tool_calls")
    return sum(map(size, texts)) + (deep_size(calls) if calls else 0)


def read_chat(body: Mapping[str, Any]) -> Call:
    """`POST /api/chat`."""
    fields = apply(CHAT, body)
    messages = fields.get("messages")
    if not messages:
        raise content.empty("messages")
    tools = fields.get("tools", [])
    return _call(
        Endpoint.NATIVE_CHAT,
        fields,
        text_bytes=sum(map(_message_bytes, messages)) + sum(map(deep_size, tools)),
        pieces=len(messages) + len(tools),
        images=sum(len(message.get("images", ())) for message in messages),
    )


def read_generate(body: Mapping[str, Any]) -> Call:
    """`POST /api/generate`."""
    fields = apply(GENERATE, body)
    if not fields.get("prompt"):
        raise content.empty("prompt")
    texts = (fields.get(name, "") for name in ("prompt", "suffix", "system"))
    return _call(
        Endpoint.NATIVE_GENERATE,
        fields,
        text_bytes=sum(map(size, texts)),
        pieces=2,
        images=len(fields.get("images", ())),
    )


def _call(endpoint: Endpoint, fields: dict[str, Any], *, text_bytes: int, pieces: int, images: int) -> Call:
    asked = _asked_output(fields)
    streamed = fields.pop("stream", True)
    return Call(
        endpoint=endpoint,
        model=content.take_model(fields),
        streamed=streamed,
        fields=fields,
        asked_output_tokens=asked,
        inputs_bytes=(text_bytes,),
        pieces=pieces,
        images=images,
        structured="format" in fields,
        thinks=fields.get("think") is not False,
    )


def read_embed(body: Mapping[str, Any]) -> Call:
    """`POST /api/embed`."""
    fields = apply(EMBED, body)
    return Call(
        endpoint=Endpoint.NATIVE_EMBED,
        model=content.take_model(fields),
        streamed=False,
        inputs_bytes=content.input_sizes(fields.get("input", ""), "input"),
        fields=fields,
    )
