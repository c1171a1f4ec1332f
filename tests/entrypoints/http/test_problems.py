import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.presented import NO_RATES, Rates
from domain.budgets import Window
from domain.calls import Dialect
from domain.faults import BackendFailed, Fault, FaultCode, Overloaded, StoreUnavailable
from domain.limits import Rate, Scope
from domain.ports.limit_store import Standing
from domain.refusals import BackendRejected, BudgetHeld, BudgetSpent, Code, RateLimited, Refusal
from entrypoints.http.problems import (
    FAULTS,
    REFUSALS,
    Headers,
    anthropic_rate_headers,
    body_of,
    headers_of,
    id_headers,
    last_words,
    rate_headers,
    shape_of,
)

TOMORROW = datetime(2026, 11, 24, tzinfo=UTC)
REASONS: Sequence[Refusal | Fault] = [
    *(Refusal(code, "Something is wrong.") for code in Code),
    *(Fault(code, "Something is broken.") for code in FaultCode),
]
EVERY_REASON = pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.code.value)


def name_of(value: object) -> str:
    return value.code.value if isinstance(value, Refusal | Fault) else ""


def limited(rate: Rate = Rate.RPM, wait_s: int = 7) -> RateLimited:
    return RateLimited(rate=rate, scope=Scope.KEY, limit=60, retry_after_s=wait_s)


def spent(ends: datetime | None = TOMORROW) -> BudgetSpent:
    return BudgetSpent(scope=Scope.TENANT, window=Window.DAILY, limit=10, used=9, held=1, ends=ends)


def held() -> BudgetHeld:
    return BudgetHeld(scope=Scope.TENANT, window=Window.DAILY, limit=10, used=1, held=9)


def told(reason: Refusal | Fault, dialect: Dialect) -> Any:
    return json.loads(body_of(reason, dialect, "req_1"))


def only(headers: Headers, name: bytes) -> bytes | None:
    values = [value for key, value in headers if key == name]
    assert len(values) <= 1
    return values[0] if values else None


def test_every_code_has_a_shape() -> None:
    assert set(REFUSALS) == set(Code)
    assert set(FAULTS) == set(FaultCode)


def test_refusals_are_4xx_and_faults_of_ours_are_5xx() -> None:
    assert all(400 <= shape.status < 500 for shape in REFUSALS.values())
    told_to_the_client = {FaultCode.READER_TOO_SLOW, FaultCode.CLIENT_HUNG_UP, FaultCode.KEY_CUT}
    assert all((shape.status >= 500) != (code in told_to_the_client) for code, shape in FAULTS.items())


def test_429_is_the_tenants_and_503_is_ours() -> None:
    assert {code for code, shape in REFUSALS.items() if shape.status == 429} == {
        Code.RATE_LIMITED,
        Code.BUDGET_EXHAUSTED,
        Code.BUDGET_HELD,
    }
    assert all(shape.status != 503 for shape in REFUSALS.values())
    assert all(shape.status != 429 for shape in FAULTS.values())


