"""What is answered when all is well: of each route what it is for, the schema of its answer, and examples.

Answers are a backend's, passed on: the schemas name what clients may rely on, and forbid nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from domain.calls import Endpoint
from entrypoints.http.routes import Health, Look

Json = dict[str, Any]
_TEXT: Final[Json] = {"type": "string"}
_WHOLE: Final[Json] = {"type": "integer"}
_FLAG: Final[Json] = {"type": "boolean"}
_NUMBERS: Final[Json] = {"type": "array", "items": {"type": "number"}}
_ANY: Final[Json] = {"type": "object"}


def _object(also: Sequence[str] = (), **properties: Json) -> Json:
    """An object whose members are all there, but for those in `also`."""
    return {"type": "object", "required": [name for name in properties if name not in also], "properties": properties}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


@attrs.frozen(kw_only=True)
class Told:
    """A route as it is told to people and to machines."""

    summary: str
    answer: Json
    """The schema of the answer."""
    example: Json | None = None
    """A request."""
    says: str = ""
    """More than the summary."""
    answered: Json | None = None
    """An answer to the example."""


_MODEL: Final = "llama3.2:3b"
_ASKED: Final = "Why is the sky blue?"
_SAID: Final = "Air scatters blue light more than red."
_MESSAGES: Final = [{"role": "user", "content": _ASKED}]
_AT: Final = "2027-01-01T12:00:00Z"
_LAST_LINE: Final[Json] = {
    "model": _TEXT,
    "created_at": _TEXT,
    "done": _FLAG,
    "done_reason": _TEXT,
    "total_duration": _WHOLE,
    "prompt_eval_count": _WHOLE,
    "eval_count": _WHOLE,
}
_MAY_LACK: Final = ("done_reason", "total_duration", "prompt_eval_count", "eval_count")
_USAGE: Final = _object(("completion_tokens",), prompt_tokens=_WHOLE, completion_tokens=_WHOLE, total_tokens=_WHOLE)
_USED: Final = {"prompt_tokens": 31, "completion_tokens": 9, "total_tokens": 40}
_COUNTED: Final = {"input_tokens": 31, "output_tokens": 9}
_IN_LINES: Final = "The answer is streamed line by line unless `stream` is false."
_IN_EVENTS: Final = "The answer is streamed as server-sent events if `stream` is true."

CALLS: Final[Mapping[Endpoint, Told]] = {
    Endpoint.NATIVE_CHAT: Told(
        summary="Chat, in Ollama's dialect",
        says=_IN_LINES,
        example={"model": _MODEL, "messages": _MESSAGES, "stream": False},
        answer=_object(_MAY_LACK, message=_object(("content",), role=_TEXT, content=_TEXT), **_LAST_LINE),
        answered={
            "model": _MODEL,
            "created_at": _AT,
            "message": {"role": "assistant", "content": _SAID},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 31,
            "eval_count": 9,
        },
    ),
    Endpoint.NATIVE_GENERATE: Told(
        summary="Complete a prompt, in Ollama's dialect",
        says=_IN_LINES,
        example={"model": _MODEL, "prompt": _ASKED, "stream": False, "options": {"temperature": 0}},
        answer=_object(_MAY_LACK, response=_TEXT, **_LAST_LINE),
        answered={"model": _MODEL, "created_at": _AT, "response": _SAID, "done": True, "done_reason": "stop"},
    ),
    Endpoint.NATIVE_EMBED: Told(
        summary="Embed texts, in Ollama's dialect",
        example={"model": "all-minilm", "input": ["red", "blue"]},
        answer=_object(("prompt_eval_count",), model=_TEXT, embeddings=_list(_NUMBERS), prompt_eval_count=_WHOLE),
        answered={"model": "all-minilm", "embeddings": [[0.1, -0.2], [0.3, 0.4]], "prompt_eval_count": 6},
    ),
    Endpoint.NATIVE_EMBEDDINGS: Told(
        summary="Embed one text, as older clients of Ollama do",
        example={"model": "all-minilm", "prompt": "red"},
        answer=_object(embedding=_NUMBERS),
        answered={"embedding": [0.1, -0.2]},
    ),
    Endpoint.OPENAI_CHAT: Told(
        summary="Chat completions, in OpenAI's dialect",
        says=_IN_EVENTS,
        example={"model": _MODEL, "messages": _MESSAGES, "max_completion_tokens": 64},
        answer=_object(id=_TEXT, object=_TEXT, created=_WHOLE, model=_TEXT, choices=_list(_ANY), usage=_USAGE),
        answered={
            "id": "chatcmpl-0192f0c1e7a87f3c9a51b2d4c6e8f001",
            "object": "chat.completion",
            "created": 1798804800,
            "model": _MODEL,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": _SAID}, "finish_reason": "stop"}],
            "usage": _USED,
        },
    ),
    Endpoint.OPENAI_COMPLETIONS: Told(
        summary="Completions, in OpenAI's dialect",
        says=_IN_EVENTS,
        example={"model": _MODEL, "prompt": _ASKED, "max_tokens": 64},
        answer=_object(id=_TEXT, object=_TEXT, created=_WHOLE, model=_TEXT, choices=_list(_ANY), usage=_USAGE),
        answered={
            "id": "cmpl-0192f0c1e7a87f3c9a51b2d4c6e8f001",
            "object": "text_completion",
            "created": 1798804800,
            "model": _MODEL,
            "choices": [{"index": 0, "text": _SAID, "finish_reason": "stop"}],
            "usage": _USED,
        },
    ),
    Endpoint.OPENAI_EMBEDDINGS: Told(
        summary="Embed texts, in OpenAI's dialect",
        example={"model": "all-minilm", "input": "red"},
        answer=_object(object=_TEXT, data=_list(_ANY), model=_TEXT, usage=_USAGE),
        answered={
            "object": "list",
            "data": [{"object": "embedding", "embedding": [0.1, -0.2], "index": 0}],
            "model": "all-minilm",
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        },
    ),
    Endpoint.RESPONSES: Told(
        summary="Responses, in OpenAI's newer dialect",
        says=f"{_IN_EVENTS} Nothing is stored: each request carries the whole conversation.",
        example={"model": _MODEL, "input": _ASKED, "max_output_tokens": 64},
        answer=_object(id=_TEXT, object=_TEXT, model=_TEXT, status=_TEXT, output=_list(_ANY), usage=_ANY),
        answered={
            "id": "resp_0192f0c1e7a87f3c9a51b2d4c6e8f001",
            "object": "response",
            "model": _MODEL,
            "status": "completed",
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": _SAID}]}],
            "usage": _COUNTED | {"total_tokens": 40},
        },
    ),
    Endpoint.ANTHROPIC_MESSAGES: Told(
        summary="Messages, in Anthropic's dialect",
        says=_IN_EVENTS,
        example={"model": _MODEL, "max_tokens": 64, "messages": _MESSAGES},
        answer=_object(id=_TEXT, type=_TEXT, role=_TEXT, model=_TEXT, content=_list(_ANY), usage=_ANY),
        answered={
            "id": "msg_0192f0c1e7a87f3c9a51b2d4c6e8f001",
            "type": "message",
            "role": "assistant",
            "model": _MODEL,
            "content": [{"type": "text", "text": _SAID}],
            "stop_reason": "end_turn",
            "usage": _COUNTED,
        },
    ),
}

_LISTED: Final = _object(id=_TEXT, object=_TEXT, created=_WHOLE, owned_by=_TEXT)
_ONE: Final = {"id": _MODEL, "object": "model", "created": 1798804800, "owned_by": "library"}
LOOKS: Final[Mapping[Look, Told]] = {
    Look.TAGS: Told(
        summary="The models you may use, in Ollama's dialect",
        answer=_object(models=_list(_object(name=_TEXT))),
        answered={"models": [{"name": _MODEL, "model": _MODEL, "modified_at": _AT, "size": 2019393189}]},
    ),
    Look.PS: Told(
        summary="Those of them that are loaded",
        answer=_object(models=_list(_object(name=_TEXT))),
        answered={"models": []},
    ),
    Look.SHOW: Told(
        summary="What a model is and can do",
        says="Its template, its system text and its licence are left out. `name` is read where `model` is not given.",
        example={"model": _MODEL},
        answer=_object(("details", "capabilities"), details=_ANY, capabilities=_list(_TEXT)),
        answered={"details": {"family": "llama"}, "capabilities": ["completion", "tools"]},
    ),
    Look.VERSION: Told(
        summary="The lowest version of Ollama among the backends",
        answer=_object(version=_TEXT),
        answered={"version": "0.24.0"},
    ),
    Look.MODELS: Told(
        summary="The models you may use, in OpenAI's dialect",
        answer=_object(object=_TEXT, data=_list(_LISTED)),
        answered={"object": "list", "data": [_ONE]},
    ),
    Look.MODEL: Told(summary="One of them", answer=_LISTED, answered=_ONE),
    Look.OPENAPI: Told(
        summary="This document",
        answer=_object(openapi=_TEXT, info=_ANY, paths=_ANY),
    ),
}
HEALTH: Final[Mapping[Health, Told]] = {
    Health.ROOT: Told(
        summary="Whether anybody is there",
        answer=_object(service=_TEXT),
        answered={"service": "neuronetz-gateway"},
    ),
    Health.LIVE: Told(
        summary="Whether the process lives",
        answer=_object(status=_TEXT),
        answered={"status": "ok"},
    ),
    Health.READY: Told(
        summary="Whether calls are served now, and each part's state",
        says="503 in the same form when they are not.",
        answer=_object(status=_TEXT, parts=_ANY),
    ),
}
