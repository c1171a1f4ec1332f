"""How Go's `encoding/json` and Ollama read a request body, as far as it can hurt a gateway.

Any Content-Type is read as JSON; only the first value counts, whatever trails it; keys match without regard to case,
Unicode folding included, and the last one wins; a null leaves the default; unknown fields are ignored; a whole number
must not have a fraction (`server/routes.go`, `api/types.go`, Go's `encoding/json`). One difference: Go merges repeated
`options` objects, here the last one stands.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from entrypoints.simulator.refusal import Refused, Stage

_GO_KINDS = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_ACCEPTED: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "int": (int,),
    "float64": (int, float),
    "[]api.Message": (list,),
    "[]openai.Message": (list,),
    "api.Tools": (list,),
    "map[string]interface {}": (dict,),
    "openai.StreamOptions": (dict,),
    "[]openai.ResponsesTool": (list,),
    "openai.ResponsesText": (dict,),
    "openai.ResponsesReasoning": (dict,),
    "[]string": (list,),
    "[]anthropic.MessageParam": (list,),
    "[]anthropic.Tool": (list,),
    **dict.fromkeys(
        [f"anthropic.{name}" for name in ("ThinkingConfig", "OutputConfig", "ToolChoice", "Metadata")], (dict,)
    ),
}


def decode(raw: bytes, *, missing: str) -> dict[str, Any]:
    """Read a body as a JSON object with lower-case keys and without nulls.

    Raises Refused (400) with Go's words; `missing` are those for an empty body.
    """
    if not raw.strip():
        raise Refused(400, missing, Stage.DECODING)
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = _first_value(raw)
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = _GO_KINDS[type(value)]
        raise Refused(400, f"json: cannot unmarshal {kind} into Go value of type request", Stage.DECODING)
    return {
        key if key.isascii() and key.islower() else key.casefold(): item
        for key, item in value.items()
        if item is not None
    }


def check_types(body: Mapping[str, Any], *, struct: str, fields: Mapping[str, str]) -> None:
    """Refuse (400) a field whose JSON type is not its Go type, in Go's words."""
    for name, value in body.items():
        expected = fields.get(name)
        if expected is not None and type(value) not in _ACCEPTED[expected]:
            raise Refused(
                400,
                f"json: cannot unmarshal {_GO_KINDS[type(value)]} into Go struct field {struct}.{name}"
                f" of type {expected}",
                Stage.DECODING,
            )


def go_json(value: Any) -> bytes:
    """Encode as Go does: compact, with `<`, `>` and `&` escaped."""
    encoded = msgspec.json.encode(value)
    if b"<" in encoded or b">" in encoded or b"&" in encoded:
        return encoded.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    return encoded


_HOUR_S, _MINUTE_S = 3600.0, 60.0
_UNITS_S = {"h": _HOUR_S, "m": _MINUTE_S, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(
    r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))*"
)
_PART = re.compile(r"([\d.]+)(ns|us|µs|ms|s|m|h)")
_MAX_DURATION_S = 2**63 / 1e9


def keep_alive_seconds(value: Any) -> float | None:
    """Read `keep_alive`: seconds as a number, or a Go duration; negative is for ever (infinity), absent is None.

    A number too large for Go's duration overflows on amd64 and acts as 0. Raises Refused (400).
    """
    if value is None:
        return None
    if type(value) in {int, float}:
        seconds = float(value)
    elif isinstance(value, str) and value.strip("+-") == "0":
        return 0.0
    elif isinstance(value, str):
        if not _DURATION.fullmatch(value):
            raise Refused(400, f'time: invalid duration "{value}"', Stage.DECODING)
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(value))
        seconds = -seconds if value.startswith("-") else seconds
    else:
        raise Refused(400, f"Unsupported type: '{_GO_KINDS[type(value)]}'", Stage.DECODING)
    if seconds < 0:
        return float("inf")
    return 0.0 if seconds >= _MAX_DURATION_S else seconds


def _first_value(raw: bytes) -> Any:
    text = raw.decode("utf-8", "replace").lstrip(" \t\r\n")
    try:
        return json.JSONDecoder(parse_constant=_no_constant).raw_decode(text)[0]
    except json.JSONDecodeError as wrong:
        if wrong.pos >= len(text.rstrip()) or wrong.msg.startswith("Unterminated"):
            raise Refused(400, "unexpected EOF", Stage.DECODING) from wrong
        raise Refused(
            400, f"invalid character '{text[wrong.pos]}' looking for beginning of value", Stage.DECODING
        ) from wrong


def _no_constant(name: str) -> Any:
    raise Refused(400, f"invalid character '{name[0]}' looking for beginning of value", Stage.DECODING)
