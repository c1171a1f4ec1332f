"""`docs/errors.md`: every code a caller can meet, as each dialect tells it, taken from the code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from domain.budgets import Window
from domain.faults import BackendFailed, BackendUnreachable, Fault, FaultCode, Overloaded, StoreUnavailable
from domain.limits import Rate, Scope
from domain.refusals import BudgetHeld, BudgetSpent, Code, RateLimited, Refusal
from entrypoints.http.problems import FAULTS, REFUSALS, anthropic_type, headers_of, shape_of

ERRORS = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
AnyCode = Code | FaultCode

WHAT_TO_DO: Mapping[AnyCode, str] = {
    Code.MISSING_API_KEY: "send `Authorization: Bearer nz_...`, or `x-api-key`",
    Code.INVALID_API_KEY: "check the key; ask the operator for a new one",
    Code.API_KEY_EXPIRED: "ask the operator for a new key",
    Code.API_KEY_REVOKED: "ask the operator for a new key",
    Code.TENANT_SUSPENDED: "ask the operator to resume the tenant",
    Code.ROUTE_CLOSED: "nothing: models and the server's account are the operator's, for every caller",
    Code.UNKNOWN_ROUTE: "see [the API](api.html) for what is served",
    Code.METHOD_NOT_ALLOWED: "use a method named in `Allow`",
    Code.BODY_TOO_LARGE: "send less (MAX_BODY_BYTES)",
    Code.BODY_TOO_SLOW: "send faster (BODY_TIMEOUT_S)",
    Code.UNSUPPORTED_ENCODING: "send the body without Content-Encoding",
    Code.BAD_FRAMING: "send one Content-Length, or `Transfer-Encoding: chunked`, not both",
    Code.MALFORMED_REQUEST: "mend the client, or what stands before the gateway: the message says what is wrong",
    Code.HTTP_VERSION_NOT_SUPPORTED: "speak HTTP/1.1",
    Code.TARGET_TOO_LONG: "shorten the URL",
    Code.HEAD_TOO_LARGE: "send fewer or shorter headers",
    Code.HEAD_TOO_SLOW: "send the headers at once",
    Code.EXPECTATION_FAILED: "send no `Expect`, or `Expect: 100-continue`",
    Code.WEBSOCKET_REFUSED: "send a plain request; streams are answers to these",
    Code.INVALID_JSON: "send one JSON object in UTF-8, no key twice",
    Code.INVALID_REQUEST: "mend the field that the message names, in an OpenAI body also `param`",
    Code.EMPTY_PROMPT: "send a prompt; loading and unloading models is the operator's",
    Code.INVALID_MODEL_NAME: "write the model as `name:tag`",
    Code.CLOUD_MODEL: "name a local model",
    Code.MODEL_NOT_FOUND: "see `/api/tags` or `/v1/models` for the models you may use",
    Code.REQUEST_EXCEEDS_TPM: "shorten the prompt",
    Code.RATE_LIMITED: "wait for `Retry-After`",
    Code.BUDGET_EXHAUSTED: "wait for the reset (`x-budget-reset`), or ask for more; do not retry",
    Code.BUDGET_HELD: "wait until your running calls have ended; let calls ask for less output (`max_tokens`)",
    Code.BACKEND_REJECTED: "mend the request as the message says; the status is the backend's own",
    FaultCode.IDENTITY_UNAVAILABLE: "try again",
    FaultCode.LIMITER_UNAVAILABLE: "try again",
    FaultCode.LEDGER_UNAVAILABLE: "try again",
    FaultCode.OVERLOADED: "try again",
    FaultCode.QUEUE_FULL: "try again",
    FaultCode.QUEUE_TIMEOUT: "try again",
    FaultCode.NO_BACKEND: "try again; the operator must bring a backend back",
    FaultCode.MODEL_WEDGED: "try another model, or later; the operator must restart the model's backend",
    FaultCode.BACKEND_UNREACHABLE: "try again; the operator must look at the backends",
    FaultCode.BACKEND_FAILED: "try again once; then tell the operator",
    FaultCode.BACKEND_TIMEOUT: "try a shorter prompt, or later",
    FaultCode.BACKEND_BUSY: "try again",
    FaultCode.STREAM_BROKEN: "the answer is not whole: ask again",
    FaultCode.CALL_TOO_LONG: "ask for less output",
    FaultCode.READER_TOO_SLOW: "read faster",
    FaultCode.CLIENT_HUNG_UP: "only in the audit: nobody was there to be told",
    FaultCode.KEY_CUT: "the key was revoked, or its tenant suspended, while the answer ran",
    FaultCode.PROMPT_LOG_UNAVAILABLE: "tell the operator: this gateway needs PROMPT_LOG_KEY",
    FaultCode.SHUTTING_DOWN: "try again",
    FaultCode.INTERNAL: "tell the operator the `x-request-id`",
}

_LIMITED = RateLimited(rate=Rate.RPM, scope=Scope.KEY, limit=1, retry_after_s=60)
_ENDS = datetime(2027, 1, 1, tzinfo=UTC)
_SPENT = BudgetSpent(scope=Scope.KEY, window=Window.DAILY, limit=1, used=1, held=0, ends=_ENDS)
_HELD = BudgetHeld(scope=Scope.KEY, window=Window.DAILY, limit=1, used=0, held=1)
_STORES = (FaultCode.IDENTITY_UNAVAILABLE, FaultCode.LIMITER_UNAVAILABLE, FaultCode.LEDGER_UNAVAILABLE)
_FULL = (
    FaultCode.OVERLOADED,
    FaultCode.QUEUE_FULL,
    FaultCode.QUEUE_TIMEOUT,
    FaultCode.NO_BACKEND,
    FaultCode.MODEL_WEDGED,
)
_EXAMPLES: Mapping[AnyCode, Refusal | Fault] = {
    **{code: Refusal(code, "") for code in Code},
    **{code: Fault(code, "") for code in FaultCode},
    Code.RATE_LIMITED: _LIMITED,
    Code.BUDGET_EXHAUSTED: _SPENT,
    Code.BUDGET_HELD: _HELD,
    **{code: StoreUnavailable(code, "") for code in _STORES},
    **{code: Overloaded(code, "") for code in _FULL},
    FaultCode.BACKEND_UNREACHABLE: BackendUnreachable(),
    FaultCode.BACKEND_BUSY: BackendFailed(code=FaultCode.BACKEND_BUSY),
}
_RETRIED_BY_SDKS = (408, 409, 429)
_HEAD = """# Errors
Made from the code by `python -m tests.docs`. A code never changes its meaning. 4xx are the caller's, 5xx are ours or a
backend's; 429 is always the caller's own limit, 503 never is.

