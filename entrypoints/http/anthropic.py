"""Anthropic's Messages as Ollama speaks them: what a request may hold, and the call that is made of it.

Ollama makes a chat of it: each tool result becomes a message of its own, the rest of a message another, and blocks that
it does not know vanish without a word. Here they are refused, so that no model answers without what it was shown.

Source: Ollama v0.33 `anthropic/anthropic.go`, `middleware/anthropic.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.calls import Call, Endpoint
from entrypoints.http import content
from entrypoints.http.fields import (
    EMPTY,
    Field,
    Table,
    apply,
    deep_size,
    drop,
    either,
    flag,
    json_object,
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

_REFERENCE = "Anthropic's API reference"
_REQUEST = "anthropic/anthropic.go MessagesRequest"
_BLOCK = "anthropic/anthropic.go ContentBlock"
_NOT_READ = "Ollama reads it and does nothing with it"
_MOST_BLOCKS = 256
_MOST_INPUT_BYTES = 1_000_000


def _unknown(*names: str) -> list[Field]:
    return [drop(name, _REFERENCE, because="Ollama does not know it") for name in names]


# -- blocks ---------------------------------------------------------------------------------------------------------
_TEXT = Table("AnthropicTextBlock", [
    keep("text", text, f"{_BLOCK}.Text", required=True),
    drop("citations", f"{_BLOCK}.Citations", because=_NOT_READ),
    *_unknown("cache_control"),
])  # fmt: skip
_SOURCE = tagged({
    "base64": Table("AnthropicBase64Source", [
        keep("media_type", text, "anthropic/anthropic.go ImageSource.MediaType"),
        keep("data", content.image, "anthropic/anthropic.go ImageSource.Data", required=True),
        drop("url", "anthropic/anthropic.go ImageSource.URL", because="nobody here fetches anything for a caller"),
    ]),
}, but="web addresses are not fetched, and files are not kept")  # fmt: skip
_IMAGE = Table("AnthropicImageBlock", [
    keep("source", _SOURCE, f"{_BLOCK}.Source", required=True),
    *_unknown("cache_control", "transformations"),
])  # fmt: skip


@rule({"type": "string", "minLength": 1}, "a text that is not empty")
def _some_text(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise wrong(path, "a text that is not empty")
    return value


_TOOL_USE = Table("AnthropicToolUseBlock", [
    keep("id", _some_text, f"{_BLOCK}.ID", required=True),
    keep("name", _some_text, f"{_BLOCK}.Name", required=True),
    keep("input", json_object(_MOST_INPUT_BYTES), f"{_BLOCK}.Input"),
    *_unknown("cache_control", "caller", "toolset_name"),
])  # fmt: skip
_result_block = tagged({"text": _TEXT, "image": _IMAGE}, but="files and search results are not served")
_TOOL_RESULT = Table("AnthropicToolResultBlock", [
    keep("tool_use_id", text, f"{_BLOCK}.ToolUseID", required=True),
    keep("content", either(text, list_of(_result_block, most=_MOST_BLOCKS)), f"{_BLOCK}.Content"),
    drop("is_error", f"{_BLOCK}.IsError", because=_NOT_READ),
    *_unknown("cache_control", "toolset_name"),
])  # fmt: skip
_THINKING = Table("AnthropicThinkingBlock", [
    keep("thinking", text, f"{_BLOCK}.Thinking", required=True),
    drop("signature", f"{_BLOCK}.Signature", because=_NOT_READ),
    *_unknown("cache_control"),
])  # fmt: skip
_block = tagged({
    "text": _TEXT,
    "image": _IMAGE,
    "tool_use": _TOOL_USE,
    "tool_result": _TOOL_RESULT,
    "thinking": _THINKING,
    "redacted_thinking": Table("AnthropicRedactedThinkingBlock", _unknown("data", "cache_control")),
}, but="files and tools that run on the server are not served")  # fmt: skip
_MESSAGE = Table("AnthropicMessage", [
    keep("role", text, "anthropic/anthropic.go MessageParam.Role", required=True),
    keep("content", either(text, list_of(_block, most=_MOST_BLOCKS)), "anthropic/anthropic.go MessageParam.Content",
         required=True),
])  # fmt: skip

# -- the request ----------------------------------------------------------------------------------------------------
_tool = tagged({
    "custom": Table("AnthropicTool", [
        keep("name", _some_text, "anthropic/anthropic.go Tool.Name", required=True),
        keep("description", text, "anthropic/anthropic.go Tool.Description"),
        keep("input_schema", content.parameters, "anthropic/anthropic.go Tool.InputSchema"),
        drop("max_uses", "anthropic/anthropic.go Tool.MaxUses", because="of web search, which is not served"),
        *_unknown("cache_control", "strict", "defer_loading", "allowed_callers", "input_examples",
                  "eager_input_streaming"),
    ]),
}, absent="custom", but="tools that the server defines or runs, such as web search, are not served")  # fmt: skip
_THINKING_CONFIG = Table("AnthropicThinkingConfig", [
    keep("type", one_of("enabled", "disabled", "adaptive", "between_tools"),
         "anthropic/anthropic.go ThinkingConfig.Type", required=True),
    drop("budget_tokens", "anthropic/anthropic.go ThinkingConfig.BudgetTokens", because=_NOT_READ),
    *_unknown("display"),
])  # fmt: skip
_NO_FORMAT = "absent: Ollama has no structured output here; `/v1/chat/completions` and `/v1/responses` have"
_OUTPUT_CONFIG = Table("AnthropicOutputConfig", [
    keep("effort", one_of("low", "medium", "high", "xhigh", "max"), "anthropic/anthropic.go OutputConfig.Effort"),
    refuse("format", _REFERENCE, unless=EMPTY, must=_NO_FORMAT, because="the answer would not have the format"),
])  # fmt: skip
MESSAGES = Table("AnthropicMessages", [
    content.model(f"{_REQUEST}.Model"),
    rewrite("max_tokens", whole(1, 2**63 - 1), f"{_REQUEST}.MaxTokens",
            because="sent as the lowest of what was asked and the limits", required=True),
    keep("messages", content.never_empty(list_of(table(_MESSAGE), most=content.MAX_MESSAGES)),
         f"{_REQUEST}.Messages", required=True),
    keep("system", unless_empty(either(text, list_of(tagged({"text": _TEXT}), most=_MOST_BLOCKS))),
         f"{_REQUEST}.System"),
    rewrite("stream", flag, f"{_REQUEST}.Stream", because="always sent; false if not given"),
    keep("temperature", number(0, 10), f"{_REQUEST}.Temperature"),
    keep("top_p", number(0, 1), f"{_REQUEST}.TopP"),
    keep("top_k", whole(-1, 100_000), f"{_REQUEST}.TopK"),
    keep("stop_sequences", unless_empty(list_of(text, most=16)), f"{_REQUEST}.StopSequences"),
    keep("tools", unless_empty(list_of(_tool, most=content.MAX_TOOLS)), f"{_REQUEST}.Tools"),
    keep("thinking", table(_THINKING_CONFIG), f"{_REQUEST}.Thinking"),
    keep("output_config", table(_OUTPUT_CONFIG), f"{_REQUEST}.OutputConfig"),
    drop("tool_choice", f"{_REQUEST}.ToolChoice", because=_NOT_READ),
    drop("metadata", f"{_REQUEST}.Metadata", because=_NOT_READ),
    refuse("output_format", _REFERENCE, unless=EMPTY, must=_NO_FORMAT, because="the answer would not have the format"),
    refuse("mcp_servers", _REFERENCE, unless=EMPTY, must="empty; tools that run on the server are not served",
           because="nobody here calls a server for a caller"),
    *_unknown("betas", "cache_control", "container", "context_management", "inference_geo", "service_tier", "speed"),
])  # fmt: skip


# -- bounds ---------------------------------------------------------------------------------------------------------
def _blocks(said: Any) -> list[Any]:
    """The blocks of a content, system text or tool result, each of which may be one text or nothing instead."""
    return [{"type": "text", "text": said}] if isinstance(said, str) else said or []


def _image_count(block: Mapping[str, Any]) -> int:
    inside = _blocks(block.get("content")) if block["type"] == "tool_result" else [block]
    return sum(one["type"] == "image" for one in inside)


def _messages_made(message: Mapping[str, Any]) -> int:
    """Ollama makes a message of each tool result, and one of all that is not nothing beside them."""
    blocks = _blocks(message["content"])
    results = [block for block in blocks if block["type"] == "tool_result"]
    rest = any(block["type"] in ("image", "tool_use") or block.get("text") or block.get("thinking") for block in blocks)
    return len(results) + rest


def _block_bytes(block: Mapping[str, Any], longest_name: int) -> int:
    """UTF-8 bytes of a block."""
    match block["type"]:
        case "tool_use":
            return deep_size({"id": block["id"], "function": {"name": block["name"], "arguments": block.get("input")}})
        case "tool_result":
            results = (inner.get("text", "") for inner in _blocks(block.get("content")))
            role = len("tool")  # of its own
            return role + longest_name + size(block["tool_use_id"]) + sum(map(result_size, results))
        case _:
            return size(block.get("text", "")) + size(block.get("thinking", ""))


def _tool_bytes(tool: Mapping[str, Any]) -> int:
    """UTF-8 bytes of what Ollama makes of a tool (`anthropic.go convertTool`)."""
    function = {name: tool.get(name, "") for name in ("name", "description")}
    return deep_size({"type": "function", "function": {**function, "parameters": tool.get("input_schema")}})


def read_messages(body: Mapping[str, Any]) -> Call:
    """`POST /v1/messages`."""
    fields = apply(MESSAGES, body)
    messages = fields["messages"]
    made = sum(map(_messages_made, messages))
    if not made:
        raise content.empty("messages")
    if made > content.MAX_MESSAGES:
        raise wrong("messages", f"a list of at most {content.MAX_MESSAGES} messages, each tool result counted as one")
    tools = fields.get("tools", [])
    blocks = [*_blocks(fields.get("system")), *(block for one in messages for block in _blocks(one["content"]))]
    longest_name = max((size(block["name"]) for block in blocks if block["type"] == "tool_use"), default=0)
    said = sum(_block_bytes(block, longest_name) for block in blocks)
    roles = sum(size(message["role"]) for message in messages)
    return Call(
        endpoint=Endpoint.ANTHROPIC_MESSAGES,
        model=fields.pop("model"),
        streamed=fields.pop("stream", False),
        asked_output_tokens=fields.pop("max_tokens"),
        inputs_bytes=(said + roles + sum(map(_tool_bytes, tools)),),
        pieces=made + len(tools) + ("system" in fields),
        images=sum(map(_image_count, blocks)),
        thinks=fields.get("thinking", {}).get("type") != "disabled",
        fields=fields,
    )
