"""Responses that refuse, from the table of refusals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from domain.calls import Dialect
from domain.faults import Fault, FaultCode
from domain.refusals import Code, Refusal
from entrypoints.http.openapi.headers import of_ids, of_status
from entrypoints.http.problems import FAULTS, REFUSALS, body_of
from entrypoints.http.routes import Health, Inference, Look, Route

AnyCode = Code | FaultCode
_MEANT_BY_STATUS: Final = {
    400: "The request is wrong.",
    401: "No key, or none that counts.",
    403: "Not for this caller.",
    404: "Not there, or not for this caller.",
    408: "Too slow.",
    413: "The body is too large.",
    414: "The target is too long.",
    415: "The body is encoded.",
    417: "An expectation other than `100-continue`.",
    429: "A rate or a budget is used up.",
    431: "The head is too large.",
    500: "A fault of the gateway.",
    502: "The model's backend failed.",
    503: "Not now; try again.",
    504: "The model's backend took too long.",
}
_OF_ANY: Final[frozenset[AnyCode]] = frozenset(
    {
        Code.BAD_FRAMING,
        Code.UNSUPPORTED_ENCODING,
        Code.MALFORMED_REQUEST,
        Code.HTTP_VERSION_NOT_SUPPORTED,
        Code.TARGET_TOO_LONG,
        Code.HEAD_TOO_LARGE,
        Code.HEAD_TOO_SLOW,
        Code.EXPECTATION_FAILED,
        FaultCode.INTERNAL,
    }
)
_OF_LOOKS: Final[frozenset[AnyCode]] = _OF_ANY | {
    Code.MISSING_API_KEY,
    Code.INVALID_API_KEY,
    Code.API_KEY_EXPIRED,
    Code.API_KEY_REVOKED,
    Code.TENANT_SUSPENDED,
    Code.BODY_TOO_LARGE,
    Code.BODY_TOO_SLOW,
    FaultCode.IDENTITY_UNAVAILABLE,
    FaultCode.LIMITER_UNAVAILABLE,
    FaultCode.LEDGER_UNAVAILABLE,
    FaultCode.OVERLOADED,
    FaultCode.SHUTTING_DOWN,
}
_OF_ONE_MODEL: Final = frozenset({Code.MODEL_NOT_FOUND, Code.INVALID_MODEL_NAME, Code.CLOUD_MODEL})
_OF_LOOK: Final[Mapping[Look, frozenset[AnyCode]]] = {
    Look.SHOW: _OF_ONE_MODEL | {Code.INVALID_JSON, Code.INVALID_REQUEST},
    Look.MODEL: _OF_ONE_MODEL | {Code.UNKNOWN_ROUTE},  # what cannot be a name is no route
}
_OF_CALLS: Final[frozenset[AnyCode]] = frozenset[AnyCode]({*Code, *FaultCode}) - {
    Code.ROUTE_CLOSED,
    Code.UNKNOWN_ROUTE,
    Code.METHOD_NOT_ALLOWED,
    Code.WEBSOCKET_REFUSED,
    FaultCode.CLIENT_HUNG_UP,
}
_ELSEWHERE: Final[Mapping[AnyCode, tuple[int, ...]]] = {Code.BACKEND_REJECTED: (404,)}
"""Statuses besides that of the table: what Ollama itself says."""
SCHEMAS: Final[Mapping[Dialect, str]] = {
    Dialect.NATIVE: "NativeError",
    Dialect.OPENAI: "OpenAIError",
    Dialect.RESPONSES: "OpenAIError",
    Dialect.ANTHROPIC: "AnthropicError",
}


def error_schemas() -> dict[str, Any]:
    """The error body of each dialect."""
    codes = sorted(code.value for code in (*Code, *FaultCode))
    text = {"type": "string"}
    openai = {
        "type": "object",
        "required": ["message", "type", "param", "code"],
        "properties": {"message": text, "type": text, "param": {"type": ["string", "null"]}, "code": text},
    }
    anthropic = {"type": "object", "required": ["type", "message"], "properties": {"type": text, "message": text}}
    return {
        "NativeError": {
            "type": "object",
            "required": ["error", "code"],
            "properties": {"error": text, "code": {"type": "string", "enum": codes}},
        },
        "OpenAIError": {"type": "object", "required": ["error"], "properties": {"error": openai}},
        "AnthropicError": {
            "type": "object",
            "required": ["type", "error", "request_id"],
            "properties": {"type": {"const": "error"}, "error": anthropic, "request_id": text},
        },
    }


def codes_of(route: Route) -> Collection[AnyCode]:
    """What a route may answer instead of what it was asked for."""
    match route:
        case Inference():
            return _OF_CALLS
        case Look():
            return _OF_LOOKS | _OF_LOOK.get(route, frozenset())
        case Health():
            return _OF_ANY


def error_responses(route: Route, dialect: Dialect) -> dict[str, Any]:
    """Of each status the response, whole."""
    by_status: dict[int, list[AnyCode]] = {}
    for code in sorted(codes_of(route)):
        shape = REFUSALS[code] if isinstance(code, Code) else FAULTS[code]
        for status in (shape.status, *_ELSEWHERE.get(code, ())):
            by_status.setdefault(status, []).append(code)
    return {str(status): _response(route, status, codes, dialect) for status, codes in sorted(by_status.items())}


def _response(route: Route, status: int, codes: list[AnyCode], dialect: Dialect) -> dict[str, Any]:
    names = [code.value for code in codes]
    headers: dict[str, Any] = {
        **of_ids(dialect),
        "x-error-code": {
            "description": "The stable code; see `docs/errors.md`.",
            "required": True,
            "schema": {"type": "string", "enum": names},
        },
    }
    headers |= of_status(status, call=isinstance(route, Inference), dialect=dialect)
    schema = {"$ref": f"#/components/schemas/{SCHEMAS[dialect]}"}
    example = msgspec.json.decode(body_of(_reason(codes[0]), dialect, "req_0192f0c1e7a87f3c9a51b2d4c6e8f001"))
    return {
        "description": f"{_MEANT_BY_STATUS[status]} Codes: {', '.join(f'`{name}`' for name in names)}.",
        "headers": headers,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


_SENTENCE = "A sentence that says what is wrong and what to do."


def _reason(code: AnyCode) -> Refusal | Fault:
    return Refusal(code, _SENTENCE) if isinstance(code, Code) else Fault(code, _SENTENCE)
