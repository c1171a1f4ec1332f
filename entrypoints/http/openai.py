"""The OpenAI dialect as Ollama speaks it: what a request may hold, and the call that is made of it.

Fields that OpenAI knows and Ollama ignores are dropped, as clients expect; only `n` is refused, because one answer
where three were asked for looks like success. `max_completion_tokens` is understood although Ollama ignores it:
without it a client that sends only the new name would be uncapped.

Source: Ollama v0.33 `openai/openai.go`, `middleware/openai.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from domain.calls import Call, Endpoint
from entrypoints.http import content
from entrypoints.http.content import OPENAI_REFERENCE
from entrypoints.http.fields import (
    DROPPED,
    Field,
    Table,
    apply,
    deep_size,
    drop,
    either,
    flag,
    keep,
    list_of,
    number,
    one_of,
    refuse,
    result_size,
    rewrite,
    rule,
    size,
    table,
    tagged,
    text,
    unless_empty,
    whole,
    wrong,
)

_any_whole = whole(-(2**63), 2**63 - 1)
_efforts = one_of("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")
_IGNORED = "Ollama ignores it"
_CAPPED = "always sent, as `max_tokens`, and positive: the lowest of what was asked and the limits; 0 is not given"


def _ignored(*names: str) -> list[Field]:
    """Rows of fields that are OpenAI's alone."""
    return [drop(name, OPENAI_REFERENCE, because=_IGNORED) for name in names]


# -- the form of an answer ------------------------------------------------------------------------------------------
_JSON_SCHEMA = Table("OpenAIJsonSchema", [
    keep("schema", content.schema, "openai/openai.go JsonSchema.Schema", required=True),
    *_ignored("name", "description", "strict"),
])  # fmt: skip
_format = tagged({
    "text": Table("OpenAITextFormat", []),
    "json_object": Table("OpenAIJsonObjectFormat", []),
    "json_schema": Table("OpenAIJsonSchemaFormat", [
        keep("json_schema", table(_JSON_SCHEMA), "openai/openai.go ResponseFormat.JsonSchema", required=True),
    ]),
}, absent="text")  # fmt: skip


def _response_format(value: Any, path: str) -> Any:
    given = _format.read(value, path)
    return DROPPED if given["type"] == "text" else given


# -- messages -------------------------------------------------------------------------------------------------------
_IMAGE_URL = Table("OpenAIImageUrl", [
    keep("url", content.image_url, "openai/openai.go FromChatRequest", required=True),
    *_ignored("detail"),
])  # fmt: skip


@rule({"type": "string", "pattern": "^data:image/"}, "a data URL")
def _bare_url(value: Any, path: str) -> dict[str, str]:
    return {"url": content.image_url.read(value, path)}


_part = tagged({
    "text": Table("OpenAITextPart", [keep("text", text, "openai/openai.go FromChatRequest", required=True)]),
    "image_url": Table("OpenAIImagePart", [
        rewrite("image_url", either(table(_IMAGE_URL), _bare_url), "openai/openai.go FromChatRequest",
                because="a bare URL becomes an object", required=True),
    ]),
}, but="sound and files are not served")  # fmt: skip
_CALLED = Table("OpenAICalledFunction", [
    keep("name", text, "openai/openai.go ToolCall.Function.Name"),
    keep("arguments", text, "openai/openai.go ToolCall.Function.Arguments"),
])  # fmt: skip
_TOOL_CALL = Table("OpenAIToolCall", [
    keep("id", text, "openai/openai.go ToolCall.ID"),
    keep("index", whole(0, 10_000), "openai/openai.go ToolCall.Index"),
    keep("type", content.function_type, "openai/openai.go ToolCall.Type"),
    keep("function", table(_CALLED), "openai/openai.go ToolCall.Function"),
])  # fmt: skip
_MESSAGE = Table("OpenAIMessage", [
    keep("role", text, "openai/openai.go Message.Role"),
    keep("content", either(text, list_of(_part, most=256)), "openai/openai.go Message.Content"),
    keep("reasoning", text, "openai/openai.go Message.Reasoning"),
    keep("tool_calls", list_of(table(_TOOL_CALL), most=content.MAX_TOOLS), "openai/openai.go Message.ToolCalls"),
    keep("tool_call_id", text, "openai/openai.go Message.ToolCallID"),
    keep("name", text, "openai/openai.go Message.Name"),
    *_ignored("refusal", "annotations", "audio", "function_call", "reasoning_content"),
])  # fmt: skip

# -- the three requests ---------------------------------------------------------------------------------------------
_STREAM_OPTIONS = Table("OpenAIStreamOptions", [
    rewrite("include_usage", flag, "openai/openai.go StreamOptions.IncludeUsage",
            because="always true upstream; the chunk is taken out again for those who did not ask"),
    *_ignored("include_obfuscation"),
])  # fmt: skip
_REASONING = Table("OpenAIReasoning", [
    keep("effort", _efforts, "openai/openai.go Reasoning.Effort"),
    *_ignored("summary", "generate_summary"),
])  # fmt: skip


def _shared(request: str) -> list[Field]:
    """The rows that chat and completions have in common."""
    source = f"openai/openai.go {request}."
    return [
        content.model(source + "Model"),
        rewrite("stream", flag, source + "Stream", because="always sent; false if not given"),
        rewrite("stream_options", table(_STREAM_OPTIONS), source + "StreamOptions", because="cut to its table"),
        rewrite("max_tokens", _any_whole, source + "MaxTokens", because=_CAPPED),
        rewrite("max_completion_tokens", _any_whole, OPENAI_REFERENCE, because=_CAPPED),
        rewrite("seed", content.seed, source + "Seed", because="brought to 31 bits; -1 stays as it is"),
        rewrite("stop", content.stop, source + "Stop", because="one text becomes a list"),
        keep("temperature", number(0, 10), source + "Temperature"),
        keep("top_p", number(0, 1), source + "TopP"),
        keep("frequency_penalty", number(-10, 10), source + "FrequencyPenalty"),
        keep("presence_penalty", number(-10, 10), source + "PresencePenalty"),
        refuse("n", OPENAI_REFERENCE, unless=(0, 1), must="1: there is one answer to a request",
               because="Ollama ignores it; one answer would pass for several"),
        drop("_debug_render_only", source + "DebugRenderOnly", because="shows the model's own system text"),
        *_ignored("user", "logit_bias"),
    ]  # fmt: skip


