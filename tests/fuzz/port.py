"""What `go/decode.go` does, in Python, for machines without Go: the rules of Go's `encoding/json` for structs.

A key finds its field by its exact name, else by folding (ASCII case, U+017F as `s`, U+212A as `k`); the last one wins,
except that objects, and the items of lists, are filled further; `null` changes nothing; only the first value is read;
what does not fit a type is an error, and the rest is read nevertheless.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Type = Any
"""A Go type: one of the words below, a list of one type for a slice, a mapping for a struct."""
_ZERO = {"string": "", "int": 0, "bool": False, "map": None, "any": None, "raw": None, "bytes": None}
_INT_BOUND = 2**63
_HALF = re.compile(r"[\ud800-\udfff]")


class _Pairs(list[tuple[str, Any]]):
    """An object as it stands."""


class _Number(str):
    """A number as it stands."""

    __slots__ = ()


_FUNCTION = {"name": "string", "description": "string", "parameters": "raw"}
_TOOL = {"type": "string", "items": "any", "function": _FUNCTION}
_NATIVE_CALL = {"id": "string", "function": {"index": "int", "name": "string", "arguments": "map"}}
_NATIVE_MESSAGE = {
    "role": "string", "content": "string", "thinking": "string", "images": ["bytes"], "tool_calls": [_NATIVE_CALL],
    "tool_name": "string", "tool_call_id": "string",
}  # fmt: skip
_NATIVE = {
    "model": "string", "stream": "*bool", "format": "raw", "keep_alive": "any", "options": "map", "think": "any",
    "truncate": "*bool", "shift": "*bool", "_debug_render_only": "bool", "logprobs": "bool", "top_logprobs": "int",
}  # fmt: skip
_PART: dict[str, Type] = {
    "type": "string", "text": "string", "image_url": "any", "detail": "string",
    "source": "*source", "id": "string", "name": "string", "input": "raw", "tool_use_id": "string", "content": "*text",
    "is_error": "bool", "thinking": "string", "signature": "string",
}  # fmt: skip
_OPENAI_CALL = {
    "id": "string", "index": "int", "type": "string", "function": {"name": "string", "arguments": "string"},
}  # fmt: skip
_OPENAI_MESSAGE = {
    "role": "string", "content": "*text", "reasoning": "string", "tool_calls": [_OPENAI_CALL], "name": "string",
    "tool_call_id": "string",
}  # fmt: skip
_OPENAI = {
    "model": "string", "stream": "bool", "stream_options": "*include_usage", "max_tokens": "*int", "seed": "*int",
    "stop": "any", "temperature": "*float", "top_p": "*float", "frequency_penalty": "*float",
    "presence_penalty": "*float", "_debug_render_only": "bool",
}  # fmt: skip
_ITEM = {
    "type": "string", "id": "string", "role": "string", "content": "*text", "call_id": "string", "name": "string",
    "arguments": "string", "output": "*text", "summary": [_PART], "encrypted_content": "string",
}  # fmt: skip
_RESPONSES_TOOL: dict[str, Type] = {
    "type": "string", "name": "string", "description": "*string", "parameters": "map",
}  # fmt: skip
_POINTED: Mapping[str, Type] = {
    "source": {"type": "string", "media_type": "string", "data": "string"},
    "include_usage": {"include_usage": "bool"},
    "response_format": {"type": "string", "json_schema": "*json_schema"},
    "json_schema": {"schema": "raw"},
    "effort": {"effort": "string"},
    "text_format": {"format": "*format"},
    "format": {"type": "string", "name": "string", "schema": "raw"},
    "thinking": {"type": "string", "budget_tokens": "int"},
}
REQUESTS: Mapping[str, Mapping[str, Type]] = {
    "/api/chat": {**_NATIVE, "messages": [_NATIVE_MESSAGE], "tools": [_TOOL]},
    "/api/generate": {
        **_NATIVE, "prompt": "string", "suffix": "string", "system": "string", "template": "string",
        "context": ["int"], "raw": "bool", "images": ["bytes"],
    },
    "/api/embed": {
        "model": "string", "input": "any", "keep_alive": "any", "truncate": "*bool", "dimensions": "int",
        "options": "map",
    },
    "/api/embeddings": {"model": "string", "prompt": "string", "keep_alive": "any", "options": "map"},
    "/v1/chat/completions": {
        **_OPENAI, "messages": [_OPENAI_MESSAGE], "response_format": "*response_format", "tools": [_TOOL],
        "reasoning": "*effort", "reasoning_effort": "*string", "logprobs": "*bool", "top_logprobs": "int",
    },
    "/v1/completions": {**_OPENAI, "prompt": "string", "suffix": "string", "logprobs": "*int"},
    "/v1/embeddings": {"input": "any", "model": "string", "dimensions": "int", "encoding_format": "string"},
    "/v1/responses": {
        "model": "string", "background": "*bool", "conversation": "raw", "include": ["string"], "input": "input",
        "instructions": "string", "max_output_tokens": "*int", "reasoning": {"effort": "string"},
        "temperature": "*float", "top_p": "*float", "text": "*text_format", "truncation": "*string",
        "tools": [_RESPONSES_TOOL], "stream": "*bool",
    },
    "/v1/messages": {
        "model": "string", "max_tokens": "int", "messages": [{"role": "string", "content": "text"}],
        "system": "*text", "stream": "bool", "temperature": "*float", "top_p": "*float", "top_k": "*int",
        "stop_sequences": ["string"], "thinking": "*thinking", "output_config": "*effort",
        "tools": [{"type": "string", "name": "string", "description": "string", "input_schema": "raw"}],
    },
}  # fmt: skip


def fold(key: str) -> str:
    """As Go's `foldName`, for names whose letters are ASCII."""
    return key.replace("\u017f", "s").replace("\u212a", "k").lower()