@pytest.mark.parametrize(
    ("reason", "status", "type_", "code"),
    [
        (Refusal(Code.MISSING_API_KEY, "x"), 401, "invalid_request_error", "missing_api_key"),
        (Refusal(Code.INVALID_API_KEY, "x"), 401, "invalid_request_error", "invalid_api_key"),
        (Refusal(Code.API_KEY_REVOKED, "x"), 401, "invalid_request_error", "api_key_revoked"),
        (Refusal(Code.API_KEY_EXPIRED, "x"), 401, "invalid_request_error", "api_key_expired"),
        (Refusal(Code.TENANT_SUSPENDED, "x"), 403, "invalid_request_error", "tenant_suspended"),
        (Refusal(Code.MODEL_NOT_FOUND, "x"), 404, "invalid_request_error", "model_not_found"),
        (Refusal(Code.ROUTE_CLOSED, "x"), 403, "invalid_request_error", "route_closed"),
        (Refusal(Code.UNKNOWN_ROUTE, "x"), 404, "invalid_request_error", "unknown_route"),
        (Refusal(Code.METHOD_NOT_ALLOWED, "x"), 405, "invalid_request_error", "method_not_allowed"),
        (Refusal(Code.INVALID_JSON, "x"), 400, "invalid_request_error", "invalid_json"),
        (Refusal(Code.BODY_TOO_LARGE, "x"), 413, "invalid_request_error", "body_too_large"),
        (Refusal(Code.UNSUPPORTED_ENCODING, "x"), 415, "invalid_request_error", "unsupported_encoding"),
        (Refusal(Code.REQUEST_EXCEEDS_TPM, "x"), 400, "invalid_request_error", "context_length_exceeded"),
        (limited(Rate.RPM), 429, "requests", "rate_limit_exceeded"),
        (limited(Rate.TPM), 429, "tokens", "rate_limit_exceeded"),
        (limited(Rate.CONCURRENCY), 429, "requests", "rate_limit_exceeded"),
        (spent(), 429, "insufficient_quota", "insufficient_quota"),
        (held(), 429, "tokens", "rate_limit_exceeded"),
        (BackendRejected(400, "x"), 400, "invalid_request_error", "backend_rejected"),
        (BackendRejected(404, "x"), 404, "invalid_request_error", "backend_rejected"),
        (Overloaded(FaultCode.QUEUE_FULL, "x"), 503, "server_error", "queue_full"),
        (StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, "x"), 503, "server_error", "ledger_unavailable"),
        (BackendFailed(), 502, "server_error", "backend_failed"),
        (Fault(FaultCode.INTERNAL, "x"), 500, "server_error", "internal_error"),
    ],
    ids=name_of,
)
def test_what_openai_clients_are_told(reason: Refusal | Fault, status: int, type_: str, code: str) -> None:
    error = told(reason, Dialect.OPENAI)

    assert shape_of(reason).status == status
    assert error == {"error": {"message": reason.sentence, "type": type_, "param": None, "code": code}}


@EVERY_REASON
def test_openai_bodies_have_all_four_fields(reason: Refusal | Fault) -> None:
    body = told(reason, Dialect.OPENAI)

    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert isinstance(body["error"]["code"], str)


@EVERY_REASON
def test_native_bodies_have_the_error_as_a_text_and_the_stable_code(reason: Refusal | Fault) -> None:
    assert told(reason, Dialect.NATIVE) == {"error": reason.sentence, "code": reason.code.value}


@EVERY_REASON
def test_the_stable_code_is_in_a_header(reason: Refusal | Fault) -> None:
    assert only(headers_of(reason), b"x-error-code") == reason.code.value.encode()


def test_the_offending_field_is_named_to_openai_clients() -> None:
    refusal = Refusal(Code.INVALID_REQUEST, "x", param="options.stop[2]")

    assert told(refusal, Dialect.OPENAI)["error"]["param"] == "options.stop[2]"


@EVERY_REASON
def test_a_401_challenges_and_nothing_else_does(reason: Refusal | Fault) -> None:
    challenge = only(headers_of(reason), b"www-authenticate")

    assert (challenge is not None) == (shape_of(reason).status == 401)


@pytest.mark.parametrize(
    ("reason", "challenge"),
    [
        (Refusal(Code.MISSING_API_KEY, "x"), b'Bearer realm="neuronetz-gateway"'),
        (Refusal(Code.INVALID_API_KEY, "x"), b'Bearer realm="neuronetz-gateway", error="invalid_token"'),
        (Refusal(Code.API_KEY_EXPIRED, "x"), b'Bearer realm="neuronetz-gateway", error="invalid_token"'),
        (Refusal(Code.API_KEY_REVOKED, "x"), b'Bearer realm="neuronetz-gateway", error="invalid_token"'),
        (Fault(FaultCode.KEY_CUT, "x"), b'Bearer realm="neuronetz-gateway", error="invalid_token"'),
    ],
    ids=name_of,
)
def test_the_challenge_tells_a_bad_key_from_none(reason: Refusal | Fault, challenge: bytes) -> None:
    assert only(headers_of(reason), b"www-authenticate") == challenge


@pytest.mark.parametrize(("wait_s", "header"), [(0, b"1"), (1, b"1"), (45, b"45"), (60, b"60"), (61, b"60")])
def test_a_rate_limit_says_when_to_come_again(wait_s: int, header: bytes) -> None:
    """The longest wait of a window is 61 s; SDKs do not take more than 60."""
    assert only(headers_of(limited(wait_s=wait_s)), b"retry-after") == header


