"""Ollama's own dialect: what a request may hold, and the call that is made of it.

Source: Ollama v0.33 `api/types.go`, `server/routes.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.calls import Call, Endpoint
from entrypoints.http import content
from entrypoints.http.fields import (
    Field,
    Table,
    apply,
    cut_to_whole,
    deep_size,
    drop,
    either,
    flag,
    json_object,
    keep,
    list_of,
    number,
    one_of,
    result_size,
    rewrite,
    size,
    table,
    text,
    unless_empty,
    whole,
)

_MOST_INT = 2**31 - 1
_RELOADS = "a value other than the loaded model's reloads it, for everybody"
_STICKS = "it sticks to the shared model: the operator's own is sent"
_MISPLACED = "belongs into `options`; sent here by ollama-ai-provider-v2, and ignored by Ollama"
_CUT = "cut to a whole number, as Ollama does itself"

OPTIONS = Table("NativeOptions", [
    rewrite("num_predict", number(-(2.0**63), 2.0**63), "api/types.go Options.NumPredict",
            because="always sent, and positive: the lowest of what was asked and the limits; below 1 is not given"),
    rewrite("num_keep", cut_to_whole(-1, _MOST_INT), "api/types.go Options.NumKeep", because=_CUT),
    rewrite("seed", content.seed, "api/types.go Options.Seed", because="brought to 31 bits; -1 stays as it is"),
    keep("temperature", number(0, 10), "api/types.go Options.Temperature"),
    rewrite("top_k", cut_to_whole(-1, 100_000), "api/types.go Options.TopK", because=_CUT),
    keep("top_p", number(0, 1), "api/types.go Options.TopP"),
    keep("min_p", number(0, 1), "api/types.go Options.MinP"),
    keep("typical_p", number(0, 1), "api/types.go Options.TypicalP"),
    rewrite("repeat_last_n", cut_to_whole(-1, 65_536), "api/types.go Options.RepeatLastN", because=_CUT),
    keep("repeat_penalty", number(-10, 10), "api/types.go Options.RepeatPenalty"),
    keep("presence_penalty", number(-10, 10), "api/types.go Options.PresencePenalty"),
    keep("frequency_penalty", number(-10, 10), "api/types.go Options.FrequencyPenalty"),
    rewrite("stop", content.stop, "api/types.go Options.Stop", because="one text becomes a list"),
    drop("num_ctx", "api/types.go Runner.NumCtx", because=_RELOADS),
    drop("num_batch", "api/types.go Runner.NumBatch", because=_RELOADS),
    drop("num_gpu", "api/types.go Runner.NumGPU", because=_RELOADS),
    drop("main_gpu", "api/types.go Runner.MainGPU", because=_RELOADS),
    drop("use_mmap", "api/types.go Runner.UseMMap", because=_RELOADS),
    drop("num_thread", "api/types.go Runner.NumThread", because=_RELOADS),
    drop("draft_num_predict", "api/types.go Runner.DraftNumPredict", because=_RELOADS),
], any_case=False)  # fmt: skip
_CALLED = Table("NativeCalledFunction", [
    keep("index", whole(0, 10_000), "api/types.go ToolCallFunction.Index"),
    keep("name", text, "api/types.go ToolCallFunction.Name"),
    keep("arguments", json_object(1_000_000), "api/types.go ToolCallFunction.Arguments"),
])  # fmt: skip
_TOOL_CALL = Table("NativeToolCall", [
    keep("id", text, "api/types.go ToolCall.ID"),
    keep("function", table(_CALLED), "api/types.go ToolCall.Function"),
])  # fmt: skip
_MESSAGE = Table("NativeMessage", [
    keep("role", text, "api/types.go Message.Role"),
    keep("content", text, "api/types.go Message.Content"),
    keep("thinking", text, "api/types.go Message.Thinking"),
    keep("images", list_of(content.image, most=content.MAX_IMAGES), "api/types.go Message.Images"),
    keep("tool_calls", list_of(table(_TOOL_CALL), most=content.MAX_TOOLS), "api/types.go Message.ToolCalls"),
    keep("tool_name", text, "api/types.go Message.ToolName"),
    keep("tool_call_id", text, "api/types.go Message.ToolCallID"),
])  # fmt: skip
_think = either(flag, unless_empty(one_of("low", "medium", "high", "max", "")))


def _source(request: str, name: str) -> str:
    return f"api/types.go {request}.{name}"


def _shared(request: str) -> list[Field]:
    """The rows that chat and generate have in common."""
    return [
        content.model(_source(request, "Model")),
        rewrite("stream", flag, _source(request, "Stream"), because="always sent; true if not given"),
        rewrite("options", table(OPTIONS), _source(request, "Options"), because="cut to its table"),
        keep("format", content.answer_format, _source(request, "Format")),
        keep("think", _think, _source(request, "Think")),
        keep("truncate", flag, _source(request, "Truncate")),
        keep("logprobs", flag, _source(request, "Logprobs")),
        keep("top_logprobs", whole(0, 20), _source(request, "TopLogprobs")),
        drop("keep_alive", _source(request, "KeepAlive"), because=_STICKS),
        drop("shift", _source(request, "Shift"), because=_RELOADS),
        drop("_debug_render_only", _source(request, "DebugRenderOnly"), because="shows the model's own system text"),
        *(drop(name, "not of Ollama", because=_MISPLACED) for name in ("temperature", "max_output_tokens")),
    ]


CHAT = Table("NativeChat", [
    *_shared("ChatRequest"),
    keep("messages", content.never_empty(list_of(table(_MESSAGE), most=content.MAX_MESSAGES)),
         "api/types.go ChatRequest.Messages", required=True),
    keep("tools", content.tools, "api/types.go ChatRequest.Tools"),
    drop("tool_choice", content.OPENAI_REFERENCE, because="sent by ollama-ai-provider-v2, and ignored by Ollama"),
])  # fmt: skip
GENERATE = Table("NativeGenerate", [
    *_shared("GenerateRequest"),
    keep("prompt", content.never_empty(text), "api/types.go GenerateRequest.Prompt", required=True),
    keep("suffix", unless_empty(text), "api/types.go GenerateRequest.Suffix"),
    keep("system", unless_empty(text), "api/types.go GenerateRequest.System"),
    keep("images", content.images, "api/types.go GenerateRequest.Images"),
    drop("template", "api/types.go GenerateRequest.Template", because="would run as code on the server"),
    drop("raw", "api/types.go GenerateRequest.Raw", because="goes round the model's template"),
    drop("context", "api/types.go GenerateRequest.Context", because="tokens that nobody has read, before the prompt"),
])  # fmt: skip
EMBED = Table("NativeEmbed", [
    content.model("api/types.go EmbedRequest.Model"),
    keep("input", content.never_empty(either(text, list_of(text, most=content.MAX_INPUTS))),
         "api/types.go EmbedRequest.Input", required=True),
    keep("truncate", flag, "api/types.go EmbedRequest.Truncate"),
    keep("dimensions", whole(1, 65_536), "api/types.go EmbedRequest.Dimensions"),
    drop("options", "api/types.go EmbedRequest.Options", because=_RELOADS),
    drop("keep_alive", "api/types.go EmbedRequest.KeepAlive", because=_STICKS),
])  # fmt: skip
EMBEDDINGS = Table("NativeEmbeddings", [
    content.model("api/types.go EmbeddingRequest.Model"),
    rewrite("prompt", content.never_empty(text), "api/types.go EmbeddingRequest.Prompt",
            because="sent as `input` to `/api/embed`, which counts tokens", required=True),
    drop("options", "api/types.go EmbeddingRequest.Options", because=_RELOADS),
    drop("keep_alive", "api/types.go EmbeddingRequest.KeepAlive", because=_STICKS),
])  # fmt: skip
_NO_CHANGE = "what is shown is the model as it is"
SHOW = Table("NativeShow", [
    keep("model", text, "api/types.go ShowRequest.Model"),
    keep("name", text, "api/types.go ShowRequest.Name"),
    drop("verbose", "api/types.go ShowRequest.Verbose", because="the vocabulary is left out"),
    *(drop(name, f"api/types.go ShowRequest.{name.capitalize()}", because=_NO_CHANGE)
      for name in ("system", "template", "options")),
])  # fmt: skip
"""`/api/show`, which is answered by the gateway itself. Older clients say `name`; some send both, one of them empty."""


def _asked_output(fields: dict[str, Any]) -> int | None:
    """The caller's cap. 0, negative, absent and fractions below 1 all mean "no cap" to some runner: not given."""
    asked = fields.get("options", {}).pop("num_predict", None)
    return int(asked) if asked is not None and asked >= 1 else None


