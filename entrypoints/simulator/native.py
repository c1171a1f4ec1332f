"""The native inference routes: generate, chat, embed, embeddings (`server/routes.go`)."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import attrs
from aiohttp import web

from entrypoints.simulator import counting, vetting
from entrypoints.simulator.behaviours import told
from entrypoints.simulator.decoding import check_types, decode, go_json, keep_alive_seconds
from entrypoints.simulator.embedding import vector
from entrypoints.simulator.exchange import Exchange
from entrypoints.simulator.generation import generate
from entrypoints.simulator.log import Ended
from entrypoints.simulator.models import Model
from entrypoints.simulator.native_voice import JSON, ChatVoice, GenerateVoice
from entrypoints.simulator.refusal import Refused, Stage
from entrypoints.simulator.voice import Ask

MISSING_BODY = "missing request body"
_SHARED_FIELDS = {
    "model": "string",
    "stream": "bool",
    "options": "map[string]interface {}",
    "top_logprobs": "int",
    "logprobs": "bool",
}
_GENERATE_FIELDS = {
    **_SHARED_FIELDS,
    "prompt": "string",
    "system": "string",
    "suffix": "string",
    "template": "string",
    "raw": "bool",
}
_CHAT_FIELDS = {**_SHARED_FIELDS, "messages": "[]api.Message", "tools": "api.Tools"}
_EMBED_FIELDS = {
    "model": "string",
    "prompt": "string",
    "dimensions": "int",
    "truncate": "bool",
    "options": "map[string]interface {}",
}


def refuse(refused: Refused) -> tuple[str, bytes]:
    """Return Content-Type and body of a native error."""
    content_type = "application/json" if refused.stage is Stage.STREAMING else JSON
    return content_type, go_json({"error": refused.message})


def decode_body(raw: bytes) -> dict[str, Any]:
    """Read a native request's body."""
    return decode(raw, missing=MISSING_BODY)


@attrs.frozen(kw_only=True)
class _Call:
    """The fields that generate and chat share, checked."""

    model: Model
    spelling: str
    stream: bool
    keep_alive_s: float | None
    options: dict[str, Any]
    context: int
    as_json: bool
    thinks: bool


async def chat(exchange: Exchange) -> web.StreamResponse:
    """`POST /api/chat`."""
    body = exchange.body
    check_types(body, struct="ChatRequest", fields=_CHAT_FIELDS)
    if not str(body.get("model", "")).strip():
        raise Refused(400, "model is required")
    texts = [_text_of(message) for message in body.get("messages", ())]
    call = _shared(exchange)
    voice = ChatVoice(call.spelling)
    if not texts:
        return await _load_only(exchange, call, voice)
    last = body["messages"][-1]
    is_user = str(last.get("role", "")).lower() == "user"
    tools = body.get("tools", [])
    tool = vetting.tool_to_call(call.model, tools, texts[-1] if is_user else "")
    return await generate(exchange, _ask(call, texts, tools=tools, tool=tool), voice)


async def generate_text(exchange: Exchange) -> web.StreamResponse:
    """`POST /api/generate`."""
    body = exchange.body
    check_types(body, struct="GenerateRequest", fields=_GENERATE_FIELDS)
    call = _shared(exchange)
    voice = GenerateVoice(call.spelling)
    if not body.get("prompt"):
        return await _load_only(exchange, call, voice)
    texts = [body["prompt"], *(body[name] for name in ("system", "suffix") if body.get(name))]
    return await generate(exchange, _ask(call, texts), voice)


async def embed(exchange: Exchange) -> web.StreamResponse:
    """`POST /api/embed`."""
    body = exchange.body
    check_types(body, struct="EmbedRequest", fields=_EMBED_FIELDS)
    spelling = body.get("model", "")
    model = _embedding_model(exchange, spelling)
    texts = embed_inputs(body.get("input"))
    vetting.check_options(body.get("options", {}))
    started_ns = time.monotonic_ns()
    numbers, tokens, load_ns = await embed_all(
        exchange,
        model,
        texts,
        dimensions=body.get("dimensions"),
        keep_alive=body.get("keep_alive"),
        options=body.get("options"),
    )
    answer: dict[str, Any] = {
        "model": spelling,
        "embeddings": numbers,
        "total_duration": time.monotonic_ns() - started_ns,
        "load_duration": load_ns,
    }
    stated, _ = told(exchange.behaviour.counts, tokens, 0)
    if stated:
        answer["prompt_eval_count"] = stated
    return await exchange.reply(200, JSON, go_json(answer), ended=Ended.DONE if texts else Ended.ANSWERED)


async def embeddings(exchange: Exchange) -> web.StreamResponse:
    """`POST /api/embeddings`, the old form: one vector, no counts."""
    body = exchange.body
    check_types(body, struct="EmbeddingRequest", fields=_EMBED_FIELDS)
    if not str(body.get("model", "")).strip():
        raise Refused(400, "model is required")
    model = vetting.find_model(exchange.world, body["model"])
    texts = [body["prompt"]] if body.get("prompt") else []
    vetting.check_options(body.get("options", {}))
    numbers, _, _ = await embed_all(
        exchange, model, texts, keep_alive=body.get("keep_alive"), options=body.get("options")
    )
    octets = go_json({"embedding": numbers[0] if numbers else []})
    return await exchange.reply(200, JSON, octets, ended=Ended.DONE if texts else Ended.ANSWERED)


