"""`/v1/responses` (`middleware/openai.go`, `openai/responses.go`): requests are turned into native chats.

What Ollama reads and does not use (`previous_response_id`, `store`, `tool_choice`, ...) is not looked at here either.
Web search is not simulated.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from entrypoints.simulator import counting, vetting
from entrypoints.simulator.decoding import check_types, go_json
from entrypoints.simulator.exchange import Exchange
from entrypoints.simulator.generation import generate
from entrypoints.simulator.refusal import Refused, Stage
from entrypoints.simulator.responses_voice import JSON, ResponsesVoice
from entrypoints.simulator.voice import Ask

_FIELDS = {
    "model": "string",
    "instructions": "string",
    "stream": "bool",
    "max_output_tokens": "int",
    "temperature": "float64",
    "top_p": "float64",
    "tools": "[]openai.ResponsesTool",
    "text": "openai.ResponsesText",
    "reasoning": "openai.ResponsesReasoning",
}
_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max"})
_ITEMS = frozenset({"message", "function_call", "function_call_output", "reasoning"})
_PARTS = frozenset({"input_text", "output_text", "input_image"})


async def responses(exchange: Exchange) -> web.StreamResponse:
    """`POST /v1/responses`; an empty input only loads the model."""
    body = exchange.body
    check_types(body, struct="ResponsesRequest", fields=_FIELDS)
    items = _items_of(body.get("input", ""))
    texts = [text for text in (body.get("instructions", ""), *map(_text_of, items)) if text]
    spelling = body.get("model", "")
    if not spelling.strip():
        raise Refused(400, "model is required")
    model = vetting.find_model(exchange.world, spelling)
    if not model.can("completion"):
        raise Refused(400, f'"{spelling}" does not support chat')
    exchange.entry.max_tokens = body.get("max_output_tokens")
    tools = list(_functions_of(body.get("tools", [])))
    is_user = bool(items) and str(items[-1].get("role", "")).lower() == "user"
    context = vetting.context_of(exchange.world, model, {})
    voice = ResponsesVoice(body)
    if not texts and not items:
        await exchange.world.runners.load(model, context=context, keep_alive_s=None, entry=exchange.entry)
        return await exchange.reply(200, JSON, voice.loaded())
    ask = Ask(
        model=model,
        cap=body.get("max_output_tokens"),
        stream=body.get("stream", False),
        prompt_tokens=counting.of_prompt(
            texts,
            template_tokens=model.template_tokens,
            tools_json=go_json(tools).decode() if tools else "",
            context=context,
        ),
        thinks=vetting.will_think(model, _effort(body), spelling=spelling),
        as_json=_wants_json(body),
        tool=vetting.tool_to_call(model, tools, _text_of(items[-1]) if is_user else ""),
        context=context,
    )
    return await generate(exchange, ask, voice)


def _items_of(given: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}] if given else []
    if not isinstance(given, list):
        raise _wrong("input must be a string or array")
    for index, item in enumerate(given):
        kind = item.get("type") or ("message" if item.get("role") else "") if isinstance(item, dict) else ""
        if kind not in _ITEMS:
            raise _wrong(f'input[{index}]: unknown input item type: "{kind}"')
    return given


def _text_of(item: Mapping[str, Any]) -> str:
    said = item.get("content", item.get("output", item.get("arguments", item.get("encrypted_content", ""))))
    if not isinstance(said, list):
        return str(said or "")
    for index, part in enumerate(said):
        kind = part.get("type", "") if isinstance(part, dict) else ""
        if kind not in _PARTS:
            raise _wrong(f"content[{index}]: unknown content type: {kind}")
    return "".join(str(part.get("text", "")) for part in said)


def _functions_of(tools: Sequence[Any], namespace: str = "") -> Iterator[dict[str, Any]]:
    """Yield tools as a native chat has them; those of a namespace carry its name before theirs."""
    for tool in tools:
        declared = tool if isinstance(tool, dict) else {}
        if declared.get("type") == "namespace":
            inner = declared.get("tools")
            yield from _functions_of(inner if isinstance(inner, list) else [], f"{declared.get('name', '')}.")
        else:
            yield {
                "type": declared.get("type", ""),
                "function": {
                    "name": f"{namespace}{declared.get('name', '')}",
                    "description": declared.get("description") or "",
                    "parameters": declared.get("parameters") or {},
                },
            }


def _effort(body: Mapping[str, Any]) -> Any:
    """Return what Ollama's `think` becomes: None if nothing is asked, False for none."""
    wanted = body.get("reasoning", {}).get("effort")
    if not wanted:
        return None
    if not isinstance(wanted, str) or wanted not in _EFFORTS:
        raise _wrong(f'invalid reasoning value: "{wanted}"')
    return False if wanted == "none" else wanted


def _wants_json(body: Mapping[str, Any]) -> bool:
    wanted = body.get("text", {}).get("format")
    return isinstance(wanted, dict) and wanted.get("type") == "json_schema" and wanted.get("schema") is not None


def _wrong(message: str) -> Refused:
    return Refused(400, message, Stage.DECODING)
