"""The one place where refusals and faults become a status, a body and headers, in the caller's dialect.

| dialect | body |
|---|---|
| native | `{"error": "sentence", "code": "stable_code"}`: clients show `error` and ignore the rest |
| openai, responses | `{"error": {"message", "type", "param", "code"}}`, all four always there |
| anthropic | `{"type": "error", "error": {"type", "message"}, "request_id"}` |

The stable code is also in the header `x-error-code`. `Retry-After` is sent only for waits that end by themselves
within a minute; a spent budget says `x-should-retry: false` instead, because clients would sleep or loop for it, and
one that calls in flight only hold is such a wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

import attrs
import msgspec

from application.presented import Rates
from domain.calls import Dialect
from domain.faults import Fault, FaultCode
from domain.limits import WINDOW_S, Rate
from domain.ports.limit_store import Standing
from domain.refusals import BackendRejected, BudgetHeld, BudgetSpent, Code, RateLimited, Refusal

Headers = list[tuple[bytes, bytes]]
LONGEST_RETRY_S = 60
"""SDKs take no longer wait (openai-python `_base_client.py`)."""


@attrs.frozen
class Shape:
    """How a code is told over HTTP."""

    status: int
    type: str
    """OpenAI's `type`."""
    code: str | None = None
    """OpenAI's `code`, where SDKs expect a particular one; None: our own stable code."""


_BAD = "invalid_request_error"
REFUSALS: Mapping[Code, Shape] = {
    Code.MISSING_API_KEY: Shape(401, _BAD),
    Code.INVALID_API_KEY: Shape(401, _BAD),
    Code.API_KEY_EXPIRED: Shape(401, _BAD),
    Code.API_KEY_REVOKED: Shape(401, _BAD),
    Code.TENANT_SUSPENDED: Shape(403, _BAD),
    Code.ROUTE_CLOSED: Shape(403, _BAD),
    Code.UNKNOWN_ROUTE: Shape(404, _BAD),
    Code.METHOD_NOT_ALLOWED: Shape(405, _BAD),
    Code.BODY_TOO_LARGE: Shape(413, _BAD),
    Code.BODY_TOO_SLOW: Shape(408, _BAD),
    Code.UNSUPPORTED_ENCODING: Shape(415, _BAD),
    Code.BAD_FRAMING: Shape(400, _BAD),
    Code.MALFORMED_REQUEST: Shape(400, _BAD),
    Code.HTTP_VERSION_NOT_SUPPORTED: Shape(400, _BAD),
    Code.TARGET_TOO_LONG: Shape(414, _BAD),
    Code.HEAD_TOO_LARGE: Shape(431, _BAD),
    Code.HEAD_TOO_SLOW: Shape(408, _BAD),
    Code.EXPECTATION_FAILED: Shape(417, _BAD),
    Code.WEBSOCKET_REFUSED: Shape(403, _BAD),
    Code.INVALID_JSON: Shape(400, _BAD),
    Code.INVALID_REQUEST: Shape(400, _BAD),
    Code.EMPTY_PROMPT: Shape(400, _BAD),
    Code.INVALID_MODEL_NAME: Shape(400, _BAD),
    Code.CLOUD_MODEL: Shape(403, _BAD),
    Code.MODEL_NOT_FOUND: Shape(404, _BAD, "model_not_found"),
    Code.REQUEST_EXCEEDS_TPM: Shape(400, _BAD, "context_length_exceeded"),
    Code.RATE_LIMITED: Shape(429, "requests", "rate_limit_exceeded"),
    Code.BUDGET_EXHAUSTED: Shape(429, "insufficient_quota", "insufficient_quota"),
    Code.BUDGET_HELD: Shape(429, "tokens", "rate_limit_exceeded"),  # what clients take for a wait, not for an end
    Code.BACKEND_REJECTED: Shape(400, _BAD),
}
_OURS = "server_error"
FAULTS: Mapping[FaultCode, Shape] = {
    FaultCode.IDENTITY_UNAVAILABLE: Shape(503, _OURS),
    FaultCode.LIMITER_UNAVAILABLE: Shape(503, _OURS),
    FaultCode.LEDGER_UNAVAILABLE: Shape(503, _OURS),
    FaultCode.OVERLOADED: Shape(503, _OURS),
    FaultCode.QUEUE_FULL: Shape(503, _OURS),
    FaultCode.QUEUE_TIMEOUT: Shape(503, _OURS),
    FaultCode.NO_BACKEND: Shape(503, _OURS),
    FaultCode.MODEL_WEDGED: Shape(503, _OURS),
    FaultCode.BACKEND_UNREACHABLE: Shape(502, _OURS),
    FaultCode.BACKEND_FAILED: Shape(502, _OURS),
    FaultCode.BACKEND_TIMEOUT: Shape(504, _OURS),
    FaultCode.BACKEND_BUSY: Shape(503, _OURS),
    FaultCode.STREAM_BROKEN: Shape(502, _OURS),
    FaultCode.CALL_TOO_LONG: Shape(504, _OURS),
    FaultCode.READER_TOO_SLOW: Shape(408, _OURS),
    FaultCode.CLIENT_HUNG_UP: Shape(499, _OURS),
    FaultCode.KEY_CUT: Shape(401, _BAD),
    FaultCode.PROMPT_LOG_UNAVAILABLE: Shape(503, _OURS),
    FaultCode.SHUTTING_DOWN: Shape(503, _OURS),
    FaultCode.INTERNAL: Shape(500, _OURS),
}
NEVER_AGAIN = frozenset(
    {
        Code.BUDGET_EXHAUSTED,
        FaultCode.CALL_TOO_LONG,
        FaultCode.READER_TOO_SLOW,
        FaultCode.PROMPT_LOG_UNAVAILABLE,
    }
)
"""Statuses that SDKs retry, where the same request would only fail, or take as long, again."""


