"""Refusals: the caller's fault or limit. Faults, ours or the backend's, are in `domain.faults`.

::

    Refusal
     +- RateLimited     a rate window or the slots are full; carries the wait
     +- BudgetSpent     a token budget is spent: it comes again when its window turns, if ever
     +- BudgetHeld      a token budget would do if calls in flight did not hold it; carries the wait
     +- BackendRejected the backend itself refused the request (its 4xx)

Each has one stable code, listed in `Code`. Which HTTP status and which body a dialect gives it is decided in one
place, `entrypoints/http/problems.py`; only `BackendRejected` carries a status, the backend's own, which is passed on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from domain.budgets import Window
from domain.limits import Rate, Scope

HELD_RETRY_S = 2
"""A hold ends with its call, which nobody can foretell; short answers take about so long."""


class Code(StrEnum):
    """Every refusal a caller can meet. A code never changes its meaning."""

    MISSING_API_KEY = "missing_api_key"
    INVALID_API_KEY = "invalid_api_key"
    API_KEY_EXPIRED = "api_key_expired"
    API_KEY_REVOKED = "api_key_revoked"
    TENANT_SUSPENDED = "tenant_suspended"
    ROUTE_CLOSED = "route_closed"
    UNKNOWN_ROUTE = "unknown_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TOO_SLOW = "body_too_slow"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    BAD_FRAMING = "bad_framing"
    MALFORMED_REQUEST = "malformed_request"
    HTTP_VERSION_NOT_SUPPORTED = "http_version_not_supported"
    TARGET_TOO_LONG = "target_too_long"
    HEAD_TOO_LARGE = "head_too_large"
    HEAD_TOO_SLOW = "head_too_slow"
    EXPECTATION_FAILED = "expectation_failed"
    WEBSOCKET_REFUSED = "websocket_refused"
    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    EMPTY_PROMPT = "empty_prompt"
    INVALID_MODEL_NAME = "invalid_model_name"
    CLOUD_MODEL = "cloud_model"
    MODEL_NOT_FOUND = "model_not_found"
    REQUEST_EXCEEDS_TPM = "request_exceeds_tpm"
    RATE_LIMITED = "rate_limited"
    BUDGET_EXHAUSTED = "budget_exhausted"
    BUDGET_HELD = "budget_held"
    BACKEND_REJECTED = "backend_rejected"


class Refusal(Exception):
    """A request that is not served, for a reason the caller can understand and act on."""

    def __init__(self, code: Code, sentence: str, *, param: str | None = None) -> None:
        """Takes the stable code, a sentence that says what is wrong and what to do, and the path of the offending
        field if there is one, as `options.stop[2]`.
        """
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.param = param


class RateLimited(Refusal):
    """A rate window or the slots of key or tenant are full. Nothing was consumed."""

    def __init__(self, *, rate: Rate, scope: Scope, limit: int, retry_after_s: int) -> None:
        what = {
            Rate.RPM: f"make {limit} requests per minute",
            Rate.TPM: f"use {limit} tokens per minute",
            Rate.CONCURRENCY: f"make {limit} requests at once",
        }[rate]
        super().__init__(
            Code.RATE_LIMITED,
            f"Rate limit reached: this {scope} may {what}. Please try again in {retry_after_s} s.",
        )
        self.rate = rate
        self.scope = scope
        self.limit = limit
        self.retry_after_s = retry_after_s


class BudgetSpent(Refusal):
    """A token budget has too little left for this request, whatever comes back from calls in flight. Nothing was
    consumed.
    """

    def __init__(
        self, *, scope: Scope, window: Window, limit: int, used: int, held: int, ends: datetime | None
    ) -> None:
        reset = (
            "It does not reset by itself."
            if ends is None
            else f"It resets at {ends.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}."
        )
        super().__init__(
            Code.BUDGET_EXHAUSTED,
            f"The {window} token budget of this {scope} has too little left for this request: "
            f"{used} used and {held} held by requests in flight, of {limit}. {reset}",
        )
        self.scope = scope
        self.window = window
        self.limit = limit
        self.used = used
        self.held = held
        self.ends = ends


class BudgetHeld(Refusal):
    """A token budget has enough for this request, but calls in flight hold it. Nothing was consumed. They may yet use
    what they hold, so that the next answer may be `BudgetSpent`.
    """

    def __init__(self, *, scope: Scope, window: Window, limit: int, used: int, held: int) -> None:
        super().__init__(
            Code.BUDGET_HELD,
            f"Requests in flight hold what this one needs of the {window} token budget of this {scope}: "
            f"{used} used and {held} held, of {limit}. Please try again in {HELD_RETRY_S} s.",
        )
        self.scope = scope
        self.window = window
        self.limit = limit
        self.used = used
        self.held = held
        self.retry_after_s = HELD_RETRY_S


class BackendRejected(Refusal):
    """The backend refused the request with a 4xx: for instance, the model cannot use tools."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(Code.BACKEND_REJECTED, sentence)
        self.status = status