@given(st.integers(62, 10**9), st.booleans())
def test_nobody_is_told_to_wait_longer_than_a_minute(wait_s: int, ours: bool) -> None:  # noqa: FBT001
    fault = Fault(FaultCode.OVERLOADED, "x", retry_after_s=wait_s)

    assert only(headers_of(fault if ours else limited(wait_s=wait_s)), b"retry-after") is None


@pytest.mark.parametrize("ends", [TOMORROW, None])
def test_a_spent_budget_is_not_to_be_tried_again(ends: datetime | None) -> None:
    headers = headers_of(spent(ends))

    assert only(headers, b"retry-after") is None
    assert only(headers, b"x-should-retry") == b"false"
    assert only(headers, b"x-budget-reset") == (b"2026-11-24T00:00:00Z" if ends else None)


def test_a_budget_that_is_only_held_is_a_wait() -> None:
    headers = headers_of(held())

    assert only(headers, b"retry-after") == b"2"
    assert only(headers, b"x-should-retry") is None
    assert only(headers, b"x-budget-reset") is None


@pytest.mark.parametrize("hours", [-11, 1, 14])
def test_the_reset_of_a_budget_is_told_in_utc(hours: int) -> None:
    headers = headers_of(spent(TOMORROW.astimezone(timezone(timedelta(hours=hours)))))

    assert only(headers, b"x-budget-reset") == b"2026-11-24T00:00:00Z"


@EVERY_REASON
def test_anthropic_errors_have_their_type_by_status_and_the_id_of_the_request(reason: Refusal | Fault) -> None:
    body = told(reason, Dialect.ANTHROPIC)
    status = shape_of(reason).status

    assert body == {
        "type": "error",
        "error": {"type": body["error"]["type"], "message": reason.sentence},
        "request_id": "req_1",
    }
    assert (body["error"]["type"] in ("api_error", "overloaded_error", "timeout_error")) == (status >= 500)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Refusal(Code.INVALID_REQUEST, "x"), "invalid_request_error"),
        (Refusal(Code.UNSUPPORTED_ENCODING, "x"), "invalid_request_error"),
        (Refusal(Code.INVALID_API_KEY, "x"), "authentication_error"),
        (Refusal(Code.CLOUD_MODEL, "x"), "permission_error"),
        (Refusal(Code.MODEL_NOT_FOUND, "x"), "not_found_error"),
        (Refusal(Code.BODY_TOO_LARGE, "x"), "request_too_large"),
        (limited(), "rate_limit_error"),
        (spent(), "rate_limit_error"),
        (held(), "rate_limit_error"),
        (Fault(FaultCode.QUEUE_FULL, "x"), "overloaded_error"),
        (Fault(FaultCode.BACKEND_TIMEOUT, "x"), "timeout_error"),
        (BackendFailed(code=FaultCode.STREAM_BROKEN), "api_error"),
    ],
    ids=name_of,
)
def test_the_types_of_anthropic_errors(reason: Refusal | Fault, kind: str) -> None:
    assert told(reason, Dialect.ANTHROPIC)["error"]["type"] == kind


def test_anthropic_rates_are_told_in_its_words_with_moments() -> None:
    rates = Rates(rpm=Standing(limit=60, remaining=59, reset_s=1), tpm=Standing(limit=1000, remaining=0, reset_s=3600))

    headers = anthropic_rate_headers(rates, datetime(2026, 11, 23, 23, 59, 58, 100_000, tzinfo=UTC))

    assert headers == [
        (b"anthropic-ratelimit-requests-limit", b"60"),
        (b"anthropic-ratelimit-requests-remaining", b"59"),
        (b"anthropic-ratelimit-requests-reset", b"2026-11-24T00:00:00Z"),
        (b"anthropic-ratelimit-tokens-limit", b"1000"),
        (b"anthropic-ratelimit-tokens-remaining", b"0"),
        (b"anthropic-ratelimit-tokens-reset", b"2026-11-24T00:59:59Z"),
    ]
    assert anthropic_rate_headers(NO_RATES, TOMORROW) == []


@EVERY_REASON
def test_what_fails_again_alike_forbids_to_try_it_and_tells_no_wait(reason: Refusal | Fault) -> None:
    hopeless = {"budget_exhausted", "call_too_long", "reader_too_slow", "prompt_log_unavailable"}

    assert only(headers_of(reason), b"x-should-retry") == (b"false" if reason.code in hopeless else None)
    assert only(headers_of(reason), b"retry-after") is None