CHAT = Table("OpenAIChat", [
    *_shared("ChatCompletionRequest"),
    keep("messages", content.never_empty(list_of(table(_MESSAGE), most=content.MAX_MESSAGES)),
         "openai/openai.go ChatCompletionRequest.Messages", required=True),
    keep("tools", content.tools, "openai/openai.go ChatCompletionRequest.Tools"),
    rewrite("response_format", attrs.evolve(_format, read=_response_format),
            "openai/openai.go ChatCompletionRequest.ResponseFormat", because="`text` is not given"),
    keep("reasoning", unless_empty(table(_REASONING)), "openai/openai.go ChatCompletionRequest.Reasoning"),
    keep("reasoning_effort", _efforts, "openai/openai.go ChatCompletionRequest.ReasoningEffort"),
    keep("logprobs", flag, "openai/openai.go ChatCompletionRequest.Logprobs"),
    keep("top_logprobs", whole(0, 20), "openai/openai.go ChatCompletionRequest.TopLogprobs"),
    *_ignored("tool_choice", "parallel_tool_calls", "store", "metadata", "service_tier", "modalities", "audio",
              "prediction", "verbosity", "web_search_options", "functions", "function_call", "prompt_cache_key",
              "prompt_cache_retention", "safety_identifier"),
])  # fmt: skip


@rule({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1}, "a list of one text")
def _single(value: Any, path: str) -> str:
    if len(value) != 1 or not isinstance(value[0], str):
        raise wrong(path, "one text; several prompts in one request and token arrays are not served")
    return value[0]


COMPLETIONS = Table("OpenAICompletions", [
    *_shared("CompletionRequest"),
    rewrite("prompt", content.never_empty(either(text, _single)), "openai/openai.go CompletionRequest.Prompt",
            because="a list of one text becomes the text", required=True),
    keep("suffix", unless_empty(text), "openai/openai.go CompletionRequest.Suffix"),
    drop("logprobs", "openai/openai.go CompletionRequest.Logprobs", because="Ollama's answer omits them"),
    *_ignored("best_of", "echo"),
])  # fmt: skip

_texts = list_of(text, most=content.MAX_INPUTS)


@rule(_texts.schema, _texts.words)
def _inputs(value: Any, path: str) -> list[str]:
    if value and all(isinstance(item, int | list) for item in value):
        raise wrong(path, "a text or a list of texts; token arrays are not served, send the text itself")
    return list(_texts.read(value, path))


_encodings = one_of("float", "base64")


@rule(_encodings.schema, _encodings.words)
def _encoding(value: Any, path: str) -> str:
    return str(_encodings.read(value.lower() if isinstance(value, str) else value, path))


EMBEDDINGS = Table("OpenAIEmbeddings", [
    content.model("openai/openai.go EmbedRequest.Model"),
    keep("input", content.never_empty(either(text, _inputs)), "openai/openai.go EmbedRequest.Input", required=True),
    keep("dimensions", whole(1, 65_536), "openai/openai.go EmbedRequest.Dimensions"),
    rewrite("encoding_format", _encoding, "openai/openai.go EmbedRequest.EncodingFormat", because="in small letters"),
    *_ignored("user"),
])  # fmt: skip


def _asked_output(fields: dict[str, Any]) -> int | None:
    given = (fields.pop("max_tokens", None), fields.pop("max_completion_tokens", None))
    return min((cap for cap in given if cap is not None and cap > 0), default=None)


def _messages_made(message: Mapping[str, Any]) -> int:
    """Ollama makes a message of each part, with the role of the whole (`openai/openai.go`)."""
    said = message.get("content", "")
    return 1 if isinstance(said, str) else max(1, len(said))


def _message_bytes(message: Mapping[str, Any], longest_name: int) -> int:
    said = message.get("content", "")
    parts = [said] if isinstance(said, str) else [part.get("text", "") for part in said]
    texts = [message.get(name, "") for name in ("reasoning", "tool_call_id", "name")]
    calls = message.get("tool_calls")
    result = content.is_result(message.get("role", ""))
    # A tool's answer is given the name of the function whose call it names.
    named = longest_name if result or "tool_call_id" in message else 0
    heads = (size(message.get("role", "")) + named) * _messages_made(message)
    said_bytes = sum(map(result_size if result else size, parts))
    return said_bytes + sum(map(size, texts)) + heads + (deep_size(calls) if calls else 0)


def _image_count(message: Mapping[str, Any]) -> int:
    said = message.get("content", "")
    return 0 if isinstance(said, str) else sum(part["type"] == "image_url" for part in said)


def read_chat(body: Mapping[str, Any]) -> Call:
    """`POST /v1/chat/completions`."""
    fields = apply(CHAT, body)
    messages = fields["messages"]
    tools = fields.get("tools", [])
    longest_name = content.longest_name(call for message in messages for call in message.get("tool_calls", ()))
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
        model=fields.pop("model"),
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
        model=fields.pop("model"),
        streamed=False,
        inputs_bytes=content.input_sizes(fields["input"], "input"),
        fields=fields,
    )
