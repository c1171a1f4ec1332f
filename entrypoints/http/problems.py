"""The one place where refusals and faults become a status, a body and headers, in the caller's dialect.

| dialect | body |
|---|---|
| native | `{"error": "sentence", "code": "stable_code"}`: clients show `error` and ignore the rest |
| openai | `{"error": {"message", "type", "param", "code"}}`, all four always there |

The stable code is also in the header `x-error-code`. `Retry-After` is sent only for waits that end by themselves
within a minute; a spent budget says `x-should-retry: false` instead, because clients would sleep or loop for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, assert_never

import attrs
import msgspec

from application.presented import Rates
from domain.calls import Dialect
from domain.faults import Fault, FaultCode
from domain.limits import WINDOW_S, Rate
from domain.ports.limit_store import Standing
from domain.refusals import BackendRejected, BudgetSpent, Code, RateLimited, Refusal

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
    Code.INVALID_JSON: Shape(400, _BAD),
    Code.INVALID_REQUEST: Shape(400, _BAD),
    Code.EMPTY_PROMPT: Shape(400, _BAD),
    Code.INVALID_MODEL_NAME: Shape(400, _BAD),
    Code.CLOUD_MODEL: Shape(403, _BAD),
    Code.MODEL_NOT_FOUND: Shape(404, _BAD, "model_not_found"),
    Code.REQUEST_EXCEEDS_TPM: Shape(400, _BAD, "context_length_exceeded"),
    Code.RATE_LIMITED: Shape(429, "requests", "rate_limit_exceeded"),
    Code.BUDGET_EXHAUSTED: Shape(429, "insufficient_quota", "insufficient_quota"),
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


def body_of(reason: Refusal | Fault, dialect: Dialect) -> bytes:
    """The error body."""
    match dialect:
        case Dialect.NATIVE:
            return msgspec.json.encode({"error": reason.sentence, "code": reason.code.value})
        case Dialect.OPENAI:
            return msgspec.json.encode({"error": _openai_error(reason)})
        case _:
            assert_never(dialect)


def _openai_error(reason: Refusal | Fault) -> dict[str, Any]:
    shape = shape_of(reason)
    return {
        "message": reason.sentence,
        "type": shape.type,
        "param": reason.param if isinstance(reason, Refusal) else None,
        "code": shape.code or reason.code.value,
    }


def last_words(reason: Fault, dialect: Dialect) -> bytes:
    """A failure told inside a stream, such that the dialect's clients raise instead of taking it for the end.

    Ollama's own Go client takes any end of a stream for success; only an error line makes it fail.
    """
    match dialect:
        case Dialect.NATIVE:
            return body_of(reason, dialect) + b"\n"
        case Dialect.OPENAI:
            return b"data: " + body_of(reason, dialect) + b"\n\n"
        case _:
            assert_never(dialect)


def headers_of(reason: Refusal | Fault) -> Headers:
    """What goes into the headers of a refusal, besides the rates."""
    headers: Headers = [(b"x-error-code", reason.code.value.encode())]
    if shape_of(reason).status == 401:  # noqa: PLR2004  RFC 9110 section 15.5.2 asks for the challenge
        sent = reason.code is not Code.MISSING_API_KEY
        challenge = b'Bearer realm="neuronetz-gateway"' + (b', error="invalid_token"' if sent else b"")
        headers.append((b"www-authenticate", challenge))
    if isinstance(reason, BudgetSpent):
        headers.append((b"x-should-retry", b"false"))
        if reason.ends is not None:
            headers.append((b"x-budget-reset", f"{reason.ends.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}".encode()))
        return headers
    wait_s = reason.retry_after_s if isinstance(reason, RateLimited | Fault) else None
    # A minute's window counts its oldest part-second whole, so its longest wait is a second more than a minute.
    if wait_s is not None and wait_s <= WINDOW_S + 1:
        headers.append((b"retry-after", str(min(max(1, wait_s), LONGEST_RETRY_S)).encode()))
    return headers


def _duration(seconds: int) -> bytes:
    """A Go-style duration, as OpenAI writes it: `1s`, `6m0s`."""
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes}m{rest}s" if minutes else f"{rest}s").encode()


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