def seen(path: str, body: bytes) -> dict[str, Any]:
    """As `seen` in the Go program: `{"error": ..., "seen": ...}`."""
    try:
        tree, _ = _READER.raw_decode(body.decode("utf-8", "replace").lstrip(" \t\r\n"))
    except (ValueError, RecursionError):
        return {"error": "syntax", "seen": None}
    decoder = _Decoder()
    found = decoder.decode(REQUESTS[path], tree, None)
    return {"error": "type" if decoder.failed else "", "seen": found}


def _no_constant(name: str) -> Any:
    raise ValueError(name)


_READER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
)


class _Decoder:
    def __init__(self) -> None:
        self.failed = False

    def decode(self, kind: Type, value: Any, former: Any) -> Any:
        """What becomes of a field of a type, which was `former` before."""
        if former is None:
            former = self._zero(kind)
        if isinstance(kind, str):
            if kind.startswith("*"):
                return None if value is None else self.decode(kind[1:], value, former)
            if kind in _POINTED:
                return self.decode(_POINTED[kind], value, former)
            return self._scalar(kind, value, former)
        if value is None:
            return former if isinstance(kind, dict) else None
        if isinstance(kind, list):
            return self._slice(kind[0], value, former)
        return self._struct(kind, value, former)

    def _zero(self, kind: Type) -> Any:
        if isinstance(kind, dict):
            return {name: self._zero(inner) for name, inner in kind.items()}
        if kind in ("text", "input"):
            return {"Plain": "", "Parts" if kind == "text" else "Items": None}
        return _ZERO.get(kind) if isinstance(kind, str) else None

    def _fail(self, former: Any) -> Any:
        self.failed = True
        return former

    def _struct(self, kind: Mapping[str, Type], value: Any, former: dict[str, Any]) -> Any:
        if not isinstance(value, _Pairs):
            return self._fail(former)
        folded = {fold(name): name for name in kind}
        for key, inner in value:
            name = key if key in kind else folded.get(fold(key))
            if name is not None:
                former[name] = self.decode(kind[name], inner, former[name])
        return former

    def _slice(self, kind: Type, value: Any, former: Any) -> Any:
        if not isinstance(value, list) or isinstance(value, _Pairs):
            return self._fail(former)
        kept = [*(former or ()), *[None] * len(value)]  # the place of an item in a former list keeps what was there
        return [self.decode(kind, item, before) for item, before in zip(value, kept, strict=False)]

    def _scalar(self, kind: str, value: Any, former: Any) -> Any:
        if kind in ("any", "raw"):
            return self._plain(value, raw=kind == "raw")
        if kind in ("text", "input"):
            return self._text(kind, value, former)
        if value is None:
            return former
        if kind == "map":
            return (former or {}) | self._plain(value) if isinstance(value, _Pairs) else self._fail(former)
        found = _SCALARS[kind](value)
        return self._fail(former) if found is None else found

    def _text(self, kind: str, value: Any, former: Any) -> Any:
        if isinstance(value, list) and not isinstance(value, _Pairs):
            name, inner = ("Parts", _PART) if kind == "text" else ("Items", _ITEM)
            return former | {name: self.decode([inner], value, None)}
        return former | {"Plain": self.decode("string", value, former["Plain"])}

    def _plain(self, value: Any, *, raw: bool = False) -> Any:
        if isinstance(value, _Pairs):
            return {key: self._plain(inner, raw=raw) for key, inner in value}
        if isinstance(value, list):
            return [self._plain(item, raw=raw) for item in value]
        if not isinstance(value, _Number):
            return _string(value) if isinstance(value, str) else value
        if raw:
            return json.loads(value)
        number = _float(value)
        return self._fail(None) if number is None else number


def _string(value: Any) -> str | None:
    if not isinstance(value, str) or isinstance(value, _Number):
        return None
    return _HALF.sub("\ufffd", value)


def _bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _int(value: Any) -> int | None:
    try:
        number = int(value) if isinstance(value, _Number) else None
    except ValueError:
        return None
    return number if number is not None and -_INT_BOUND <= number < _INT_BOUND else None


def _float(value: Any) -> float | None:
    number = float(value) if isinstance(value, _Number) else math.inf
    return number if math.isfinite(number) else None


def _bytes(value: Any) -> str | None:
    text = _string(value)
    try:
        return None if text is None else base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, ValueError):
        return None


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "string": _string, "bool": _bool, "int": _int, "float": _float, "bytes": _bytes,
}  # fmt: skip