def shape_of(reason: Refusal | Fault) -> Shape:
    """Status, type and code of a reason."""
    match reason:
        case BackendRejected():
            return attrs.evolve(REFUSALS[reason.code], status=reason.status)
        case RateLimited(rate=Rate.TPM):
            return attrs.evolve(REFUSALS[reason.code], type="tokens")
        case Refusal():
            return REFUSALS[reason.code]
        case Fault():
            return FAULTS[reason.code]
        case _:
            assert_never(reason)


def body_of(reason: Refusal | Fault, dialect: Dialect, request_id: str) -> bytes:
    """The error body. The request id is as in the header; only Anthropic's form has a place for it."""
    match dialect:
        case Dialect.NATIVE:
            return msgspec.json.encode({"error": reason.sentence, "code": reason.code.value})
        case Dialect.OPENAI | Dialect.RESPONSES:
            return msgspec.json.encode({"error": _openai_error(reason)})
        case Dialect.ANTHROPIC:
            error = {"type": anthropic_type(shape_of(reason).status), "message": reason.sentence}
            return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})
        case _:
            assert_never(dialect)


_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def anthropic_type(status: int) -> str:
    """Anthropic's error types go by status (Ollama v0.33 `anthropic/anthropic.go`, Anthropic's API reference)."""
    if status in _ANTHROPIC_TYPES:
        return _ANTHROPIC_TYPES[status]
    return "api_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004  a server's statuses


def _openai_error(reason: Refusal | Fault) -> dict[str, Any]:
    shape = shape_of(reason)
    return {
        "message": reason.sentence,
        "type": shape.type,
        "param": reason.param if isinstance(reason, Refusal) else None,
        "code": shape.code or reason.code.value,
    }


def last_words(reason: Fault, dialect: Dialect, request_id: str) -> bytes:
    """A failure told inside a stream, such that the dialect's clients raise instead of taking it for the end.

    Ollama's own Go client takes any end of a stream for success; only an error line makes it fail.
    """
    match dialect:
        case Dialect.NATIVE:
            return body_of(reason, dialect, request_id) + b"\n"
        case Dialect.OPENAI:
            return b"data: " + body_of(reason, dialect, request_id) + b"\n\n"
        case Dialect.RESPONSES:
            return b"event: error\ndata: " + _error_event(reason) + b"\n\n"
        case Dialect.ANTHROPIC:
            return b"event: error\ndata: " + body_of(reason, dialect, request_id) + b"\n\n"
        case _:
            assert_never(dialect)