def test_faults_with_a_wait_tell_it() -> None:
    assert only(headers_of(StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "x")), b"retry-after") == b"1"
    assert only(headers_of(BackendFailed(code=FaultCode.BACKEND_BUSY)), b"retry-after") == b"2"


def test_a_failure_in_a_stream_makes_clients_raise() -> None:
    fault = BackendFailed(code=FaultCode.STREAM_BROKEN)
    native, openai = last_words(fault, Dialect.NATIVE, "req_1"), last_words(fault, Dialect.OPENAI, "req_1")
    anthropic = last_words(fault, Dialect.ANTHROPIC, "req_1")

    assert anthropic.startswith(b"event: error\ndata: {")
    assert anthropic.endswith(b"}\n\n")
    assert json.loads(anthropic.removeprefix(b"event: error\ndata: ")) == told(fault, Dialect.ANTHROPIC)

    assert native.endswith(b"\n")
    assert native.count(b"\n") == 1
    assert json.loads(native)["error"] == fault.sentence
    assert openai.startswith(b"data: ")
    assert openai.endswith(b"\n\n")
    assert json.loads(openai.removeprefix(b"data: "))["error"]["code"] == "stream_broken"


@EVERY_REASON
def test_responses_has_the_errors_of_openai(reason: Refusal | Fault) -> None:
    assert told(reason, Dialect.RESPONSES) == told(reason, Dialect.OPENAI)


def test_a_failure_in_a_stream_of_responses_is_told_in_each_form_that_a_client_looks_for() -> None:
    fault = BackendFailed(code=FaultCode.STREAM_BROKEN)

    event, data, *rest = last_words(fault, Dialect.RESPONSES, "req_1").decode().split("\n")

    told_of = json.loads(data.removeprefix("data: "))
    assert event == "event: error"
    assert rest == ["", ""]
    assert told_of["type"] == "error"
    assert told_of["error"] == told(fault, Dialect.OPENAI)["error"]
    assert (told_of["message"], told_of["code"], told_of["param"]) == (fault.sentence, "stream_broken", None)
    assert isinstance(told_of["sequence_number"], int)


def test_a_sentence_cannot_break_the_line_it_is_told_in() -> None:
    fault = Fault(FaultCode.STREAM_BROKEN, 'a\n\ndata: [DONE]\r\n"\u2028')

    assert last_words(fault, Dialect.OPENAI, "req_1").count(b"\n") == 2
    assert last_words(fault, Dialect.RESPONSES, "req_1").count(b"\n") == 3
    assert last_words(fault, Dialect.NATIVE, "req_1").count(b"\n") == 1


@pytest.mark.parametrize(
    ("reset_s", "expected"),
    [(0, b"0s"), (1, b"1s"), (59, b"59s"), (60, b"1m0s"), (61, b"1m1s"), (360, b"6m0s")],
)
def test_rates_are_told_as_openai_tells_them(reset_s: int, expected: bytes) -> None:
    rates = Rates(
        rpm=Standing(limit=60, remaining=59, reset_s=reset_s),
        tpm=Standing(limit=150_000, remaining=149_984, reset_s=reset_s),
    )

    assert rate_headers(rates) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", expected),
        (b"x-ratelimit-limit-tokens", b"150000"),
        (b"x-ratelimit-remaining-tokens", b"149984"),
        (b"x-ratelimit-reset-tokens", expected),
    ]


def test_no_limit_means_no_header() -> None:
    assert rate_headers(NO_RATES) == []
    assert len(rate_headers(Rates(tpm=Standing(limit=1, remaining=0, reset_s=9)))) == 3


@pytest.mark.parametrize("dialect", Dialect)
def test_the_request_id_is_told_under_every_name_that_clients_look_for(dialect: Dialect) -> None:
    headers = id_headers(dialect, "req_1")

    assert only(headers, b"x-request-id") == b"req_1"
    assert only(headers, b"request-id") == (b"req_1" if dialect is Dialect.ANTHROPIC else None)


@EVERY_REASON
def test_headers_are_printable_ascii_in_lower_case(reason: Refusal | Fault) -> None:
    for name, value in headers_of(reason):
        assert name == name.lower()
        assert (name + value).decode("ascii").isprintable()
