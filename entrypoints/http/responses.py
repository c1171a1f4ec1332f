"""OpenAI's newer interface, `/v1/responses`, as Ollama speaks it: what a request may hold, and the call made of it.

Ollama keeps no conversations: a request that goes on from an earlier one (`previous_response_id`, `conversation`), or
from a prompt that is stored elsewhere (`prompt`), would be answered without what came before. It is refused.

Source: Ollama v0.33 `openai/responses.go`, `middleware/openai.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from domain.calls import Call, Endpoint
from entrypoints.http import content
from entrypoints.http.fields import (
    DROPPED,
    EMPTY,
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
    size,
    table,
    tagged,
    text,
    unless_empty,
    whole,
    wrong,
)

_MOST_PARTS = 256
_IGNORED = "Ollama does not read it"
_ECHOED = "Ollama would only repeat it in its answer"
_STATELESS = "nothing is stored here or at the backend: the model would not see it"
_TEXT = "openai/responses.go ResponsesTextContent.Text"

_INPUT_TEXT = Table("ResponsesInputText", [keep("text", text, _TEXT, required=True)])
_OUTPUT_TEXT = Table("ResponsesOutputText", [
    keep("text", text, "openai/responses.go ResponsesOutputTextContent.Text", required=True),
    drop("annotations", content.OPENAI_REFERENCE, because=_IGNORED),
    drop("logprobs", content.OPENAI_REFERENCE, because=_IGNORED),
])  # fmt: skip
_INPUT_IMAGE = Table("ResponsesInputImage", [
    keep("image_url", content.image_url, "openai/responses.go ResponsesImageContent.ImageURL", required=True),
    refuse("file_id", "openai/responses.go ResponsesImageContent.FileID", unless=EMPTY,
           must="left out: files are not stored here, send the image as a data URL", because=_STATELESS),
    drop("detail", "openai/responses.go ResponsesImageContent.Detail", because=_IGNORED),
])  # fmt: skip
_parts = list_of(
    tagged(
        {"input_text": _INPUT_TEXT, "output_text": _OUTPUT_TEXT, "input_image": _INPUT_IMAGE},
        but="files and audio are not served",
    ),
    most=_MOST_PARTS,
)

_MESSAGE = Table("ResponsesMessage", [
    keep("role", text, "openai/responses.go ResponsesInputMessage.Role", required=True),
    keep("content", either(text, _parts), "openai/responses.go ResponsesInputMessage.Content"),
    drop("id", content.OPENAI_REFERENCE, because=_IGNORED),
    drop("status", content.OPENAI_REFERENCE, because=_IGNORED),
])  # fmt: skip
_FUNCTION_CALL = Table("ResponsesFunctionCall", [
    keep("call_id", text, "openai/responses.go ResponsesFunctionCall.CallID"),
    keep("name", text, "openai/responses.go ResponsesFunctionCall.Name", required=True),
    keep("namespace", text, "openai/responses.go ResponsesFunctionCall.Namespace"),
    keep("arguments", text, "openai/responses.go ResponsesFunctionCall.Arguments"),
    drop("id", "openai/responses.go ResponsesFunctionCall.ID", because="Ollama reads it and makes nothing of it"),
    drop("status", content.OPENAI_REFERENCE, because=_IGNORED),
])  # fmt: skip
_FUNCTION_CALL_OUTPUT = Table("ResponsesFunctionCallOutput", [
    keep("call_id", text, "openai/responses.go ResponsesFunctionCallOutput.CallID"),
    keep("output", either(text, _parts), "openai/responses.go ResponsesFunctionCallOutput.Output"),
    drop("id", content.OPENAI_REFERENCE, because=_IGNORED),
    drop("status", content.OPENAI_REFERENCE, because=_IGNORED),
])  # fmt: skip
_SUMMARY = Table("ResponsesReasoningSummary", [
    keep("type", one_of("summary_text"), "openai/responses.go ResponsesReasoningSummary.Type"),
    keep("text", text, "openai/responses.go ResponsesReasoningSummary.Text", required=True),
])  # fmt: skip
_REASONING_ITEM = Table("ResponsesReasoningItem", [
    keep("encrypted_content", text, "openai/responses.go ResponsesReasoningInput.EncryptedContent"),
    keep("summary", list_of(table(_SUMMARY), most=_MOST_PARTS), "openai/responses.go ResponsesReasoningInput.Summary"),
    drop("content", content.OPENAI_REFERENCE, because=_IGNORED),
    drop("id", "openai/responses.go ResponsesReasoningInput.ID", because="Ollama reads it and makes nothing of it"),
    drop("status", content.OPENAI_REFERENCE, because=_IGNORED),
])  # fmt: skip
_item = tagged(
    {
        "message": _MESSAGE,
        "function_call": _FUNCTION_CALL,
        "function_call_output": _FUNCTION_CALL_OUTPUT,
        "reasoning": _REASONING_ITEM,
    },
    absent="message",
    but="what tools of a server did, and references to stored items, are not served",
)

_FUNCTION = Table("ResponsesFunction", [
    keep("name", text, "openai/responses.go ResponsesTool.Name", required=True),
    keep("description", text, "openai/responses.go ResponsesTool.Description"),
    keep("parameters", content.parameters, "openai/responses.go ResponsesTool.Parameters"),
    drop("strict", "openai/responses.go ResponsesTool.Strict", because=_ECHOED),
    drop("defer_loading", content.OPENAI_REFERENCE, because="there is no search for tools: each is shown at once"),
])  # fmt: skip
_NOT_SERVED = "tools that run on the server, such as web search, are not served"
_NAMESPACE = Table("ResponsesNamespace", [
    keep("name", text, "openai/responses.go ResponsesTool.Name", required=True),
    keep("description", text, "openai/responses.go ResponsesTool.Description"),
    keep("tools", list_of(tagged({"function": _FUNCTION}, but=_NOT_SERVED), most=content.MAX_TOOLS),
         "openai/responses.go ResponsesTool.Tools", required=True),
])  # fmt: skip
_tools = unless_empty(
    list_of(tagged({"function": _FUNCTION, "namespace": _NAMESPACE}, but=_NOT_SERVED), most=content.MAX_TOOLS)
)

_PLAIN_TEXT = Table("ResponsesPlainText", [])
_JSON_OBJECT = Table("ResponsesJsonObject", [])
_JSON_SCHEMA = Table("ResponsesJsonSchema", [
    keep("name", text, "openai/responses.go ResponsesTextFormat.Name"),
    keep("schema", content.schema, "openai/responses.go ResponsesTextFormat.Schema", required=True),
    keep("strict", flag, "openai/responses.go ResponsesTextFormat.Strict"),
    drop("description", content.OPENAI_REFERENCE, because=_IGNORED),
])  # fmt: skip
_formats = tagged({"text": _PLAIN_TEXT, "json_object": _JSON_OBJECT, "json_schema": _JSON_SCHEMA}, absent="text")
_ANY_OBJECT = {"type": "json_schema", "name": "json_object", "schema": {"type": "object"}}


def _read_format(value: Any, path: str) -> Any:
    found = _formats.read(value, path)
    match found["type"]:
        case "text":
            return DROPPED
        case "json_object":  # Ollama knows the word, and ignores it here
            return _ANY_OBJECT
        case _:
            return found


_TEXT_CONFIGURATION = Table("ResponsesText", [
    rewrite("format", attrs.evolve(_formats, read=_read_format), "openai/responses.go ResponsesText.Format",
            because="`text` is not sent, `json_object` becomes the schema of any object"),
    drop("verbosity", content.OPENAI_REFERENCE, because=_IGNORED),
])  # fmt: skip
_efforts = one_of("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")
_REASONING = Table("ResponsesReasoning", [
    keep("effort", _efforts, "openai/responses.go ResponsesReasoning.Effort"),
    drop("summary", "openai/responses.go ResponsesReasoning.Summary", because=_ECHOED),
    drop("generate_summary", "openai/responses.go ResponsesReasoning.GenerateSummary", because=_IGNORED),
])  # fmt: skip


def _request(name: str) -> str:
    return f"openai/responses.go ResponsesRequest.{name}"


RESPONSES = Table("ResponsesRequest", [
    content.model(_request("Model")),
    keep("input", content.never_empty(either(text, list_of(_item, most=content.MAX_MESSAGES))), _request("Input"),
         required=True),
    keep("instructions", unless_empty(text), _request("Instructions")),
    rewrite("stream", flag, _request("Stream"), because="always sent; false if not given"),
    rewrite("max_output_tokens", whole(-(2**63), 2**63 - 1), _request("MaxOutputTokens"),
            because="always sent, and positive: the lowest of what was asked and the limits; below 1 is not given"),
    keep("temperature", number(0, 10), _request("Temperature")),
    keep("top_p", number(0, 1), _request("TopP")),
    keep("reasoning", unless_empty(table(_REASONING)), _request("Reasoning")),
    keep("text", unless_empty(table(_TEXT_CONFIGURATION)), _request("Text")),
    keep("tools", _tools, _request("Tools")),
    refuse("previous_response_id", content.OPENAI_REFERENCE, unless=EMPTY,
           must="left out: responses are not stored here, send the whole conversation as `input`", because=_STATELESS),
    refuse("conversation", _request("Conversation"), unless=EMPTY,
           must="left out: conversations are not stored here, send the whole conversation as `input`",
           because=_STATELESS),
    refuse("prompt", content.OPENAI_REFERENCE, unless=EMPTY,
           must="left out: prompts are not stored here, send the text as `instructions` or `input`",
           because=_STATELESS),
    drop("background", _request("Background"), because="an answer is awaited: Ollama knows no other way"),
    drop("include", _request("Include"), because=_IGNORED),
    drop("truncation", _request("Truncation"), because=_ECHOED),
    drop("stream_options", content.OPENAI_REFERENCE, because="of obfuscation, which Ollama has not"),
    *(drop(name, content.OPENAI_REFERENCE, because=_IGNORED)
      for name in ("store", "tool_choice", "parallel_tool_calls", "max_tool_calls", "metadata", "user", "service_tier",
                   "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "safety_identifier",
                   "top_logprobs", "context_management", "moderation", "n", "seed", "stop", "frequency_penalty",
                   "presence_penalty")),
])  # fmt: skip


def read_responses(body: Mapping[str, Any]) -> Call:
    """`POST /v1/responses`."""
    fields = apply(RESPONSES, body)
    given = fields["input"]
    items = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
    if not any(map(_says_something, items)):
        raise content.empty("input")
    tools = fields.get("tools", [])
    pieces = len(items) + _count_of_tools(tools) + ("instructions" in fields)
    longest_name = max((size(item["name"]) for item in items if item["type"] == "function_call"), default=0)
    asked = fields.pop("max_output_tokens", 0)
    return Call(
        endpoint=Endpoint.RESPONSES,
        model=fields.pop("model"),
        streamed=fields.pop("stream", False),
        fields=fields,
        asked_output_tokens=asked if asked > 0 else None,
        inputs_bytes=(
            size(fields.get("instructions", ""))
            + sum(_item_bytes(item, longest_name) for item in items)
            + sum(map(_tool_bytes, tools)),
        ),
        pieces=pieces,
        images=sum(map(_image_count, items)),
        structured="text" in fields,
        thinks=fields.get("reasoning", {}).get("effort") != "none",
    )


def _says_something(item: Mapping[str, Any]) -> bool:
    """Whether Ollama makes a message of it. A reasoning item without its content makes none, and a request without
    any message loads the model.
    """
    return item["type"] != "reasoning" or bool(item.get("encrypted_content"))


def _count_of_tools(tools: Sequence[Mapping[str, Any]]) -> int:
    count = sum(len(tool.get("tools", [tool])) for tool in tools)
    if count > content.MAX_TOOLS:
        raise wrong("tools", f"at most {content.MAX_TOOLS} functions, those in namespaces counted")
    return count


def _tool_bytes(tool: Mapping[str, Any]) -> int:
    """A function in a namespace is shown under both names; what else may be repeated of a namespace is counted too."""
    inside = tool.get("tools", [])
    shared = size(tool["name"]) + size(tool.get("description", "")) + 1
    return deep_size(tool) + shared * len(inside)


def _image_count(item: Mapping[str, Any]) -> int:
    said = item.get("content", item.get("output", ""))
    return 0 if isinstance(said, str) else sum(part["type"] == "input_image" for part in said)


def _said_bytes(said: str | Sequence[Mapping[str, Any]]) -> int:
    return size(said) if isinstance(said, str) else sum(size(part.get("text", "")) for part in said)


def _item_bytes(item: Mapping[str, Any], longest_name: int) -> int:
    match item["type"]:
        case "message":
            return size(item["role"]) + _said_bytes(item.get("content", ""))
        case "reasoning":
            return size(item.get("encrypted_content", "")) + _said_bytes(item.get("summary", ""))
        case "function_call_output":
            # It is given the name of the function whose call it names.
            output = item.get("output", "")
            results = [output] if isinstance(output, str) else [part.get("text", "") for part in output]
            return len("tool") + longest_name + size(item.get("call_id", "")) + sum(map(result_size, results))
        case _:
            names = sum(size(item.get(name, "")) for name in ("call_id", "name", "namespace"))
            return len("assistant") + names + deep_size(item.get("arguments", ""))
