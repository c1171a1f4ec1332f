"""Headers of answers, by dialect."""

from __future__ import annotations

from typing import Any, Final

from domain.calls import Dialect

Json = dict[str, Any]
_KINDS: Final = ("requests", "tokens")
_PARTS: Final = ("limit", "remaining", "reset")
_TEXT: Final[Json] = {"type": "string"}
_COUNT: Final[Json] = {"type": "string", "pattern": "^[0-9]+$"}
_MOMENT: Final[Json] = {"type": "string", "format": "date-time"}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def of_ids(dialect: Dialect) -> Json:
    """What every answer has."""
    names = ("x-request-id", "request-id") if dialect is Dialect.ANTHROPIC else ("x-request-id",)
    return dict.fromkeys(names, _ref("RequestId"))


def of_rates(dialect: Dialect) -> Json:
    """What answers to calls have where there are rates."""
    if dialect is Dialect.ANTHROPIC:
        return {f"anthropic-ratelimit-{kind}-{part}": _rate(part, "Time") for kind in _KINDS for part in _PARTS}
    return {f"x-ratelimit-{part}-{kind}": _rate(part, "In") for kind in _KINDS for part in _PARTS}


def _rate(part: str, reset: str) -> Json:
    return _ref(f"Rate{part.capitalize()}{reset if part == 'reset' else ''}")


def of_status(status: int, *, call: bool, dialect: Dialect) -> Json:
    """What a refusal with a status has besides."""
    match status:
        case 401:
            return {"www-authenticate": _ref("Challenge")}
        case 429:
            rates = of_rates(dialect) if call else {}
            told = {"x-should-retry": _ref("ShouldRetry"), "x-budget-reset": _ref("BudgetReset")}
            return {"retry-after": _ref("RetryAfter"), **told, **rates}
        case 408 | 504 if call:
            return {"x-should-retry": _ref("ShouldRetry")}
        case 502:
            return {"retry-after": _ref("RetryAfter")}
        case 503:
            return {"retry-after": _ref("RetryAfter")} | ({"x-should-retry": _ref("ShouldRetry")} if call else {})
        case _:
            return {}


def header_components() -> Json:
    """The headers themselves, for the document's components."""
    of_tightest = "of the tightest rate of key and tenant; absent where there is none."
    return {
        "RequestId": {
            "description": "The number to name when asking the operator about a request.",
            "required": True,
            "schema": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"},
        },
        "RetryAfter": {"description": "Seconds, at most 60.", "schema": _COUNT},
        "ShouldRetry": {
            "description": "Sent where the same request would fail again, as when a budget is spent.",
            "schema": {"type": "string", "const": "false"},
        },
        "BudgetReset": {"description": "When a spent budget begins anew.", "schema": _MOMENT},
        "Challenge": {"description": "RFC 9110 section 11.6.1.", "required": True, "schema": _TEXT},
        "RateLimit": {"description": f"Limit {of_tightest}", "schema": _COUNT},
        "RateRemaining": {"description": f"What is left {of_tightest}", "schema": _COUNT},
        "RateResetIn": {
            "description": f"Time until a full minute is free again, as `6s`, {of_tightest}",
            "schema": _TEXT,
        },
        "RateResetTime": {"description": f"When a full minute is free again, {of_tightest}", "schema": _MOMENT},
    }
