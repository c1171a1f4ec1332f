"""The OpenAI inference routes: chat completions, completions, embeddings (`middleware/openai.go`, `openai/openai.go`).

Ollama reads `max_tokens` only; `max_completion_tokens` is not a field and caps nothing. `keep_alive` cannot be set.
"""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from entrypoints.simulator import counting, vetting
from entrypoints.simulator.behaviours import told
from entrypoints.simulator.decoding import check_types, decode, go_json
from entrypoints.simulator.embedding import as_base64
from entrypoints.simulator.exchange import Exchange
from entrypoints.simulator.generation import generate
from entrypoints.simulator.log import Ended
from entrypoints.simulator.models import Model
from entrypoints.simulator.native import embed_all
from entrypoints.simulator.openai_voice import JSON, ChatVoice, CompletionVoice
from entrypoints.simulator.refusal import Refused, Stage
from entrypoints.simulator.voice import Ask

_ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max"})
_SHARED_FIELDS = {
    "model": "string",
    "stream": "bool",
    "stream_options": "openai.StreamOptions",
    "max_tokens": "int",
    "seed": "int",
    "temperature": "float64",
    "top_p": "float64",
    "frequency_penalty": "float64",
    "presence_penalty": "float64",
}
_CHAT_FIELDS = {**_SHARED_FIELDS, "messages": "[]openai.Message", "tools": "api.Tools"}
_COMPLETION_FIELDS = {**_SHARED_FIELDS, "prompt": "string", "suffix": "string"}
_EMBED_FIELDS = {"model": "string", "dimensions": "int", "encoding_format": "string"}


def refuse(refused: Refused) -> tuple[str, bytes]:
    """Return Content-Type and body of an OpenAI error."""
    error = {
        "error": {
            "message": refused.message,
            "type": _ERROR_TYPES.get(refused.status, "api_error"),
            "param": None,
            "code": None,
        }
    }
    if refused.stage is Stage.DECODING:
        return "application/json; charset=utf-8", go_json(error)
    return JSON, go_json(error) + b"\n"


def decode_body(raw: bytes) -> dict[str, Any]:
    """Read an OpenAI request's body."""
    return decode(raw, missing="EOF")


async def chat_completions(exchange: Exchange) -> web.StreamResponse:
    """`POST /v1/chat/completions`."""
    body = exchange.body
    check_types(body, struct="ChatCompletionRequest", fields=_CHAT_FIELDS)
    messages = body.get("messages", [])
    if not messages:
        raise Refused(400, "[] is too short - 'messages'", Stage.DECODING)
    texts = [_text_of(message) for message in messages]
    model = _model_of(exchange)
    tools = body.get("tools", [])
    is_user = str(messages[-1].get("role", "")).lower() == "user"
    voice = ChatVoice(body["model"], include_usage=_includes_usage(body))
    ask = _ask(
        exchange,
        model,
        texts,
        tools_json=go_json(tools).decode() if tools else "",
        thinks=vetting.will_think(model, _effort(body), spelling=body["model"]),
        as_json=_wants_json(body),
        tool=vetting.tool_to_call(model, tools, texts[-1] if is_user else ""),
    )
    return await generate(exchange, ask, voice)


async def completions(exchange: Exchange) -> web.StreamResponse:
    """`POST /v1/completions`; an empty prompt only loads the model."""
    body = exchange.body
    check_types(body, struct="CompletionRequest", fields=_COMPLETION_FIELDS)
    model = _model_of(exchange)
    voice = CompletionVoice(body.get("model", ""), include_usage=_includes_usage(body))
    ask = _ask(exchange, model, [body.get("prompt", "")], thinks=False)
    if not body.get("prompt"):
        await exchange.world.runners.load(model, context=ask.context, keep_alive_s=None, entry=exchange.entry)
        return await exchange.reply(200, JSON, voice.loaded())
    return await generate(exchange, ask, voice)


async def embeddings(exchange: Exchange) -> web.StreamResponse:
    """`POST /v1/embeddings`; an empty string is embedded, an empty list is refused."""
    body = exchange.body
    check_types(body, struct="EmbeddingRequest", fields=_EMBED_FIELDS)
    wanted = body.get("input")
    texts = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Refused(400, "invalid input", Stage.DECODING)
    encoding = str(body.get("encoding_format", "float")).lower()
    if encoding not in {"float", "base64"}:
        raise Refused(400, f"Invalid value for 'encoding_format' = {encoding}. Supported values: ['float', 'base64'].")
    model = vetting.find_model(exchange.world, body.get("model", ""))
    vectors, tokens, _ = await embed_all(exchange, model, texts, dimensions=body.get("dimensions"))
    stated, _ = told(exchange.behaviour.counts, tokens, 0)
    answer = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "embedding": as_base64(numbers) if encoding == "base64" else numbers,
                "index": index,
            }
            for index, numbers in enumerate(vectors)
        ],
        "model": body["model"],
        "usage": {"prompt_tokens": stated, "total_tokens": stated},
    }
    return await exchange.reply(200, JSON, go_json(answer) + b"\n", ended=Ended.DONE)


def _model_of(exchange: Exchange) -> Model:
    spelling = exchange.body.get("model", "")
    if exchange.path.endswith("/chat/completions") and not spelling.strip():
        raise Refused(400, "model is required")
    model = vetting.find_model(exchange.world, spelling)
    if not model.can("completion"):
        raise Refused(400, f'"{spelling}" does not support chat')
    exchange.entry.max_tokens = exchange.body.get("max_tokens")
    return model


def _ask(
    exchange: Exchange,
    model: Model,
    texts: list[str],
    *,
    thinks: bool,
    tools_json: str = "",
    as_json: bool = False,
    tool: tuple[str, dict[str, Any]] | None = None,
) -> Ask:
    context = vetting.context_of(exchange.world, model, {})
    return Ask(
        model=model,
        cap=exchange.body.get("max_tokens"),
        stream=exchange.body.get("stream", False),
        prompt_tokens=counting.of_prompt(
            texts, template_tokens=model.template_tokens, tools_json=tools_json, context=context
        ),
        thinks=thinks,
        as_json=as_json,
        tool=tool,
        context=context,
    )


def _includes_usage(body: Mapping[str, Any]) -> bool:
    return bool(body.get("stream_options", {}).get("include_usage"))


def _wants_json(body: Mapping[str, Any]) -> bool:
    wanted = body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in {"json_object", "json_schema"}


def _effort(body: Mapping[str, Any]) -> Any:
    """Return what Ollama's `think` becomes: None if nothing is asked, False for none."""
    reasoning = body.get("reasoning")
    wanted = reasoning.get("effort") if isinstance(reasoning, dict) else None
    wanted = wanted or body.get("reasoning_effort")
    if not wanted:
        return None
    if not isinstance(wanted, str) or wanted not in _EFFORTS:
        raise Refused(400, f"invalid reasoning value: {json.dumps(wanted)}", Stage.DECODING)
    return False if wanted == "none" else wanted


def _text_of(message: Mapping[str, Any]) -> str:
    if not isinstance(message, dict):
        raise Refused(400, "invalid message format", Stage.DECODING)
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and message.get("tool_calls"):
        return ""
    if not isinstance(content, list):
        raise Refused(400, "invalid message content type: <nil>", Stage.DECODING)
    return "".join(_text_of_part(part) for part in content)


def _text_of_part(part: Any) -> str:
    if not isinstance(part, dict) or part.get("type") not in {"text", "image_url", "input_audio"}:
        raise Refused(400, "invalid message format", Stage.DECODING)
    return str(part.get("text", "")) if part["type"] == "text" else ""