def _error_event(reason: Fault) -> bytes:
    """The `error` event of `/v1/responses`. OpenAI's clients in Python and Go raise for a member `error` whatever the
    event, the one in JavaScript for its name; others go by its members, at the top (as in OpenAI's API reference) or
    inside (as OpenAI sends it). The number that a stream counts its events with is not known here.
    """
    error = _openai_error(reason)
    top = {name: error[name] for name in ("code", "message", "param")}
    return msgspec.json.encode({"type": "error", "sequence_number": 0, **top, "error": error})


_ID_NAMES = dict.fromkeys(Dialect, (b"x-request-id",)) | {Dialect.ANTHROPIC: (b"x-request-id", b"request-id")}


def id_headers(dialect: Dialect, request_id: str) -> Headers:
    """The request id under every name that the dialect's clients look for."""
    return [(name, request_id.encode()) for name in _ID_NAMES[dialect]]


def headers_of(reason: Refusal | Fault) -> Headers:
    """What goes into the headers of a refusal, besides the rates."""
    headers: Headers = [(b"x-error-code", reason.code.value.encode())]
    if shape_of(reason).status == 401:  # noqa: PLR2004  RFC 9110 section 15.5.2 asks for the challenge
        sent = reason.code is not Code.MISSING_API_KEY
        challenge = b'Bearer realm="neuronetz-gateway"' + (b', error="invalid_token"' if sent else b"")
        headers.append((b"www-authenticate", challenge))
    if reason.code in NEVER_AGAIN:
        headers.append((b"x-should-retry", b"false"))
    if isinstance(reason, BudgetSpent) and reason.ends is not None:
        headers.append((b"x-budget-reset", _utc(reason.ends)))
    wait_s = reason.retry_after_s if isinstance(reason, RateLimited | BudgetHeld | Fault) else None
    # A minute's window counts its oldest part-second whole, so its longest wait is a second more than a minute.
    if wait_s is not None and wait_s <= WINDOW_S + 1:
        headers.append((b"retry-after", str(min(max(1, wait_s), LONGEST_RETRY_S)).encode()))
    return headers


def _duration(seconds: int) -> bytes:
    """A Go-style duration, as OpenAI writes it: `1s`, `6m0s`."""
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes}m{rest}s" if minutes else f"{rest}s").encode()


def _utc(moment: datetime) -> bytes:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}".encode()


def _standing(standing: Standing, what: bytes) -> Headers:
    return [
        (b"x-ratelimit-limit-" + what, b"%d" % standing.limit),
        (b"x-ratelimit-remaining-" + what, b"%d" % standing.remaining),
        (b"x-ratelimit-reset-" + what, _duration(standing.reset_s)),
    ]


def rate_headers(rates: Rates) -> Headers:
    """OpenAI's rate headers: the tightest of key and tenant; nothing where there is no limit."""
    headers: Headers = []
    if rates.rpm is not None:
        headers += _standing(rates.rpm, b"requests")
    if rates.tpm is not None:
        headers += _standing(rates.tpm, b"tokens")
    return headers


def _anthropic_standing(standing: Standing, what: bytes, now: datetime) -> Headers:
    reset = now + timedelta(seconds=standing.reset_s, microseconds=999_999)  # told in whole seconds, never too early
    return [
        (b"anthropic-ratelimit-%b-limit" % what, b"%d" % standing.limit),
        (b"anthropic-ratelimit-%b-remaining" % what, b"%d" % standing.remaining),
        (b"anthropic-ratelimit-%b-reset" % what, _utc(reset)),
    ]


def anthropic_rate_headers(rates: Rates, now: datetime) -> Headers:
    """The same in Anthropic's words, where a reset is a moment and not a time to wait."""
    headers: Headers = []
    if rates.rpm is not None:
        headers += _anthropic_standing(rates.rpm, b"requests", now)
    if rates.tpm is not None:
        headers += _anthropic_standing(rates.tpm, b"tokens", now)
    return headers
