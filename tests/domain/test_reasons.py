import inspect
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain import faults, refusals
from domain.budgets import Window
from domain.faults import (
    BackendFailed,
    BackendFault,
    BackendTimeout,
    BackendUnreachable,
    Fault,
    FaultCode,
    Overloaded,
    StoreUnavailable,
)
from domain.limits import Rate, Scope
from domain.refusals import BackendRejected, BudgetHeld, BudgetSpent, Code, RateLimited, Refusal

TOMORROW = datetime(2026, 11, 24, tzinfo=UTC)


def spent(window: Window = Window.DAILY, ends: datetime | None = TOMORROW) -> BudgetSpent:
    return BudgetSpent(scope=Scope.KEY, window=window, limit=1000, used=900, held=90, ends=ends)


REASONS: Sequence[Refusal | Fault] = (
    Refusal(Code.INVALID_JSON, "The body is not JSON.", param="a.b[2]"),
    *(RateLimited(rate=rate, scope=scope, limit=60, retry_after_s=7) for rate in Rate for scope in Scope),
    *(spent(window, None if window is Window.TOTAL else TOMORROW) for window in Window),
    BudgetHeld(scope=Scope.TENANT, window=Window.TOTAL, limit=1000, used=10, held=990),
    BackendRejected(400, "The model cannot use tools."),
    StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, "The ledger cannot be reached."),
    Overloaded(FaultCode.QUEUE_FULL, "The queue is full."),
    BackendUnreachable(),
    BackendFailed(),
    BackendTimeout(),
)


def test_a_code_has_one_meaning() -> None:
    codes = [code.value for code in Code] + [code.value for code in FaultCode]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_the_codes_that_clients_know_are_all_there() -> None:
    assert {code.value for code in Code} == {
        "missing_api_key", "invalid_api_key", "api_key_expired", "api_key_revoked", "tenant_suspended",
        "route_closed", "unknown_route", "method_not_allowed", "body_too_large", "body_too_slow",
        "unsupported_encoding", "bad_framing", "invalid_json", "invalid_request", "empty_prompt",
        "invalid_model_name", "cloud_model", "model_not_found", "request_exceeds_tpm", "rate_limited",
        "budget_exhausted", "budget_held", "backend_rejected", "malformed_request", "http_version_not_supported",
        "target_too_long",
        "head_too_large", "head_too_slow", "expectation_failed", "websocket_refused",
    }  # fmt: skip
    assert {code.value for code in FaultCode} == {
        "identity_unavailable", "limiter_unavailable", "ledger_unavailable", "overloaded", "queue_full",
        "queue_timeout", "no_backend", "model_wedged", "backend_unreachable", "backend_failed", "backend_timeout",
        "backend_busy",
        "stream_broken", "call_too_long", "reader_too_slow", "client_hung_up", "key_cut", "prompt_log_unavailable",
        "shutting_down",
        "internal_error",
    }  # fmt: skip


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: f"{type(reason).__name__}-{reason.code}")
def test_a_reason_is_told_in_a_sentence(reason: Refusal | Fault) -> None:
    assert str(reason) == reason.sentence
    assert reason.sentence[0].isupper()
    assert reason.sentence.endswith(".")
    assert "None" not in reason.sentence
    assert not re.search(r"\b(Rate|Scope|Window)\.", reason.sentence)


def test_every_kind_of_reason_is_a_refusal_or_a_fault_and_never_both() -> None:
    kinds = [
        kind
        for module in (refusals, faults)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception)
    ]

    assert len(kinds) >= 10
    assert all(issubclass(kind, Refusal) != issubclass(kind, Fault) for kind in kinds)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (Rate.RPM, "60 requests per minute"),
        (Rate.TPM, "60 tokens per minute"),
        (Rate.CONCURRENCY, "60 requests at once"),
    ],
)
def test_a_rate_limit_says_what_is_limited_whose_it_is_and_how_long_to_wait(rate: Rate, words: str) -> None:
    reason = RateLimited(rate=rate, scope=Scope.TENANT, limit=60, retry_after_s=7)

    assert words in reason.sentence
    assert "this tenant" in reason.sentence
    assert "in 7 s" in reason.sentence
    assert (reason.rate, reason.scope, reason.limit, reason.retry_after_s) == (rate, Scope.TENANT, 60, 7)


def test_a_spent_budget_tells_spent_from_held() -> None:
    reason = spent()

    assert "daily token budget of this key" in reason.sentence
    assert "900 used and 90 held" in reason.sentence
    assert reason.sentence.endswith("It resets at 2026-11-24T00:00:00Z.")
    assert (reason.used, reason.held, reason.limit, reason.ends) == (900, 90, 1000, TOMORROW)


def test_a_held_budget_says_whose_it_is_and_when_to_come_again() -> None:
    reason = BudgetHeld(scope=Scope.TENANT, window=Window.MONTHLY, limit=1000, used=10, held=990)

    assert "monthly token budget of this tenant" in reason.sentence
    assert "10 used and 990 held" in reason.sentence
    assert reason.sentence.endswith(f"in {reason.retry_after_s} s.")
    assert (reason.used, reason.held, reason.limit) == (10, 990, 1000)


def test_a_spent_total_does_not_promise_a_reset() -> None:
    assert spent(Window.TOTAL, None).sentence.endswith("It does not reset by itself.")


@pytest.mark.parametrize("hours", [-11, -2, 0, 1, 14])
def test_the_reset_is_told_in_utc_whatever_the_zone_it_came_in(hours: int) -> None:
    ends = TOMORROW.astimezone(timezone(timedelta(hours=hours)))

    assert "2026-11-24T00:00:00Z" in spent(ends=ends).sentence


def test_faults_say_when_to_come_again() -> None:
    assert StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "x").retry_after_s == 1
    assert Overloaded(FaultCode.QUEUE_FULL, "x").retry_after_s == 2
    assert Overloaded(FaultCode.NO_BACKEND, "x", retry_after_s=5).retry_after_s == 5
    assert BackendUnreachable().retry_after_s == 5
    assert BackendFailed(code=FaultCode.BACKEND_BUSY).retry_after_s == 2
    assert BackendFailed().retry_after_s is None
    assert BackendTimeout().retry_after_s is None


def test_only_a_backend_that_was_reached_can_have_failed() -> None:
    assert isinstance(BackendUnreachable(), BackendFault)
    assert not isinstance(BackendUnreachable(), BackendFailed)
    assert not BackendFailed().answered
    assert BackendFailed(answered=True).answered
    assert not BackendFailed(answered=True).refused
    assert BackendFailed(refused=True).refused
    assert BackendFailed(code=FaultCode.BACKEND_BUSY).refused


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: f"{type(reason).__name__}-{reason.code}")
def test_no_sentence_holds_an_address_a_path_or_a_credential(reason: Refusal | Fault) -> None:
    assert not re.search(
        r"://|nz_|\$argon2|/[a-z]+/|\d+\.\d+\.\d+\.\d+|\bredis\b|\bpostgres", reason.sentence, re.IGNORECASE
    )


@pytest.mark.parametrize(
    ("rate", "says"),
    [
        (Rate.RPM, "this key may make 60 requests per minute"),
        (Rate.TPM, "this key may use 60 tokens per minute"),
        (Rate.CONCURRENCY, "this key may make 60 requests at once"),
    ],
)
def test_a_rate_is_told_as_a_person_would(rate: Rate, says: str) -> None:
    assert says in RateLimited(rate=rate, scope=Scope.KEY, limit=60, retry_after_s=7).sentence