| where | the code, and the sentence that says what to do |
|---|---|
| every answer | the header `x-error-code`; `x-request-id` (for Anthropic's clients also `request-id`) |
| `/api/*` | `{"error": "sentence", "code": "stable_code"}` |
| `/v1/*` | `{"error": {"message", "type", "param", "code"}}`; `code` is OpenAI's own where clients know one |
| `/v1/messages` | `{"type": "error", "error": {"type", "message"}, "request_id"}` |
| in a stream that has begun | the same body as its last line, or as its last event |

"SDKs" are those of OpenAI and Anthropic and what is built on them: they try again, twice unless told otherwise, after
408, 409, 429 and every 5xx; Ollama's own never do. `Retry-After` is only sent for waits of up to 60 s. What is refused
consumes nothing.

"""


def errors() -> str:
    """The table of every code a caller can meet."""
    lines = [
        "| code | status | OpenAI `type` | OpenAI `code` | Anthropic `type` | SDKs try again | headers | what to do |",
        "|---|---|---|---|---|---|---|---|",
        *map(_line, REFUSALS),
        *map(_line, FAULTS),
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _line(code: AnyCode) -> str:
    example = _EXAMPLES[code]
    shape = shape_of(example)
    headers = {name.decode(): value.decode() for name, value in headers_of(example)}
    kind = "`requests` or `tokens`" if code is Code.RATE_LIMITED else f"`{shape.type}`"
    told = ("", f"`{code}`", str(shape.status), kind, f"`{shape.code or code}`", f"`{anthropic_type(shape.status)}`")
    return " | ".join([*told, _again(shape.status, headers), _besides(code, headers), WHAT_TO_DO[code], ""]).strip()


def _again(status: int, headers: Mapping[str, str]) -> str:
    if headers.get("x-should-retry") == "false" or (status not in _RETRIED_BY_SDKS and status < 500):
        return "no"
    return "yes, when told" if "retry-after" in headers else "yes"


def _besides(code: AnyCode, headers: Mapping[str, str]) -> str:
    names = [name for name in headers if name != "x-error-code"]
    if code is Code.METHOD_NOT_ALLOWED:
        names.append("allow")
    return ", ".join(f"`{name}`" for name in names)
