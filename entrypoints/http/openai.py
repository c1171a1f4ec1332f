"""The OpenAI dialect as Ollama speaks it: what a request may hold, and the call that is made of it.

Fields that OpenAI knows and Ollama ignores (`n`, `tool_choice`, `user`, `logit_bias`, `store`, `metadata`, ...) are
not in the tables and so are dropped, as clients expect. `max_completion_tokens` is understood although Ollama ignores
it: without it a client that sends only the new name would be uncapped.

Source: Ollama v0.33 `openai/openai.go`, `middleware/openai.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.calls import Call, Endpoint
from entrypoints.http import content
from entrypoints.http.fields import (
    DROPPED,
    Table,
    apply,
    deep_size,
    flag,
    list_of,
    number,
    one_of,
    size,
    table,
    text,
    text_or_dropped,
    whole,
    wrong,
)

_any_whole = whole(-(2**63), 2**63 - 1)
_encodings = one_of("float", "base64")
_efforts = one_of("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")


def _response_format(value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise wrong(path, "an object")
    match value.get("type"):
        case "text" | None:
            return DROPPED
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            wrapped = value.get("json_schema")
            if not isinstance(wrapped, dict):
                raise wrong(f"{path}.json_schema", "an object")
            where = f"{path}.json_schema.schema"
            return {"type": "json_schema", "json_schema": {"schema": content.schema(wrapped.get("schema"), where)}}
        case _:
            raise wrong(f"{path}.type", "text, json_object or json_schema")


def _part(value: Any, path: str) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    match kind:
        case "text":
            return {"type": "text", "text": text(value.get("text"), f"{path}.text")}
        case "image_url":
            return {"type": "image_url", "image_url": content.image_url(value.get("image_url"), f"{path}.image_url")}
        case _:
            raise wrong(f"{path}.type", "text or image_url")


_parts = list_of(_part, most=256)


def _content(value: Any, path: str) -> Any:
    return value if isinstance(value, str) else _parts(value, path)


_tool_calls = list_of(
    table(
        {
            "id": text,
            "index": whole(0, 10_000),
            "type": content.function_type,
            "function": table({"name": text, "arguments": text}),
        }
    ),
    most=content.MAX_TOOLS,
)
_message = table(
    {
        "role": text,
        "content": _content,
        "reasoning": text,
        "tool_calls": _tool_calls,
        "tool_call_id": text,
        "name": text,
    }
)
_stream_options = table({"include_usage": flag})
_effort_inside = table({"effort": _efforts})


def _reasoning(value: Any, path: str) -> Any:
    # An empty one would win over `reasoning_effort` at the backend.
    return _effort_inside(value, path) or DROPPED


_SHARED: Table = {
    "model": text,
    "stream": flag,
    "stream_options": _stream_options,
    "max_tokens": _any_whole,  # rewritten: always sent positive
    "max_completion_tokens": _any_whole,
    "seed": content.seed,
    "stop": content.stop,
    "temperature": number(0, 10),
    "top_p": number(0, 1),
    "frequency_penalty": number(-10, 10),
    "presence_penalty": number(-10, 10),
}
CHAT: Table = {
    **_SHARED,
    "messages": list_of(_message, most=content.MAX_MESSAGES),
    "tools": content.tools,
    "response_format": _response_format,
    "reasoning": _reasoning,
    "reasoning_effort": _efforts,
    "logprobs": flag,
    "top_logprobs": whole(0, 20),
}


def _prompt(value: Any, path: str) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise wrong(path, "one text; several prompts in one request are not served")
    return value


COMPLETIONS: Table = {**_SHARED, "prompt": _prompt, "suffix": text_or_dropped}


def _inputs(value: Any, path: str) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, int | list) for item in value):
        raise wrong(path, "a text or a list of texts; token arrays are not served, send the text itself")
    return list_of(text, most=content.MAX_INPUTS)(value, path)


def _encoding(value: Any, path: str) -> str:
    return str(_encodings(value.lower() if isinstance(value, str) else value, path))


EMBEDDINGS: Table = {"model": text, "input": _inputs, "dimensions": whole(1, 65_536), "encoding_format": _encoding}


def _asked_output(fields: dict[str, Any]) -> int | None:
    given = (fields.pop("max_tokens", None), fields.pop("max_completion_tokens", None))
    return min((cap for cap in given if cap is not None and cap > 0), default=None)


def _messages_made(message: Mapping[str, Any]) -> int:
    """Ollama makes a message of each part, with the role of the whole (`openai/openai.go`)."""
    said = message.get("content", "")
    return 1 if isinstance(said, str) else max(1, len(said))


def _message_bytes(message: Mapping[str, Any], longest_name: int) -> int:
    said = message.get("content", "")
    texts = [said] if isinstance(said, str) else [part.get("text", "") for part in said]
    texts += [message.get(name, "") for name in ("reasoning", "tool_call_id", "name")]
    calls = message.get("tool_calls")
    # A tool's answer is given the name of the function whose call it names.
    named = longest_name if "tool_call_id" in message else 0
    roles = size(message.get("role", "")) * _messages_made(message)
    return sum(map(size, texts)) + roles + named + (deep_size(calls) if calls else 0)


def _longest_name(messages: Sequence[Mapping[str, Any]]) -> int:
    calls = (call for message in messages for call in message.get("tool_calls", ()))
    return max((size(call.get("function", {}).get("name", "")) for call in calls), default=0)


def _image_count(message: Mapping[str, Any]) -> int:
    said = message.get("content", "")
    return 0 if isinstance(said, str) else sum(part["type"] == "image_url" for part in said)


def read_chat(body: Mapping[str, Any]) -> Call:
    """`POST /v1/chat/completions`."""
    fields = apply(CHAT, body)
    messages = fields.get("messages")
    if not messages:
        raise content.empty("messages")
    tools = fields.get("tools", [])
    longest_name = _longest_name(messages)
    effort = fields.get("reasoning", {}).get("effort", fields.get("reasoning_effort"))
    return _call(
        Endpoint.OPENAI_CHAT,
        fields,
        text_bytes=sum(_message_bytes(message, longest_name) for message in messages) + sum(map(deep_size, tools)),
        pieces=sum(map(_messages_made, messages)) + len(tools),
        images=sum(map(_image_count, messages)),
        thinks=effort != "none",
    )


def read_completions(body: Mapping[str, Any]) -> Call:
    """`POST /v1/completions`."""
    fields = apply(COMPLETIONS, body)
    if not fields.get("prompt"):
        raise content.empty("prompt")
    sizes = size(fields["prompt"]) + size(fields.get("suffix", ""))
    return _call(Endpoint.OPENAI_COMPLETIONS, fields, text_bytes=sizes, pieces=2, images=0, thinks=True)


def _call(
    endpoint: Endpoint, fields: dict[str, Any], *, text_bytes: int, pieces: int, images: int, thinks: bool
) -> Call:
    asked = _asked_output(fields)
    streamed = fields.pop("stream", False)
    wants_usage = fields.pop("stream_options", {}).get("include_usage", False)
    return Call(
        endpoint=endpoint,
        model=content.take_model(fields),
        streamed=streamed,
        fields=fields,
        asked_output_tokens=asked,
        inputs_bytes=(text_bytes,),
        pieces=pieces,
        images=images,
        wants_usage=wants_usage,
        structured="response_format" in fields,
        thinks=thinks,
    )


def read_embeddings(body: Mapping[str, Any]) -> Call:
    """`POST /v1/embeddings`."""
    fields = apply(EMBEDDINGS, body)
    return Call(
        endpoint=Endpoint.OPENAI_EMBEDDINGS,
        model=content.take_model(fields),
        streamed=False,
        inputs_bytes=content.input_sizes(fields.get("input", ""), "input"),
        fields=fields,
    )
