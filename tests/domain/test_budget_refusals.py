"""A budget that refuses is told as spent or as held; the difference is what the caller should do."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import assume, given
from hypothesis import strategies as st

from domain.budgets import Window
from domain.limits import Scope
from domain.ports.budget_ledger import HoldRequest, Spent

TOKENS = st.integers(0, 10**9)


def a_request(prompt: int, output: int, factor: int) -> HoldRequest:
    return HoldRequest(
        request_id="r",
        tenant_id="t",
        key_id="k",
        key_prefix="nz_k",
        epoch=0,
        prompt_tokens=prompt,
        output_tokens=output,
        output_factor=factor,
        route="/api/chat",
        model="llama3.2:latest",
        address="192.0.2.7",
    )


@given(used=TOKENS, held=TOKENS, limit=TOKENS, prompt=TOKENS, output=TOKENS, factor=st.integers(1, 3))
def test_a_refusal_whose_budget_would_do_without_the_holds_is_told_as_held(
    used: int, held: int, limit: int, prompt: int, output: int, factor: int
) -> None:
    least = a_request(prompt, output, factor).least_tokens
    assume(used + held + least > limit)  # it was refused
    refused = Spent(
        scope=Scope.KEY,
        window=Window.DAILY,
        limit=limit,
        used=used,
        held=held,
        ends=datetime(2026, 11, 24, tzinfo=UTC),
    )

    assert refused.only_held(least) == (limit - used >= prompt + (factor if output else 0))