def _message_bytes(message: Mapping[str, Any], longest_name: int) -> int:
    texts = (message.get(name, "") for name in ("role", "thinking", "tool_name", "tool_call_id"))
    said = message.get("content", "")
    content_bytes = longest_name + result_size(said) if content.is_result(message.get("role", "")) else size(said)
    calls = message.get("tool_calls")
    return sum(map(size, texts)) + content_bytes + (deep_size(calls) if calls else 0)


def read_chat(body: Mapping[str, Any]) -> Call:
    """`POST /api/chat`."""
    fields = apply(CHAT, body)
    messages = fields["messages"]
    tools = fields.get("tools", [])
    longest_name = content.longest_name(call for message in messages for call in message.get("tool_calls", ()))
    return _call(
        Endpoint.NATIVE_CHAT,
        fields,
        text_bytes=sum(_message_bytes(message, longest_name) for message in messages) + sum(map(deep_size, tools)),
        pieces=len(messages) + len(tools),
        images=sum(len(message.get("images", ())) for message in messages),
    )


def read_generate(body: Mapping[str, Any]) -> Call:
    """`POST /api/generate`."""
    fields = apply(GENERATE, body)
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
        model=fields.pop("model"),
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
        model=fields.pop("model"),
        streamed=False,
        inputs_bytes=content.input_sizes(fields["input"], "input"),
        fields=fields,
    )


def read_embeddings(body: Mapping[str, Any]) -> Call:
    """`POST /api/embeddings`, which Ollama keeps for older clients."""
    fields = apply(EMBEDDINGS, body)
    return Call(
        endpoint=Endpoint.NATIVE_EMBEDDINGS,
        model=fields.pop("model"),
        streamed=False,
        inputs_bytes=(size(fields["prompt"]),),
        fields=fields,
    )
