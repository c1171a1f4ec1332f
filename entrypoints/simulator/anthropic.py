"""Anthropic's Messages (`middleware/anthropic.go`, `anthropic/anthropic.go`).

What Ollama makes of a request is a chat; a message that holds nothing becomes none, and a chat without messages only
loads the model.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from entrypoints.simulator import counting, vetting
from entrypoints.simulator.anthropic_voice import MessageVoice, made_up_id
from entrypoints.simulator.decoding import check_types, go_json
from entrypoints.simulator.exchange import Exchange
from entrypoints.simulator.generation import generate
from entrypoints.simulator.models import Model
from entrypoints.simulator.openai import decode_body
from entrypoints.simulator.openai_voice import JSON
from entrypoints.simulator.refusal import Refused, Stage
from entrypoints.simulator.voice import Ask

__all__ = ["decode_body", "messages", "refuse"]

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_FIELDS = {
    "model": "string",
    "max_tokens": "int",
    "messages": "[]anthropic.MessageParam",
    "stream": "bool",
    "temperature": "float64",
    "top_p": "float64",
    "top_k": "int",
    "stop_sequences": "[]string",
    "tools": "[]anthropic.Tool",
    "thinking": "anthropic.ThinkingConfig",
    "output_config": "anthropic.OutputConfig",
    "tool_choice": "anthropic.ToolChoice",
    "metadata": "anthropic.Metadata",
}
_SERVER_TOOL = "web_search"


def refuse(refused: Refused) -> tuple[str, bytes]:
    """Return Content-Type and body of an Anthropic error."""
    error = {
        "type": "error",
        "error": {"type": _ERROR_TYPES.get(refused.status, "api_error"), "message": refused.message},
        "request_id": made_up_id("req"),
    }
    if refused.stage is Stage.DECODING:
        return "application/json; charset=utf-8", go_json(error)
    return JSON, go_json(error) + b"\n"


async def messages(exchange: Exchange) -> web.StreamResponse:
    """`POST /v1/messages`."""
    body = exchange.body
    check_types(body, struct="MessagesRequest", fields=_FIELDS)
    if not body.get("model"):
        raise Refused(400, "model is required", Stage.DECODING)
    if body.get("max_tokens", 0) <= 0:
        raise Refused(400, "max_tokens is required and must be positive", Stage.DECODING)
    said = body.get("messages")
    if not said:
        raise Refused(400, "messages is required", Stage.DECODING)
    system = _joined(body.get("system"))
    texts = [system] if system else []
    for message in said:
        texts += _made(message)
    tools = [_function_of(tool) for tool in body.get("tools", [])]
    model = _model_of(exchange)
    context = vetting.context_of(exchange.world, model, {})
    stream = body.get("stream", False)
    tools_json = go_json(tools).decode() if tools else ""
    voice = MessageVoice(body["model"], estimated_tokens=max(1, sum(map(len, texts)) // 4))
    if not texts:
        await exchange.world.runners.load(model, context=context, keep_alive_s=None, entry=exchange.entry)
        return await exchange.reply(200, voice.stream_type if stream else JSON, voice.loaded(stream=stream))
    is_user = str(said[-1].get("role", "")).lower() == "user"
    ask = Ask(
        model=model,
        cap=body["max_tokens"],
        stream=stream,
        prompt_tokens=counting.of_prompt(
            texts, template_tokens=model.template_tokens, tools_json=tools_json, context=context
        ),
        thinks=model.can("thinking") and _thinking_type(body) != "disabled",
        tool=vetting.tool_to_call(model, tools, texts[-1] if is_user else ""),
        context=context,
    )
    return await generate(exchange, ask, voice)


def _thinking_type(body: Mapping[str, Any]) -> Any:
    """Thinking that a model cannot do is dropped, not refused (`relax_thinking`)."""
    return body.get("thinking", {}).get("type")


def _model_of(exchange: Exchange) -> Model:
    spelling = exchange.body["model"]
    model = vetting.find_model(exchange.world, spelling)
    if not model.can("completion"):
        raise Refused(400, f'"{spelling}" does not support chat')
    exchange.entry.max_tokens = exchange.body["max_tokens"]
    return model


def _made(message: Any) -> Iterator[str]:
    """Return the texts of the chat messages that Ollama makes of one: each tool result, and all the rest together."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise Refused(400, "json: cannot unmarshal into Go struct field MessagesRequest.messages", Stage.DECODING)
    rest = ""
    holds_something = False
    for block in content:
        if block.get("type") == "tool_result":
            yield _joined(block.get("content"))
        else:
            rest += _text_of(block)
            holds_something = holds_something or block.get("type") in {"image", "tool_use"}
    if rest or holds_something:
        yield rest


def _joined(content: Any) -> str:
    """Return all text of a system prompt or a tool result."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "".join(_text_of(block) for block in blocks if isinstance(block, dict))


def _text_of(block: Mapping[str, Any]) -> str:
    match block.get("type"):
        case "text" | "thinking" as field:
            return str(block.get(field) or "")
        case "tool_use":
            for name in ("id", "name"):
                if not block.get(name):
                    raise Refused(400, f"tool_use block missing required '{name}' field", Stage.DECODING)
            return go_json([block["name"], block.get("input")]).decode()
        case "image":
            source = block.get("source")
            kind = source.get("type") if isinstance(source, dict) else None
            if kind != "base64":
                text = f"invalid image source type: {kind}. Only base64 images are supported."
                raise Refused(400, text, Stage.DECODING)
            return ""
        case _:
            return ""


def _function_of(tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise Refused(400, "json: cannot unmarshal into Go value of type anthropic.Tool", Stage.DECODING)
    name = _SERVER_TOOL if str(tool.get("type", "")).startswith(_SERVER_TOOL) else tool.get("name", "")
    described = {"name": name, "description": tool.get("description", ""), "parameters": tool.get("input_schema")}
    return {"type": "function", "function": described}