def embed_inputs(wanted: Any) -> list[str]:
    """Return the texts to embed; null, "" and [] are none, which only loads the model."""
    if wanted is None or wanted in ("", []):
        return []
    if isinstance(wanted, str):
        return [wanted]
    if isinstance(wanted, list) and all(isinstance(text, str) for text in wanted):
        return wanted
    raise Refused(400, "invalid input type")


async def embed_all(
    exchange: Exchange,
    model: Model,
    texts: Sequence[str],
    *,
    dimensions: int | None = None,
    keep_alive: Any = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[list[list[float]], int, int]:
    """Embed in one slot; return the vectors, the tokens evaluated, and the load time in nanoseconds."""
    world, entry = exchange.world, exchange.entry
    context = vetting.context_of(world, model, options or {})
    started_ns = time.monotonic_ns()
    runner = await world.runners.enter(model, context=context, keep_alive_s=keep_alive_seconds(keep_alive), entry=entry)
    load_ns = time.monotonic_ns() - started_ns
    try:
        tokens = sum(counting.of_prompt([text], template_tokens=0, context=context) for text in texts)
        entry.phase = "prompt"
        world.log.evaluated(entry, tokens)
        await asyncio.sleep(world.settings.prompt_delay_s_per_token * tokens)
    finally:
        world.runners.leave(runner)
    asked = dimensions or 0
    size = asked if 0 < asked <= model.dimension else model.dimension
    return [vector(text, dimension=size) for text in texts], tokens, load_ns


def _embedding_model(exchange: Exchange, spelling: str) -> Model:
    try:
        return vetting.find_model(exchange.world, spelling)
    except Refused as refused:
        if refused.status != HTTPStatus.NOT_FOUND:
            raise
        raise Refused(404, f'model "{spelling}" not found, try pulling it first') from refused


def _shared(exchange: Exchange) -> _Call:
    body = exchange.body
    spelling = body.get("model", "")
    model = vetting.find_model(exchange.world, spelling)
    options = body.get("options", {})
    vetting.check_options(options)
    stream = body.get("stream", True)
    call = _Call(
        model=model,
        spelling=spelling,
        stream=stream,
        keep_alive_s=keep_alive_seconds(body.get("keep_alive")),
        options=options,
        context=vetting.context_of(exchange.world, model, options),
        as_json=vetting.check_format(body.get("format"), stream=stream),
        thinks=vetting.will_think(model, body.get("think"), spelling=spelling),
    )
    if not model.can("completion"):
        raise Refused(
            400,
            f'"{spelling}" does not support chat' if "messages" in body else f'"{spelling}" does not support generate',
        )
    exchange.entry.max_tokens = _whole_number(options.get("num_predict"))
    return call


def _whole_number(value: float | None) -> int | None:
    return None if value is None else int(max(-(2.0**63), min(value, 2.0**62)))


def _ask(
    call: _Call,
    texts: Sequence[str],
    *,
    tools: Sequence[Any] = (),
    tool: tuple[str, dict[str, Any]] | None = None,
) -> Ask:
    return Ask(
        model=call.model,
        cap=_whole_number(call.options.get("num_predict")),
        stream=call.stream,
        prompt_tokens=counting.of_prompt(
            texts,
            template_tokens=call.model.template_tokens,
            tools_json=go_json(tools).decode() if tools else "",
            context=call.context,
        ),
        thinks=call.thinks,
        as_json=call.as_json,
        tool=tool,
        keep_alive_s=call.keep_alive_s,
        context=call.context,
    )


def _text_of(message: Mapping[str, Any]) -> str:
    if not isinstance(message, dict):
        raise Refused(400, "json: cannot unmarshal into Go struct field ChatRequest.messages", Stage.DECODING)
    content = message.get("content") or ""
    if not isinstance(content, str):
        raise Refused(
            400,
            f"json: cannot unmarshal {'array' if isinstance(content, list) else 'object'}"
            " into Go struct field ChatRequest.messages.content of type string",
            Stage.DECODING,
        )
    return content


async def _load_only(exchange: Exchange, call: _Call, voice: ChatVoice | GenerateVoice) -> web.StreamResponse:
    """Without messages or prompt the model is loaded, or unloaded with keep_alive 0."""
    runners = exchange.world.runners
    if call.keep_alive_s == 0:
        runners.of(call.model).keep_alive_s = 0
        return await exchange.reply(200, JSON, voice.loaded("unload"))
    await runners.load(call.model, context=call.context, keep_alive_s=call.keep_alive_s, entry=exchange.entry)
    return await exchange.reply(200, JSON, voice.loaded("load"))
