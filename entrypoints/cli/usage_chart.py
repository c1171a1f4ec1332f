"""Usage over time as a table with a small chart, and all tenants as a table.

███████▒▒▒   tokens of prompts, tokens of answers; the longest bar is the most that one span had
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC

from domain.ports.usage_reader import Span, SpanUse, TenantUse
from entrypoints.cli.printing import Column, number, print_table
from entrypoints.cli.shapes import Document

_WIDTH = 24
_FORMS = {Span.HOUR: "%Y-%m-%d %H:00", Span.DAY: "%Y-%m-%d", Span.MONTH: "%Y-%m"}
_OVER_TIME = [
    Column("From (UTC)", whole=True),
    Column("", picture=True, whole=True),
    Column("Calls", "right"),
    Column("Tokens in", "right"),
    Column("Tokens out", "right"),
    Column("Refused", "right"),
]
_BY_TENANT = [
    Column("Tenant"),
    Column("State", whole=True),
    Column("Tokens\ntoday", "right"),
    Column("of the\nday's", "right"),
    Column("Tokens\nthis month", "right"),
    Column("of the\nmonth's", "right"),
    Column("Held", "right"),
]


def print_over_time(title: str, by: Span, uses: Sequence[SpanUse]) -> None:
    """One row a span."""
    print_table(
        title,
        _OVER_TIME,
        [
            [
                use.starts.astimezone(UTC).strftime(_FORMS[by]),
                bar,
                number(use.calls),
                number(use.prompt_tokens),
                number(use.output_tokens),
                number(use.refused),
            ]
            for use, bar in zip(uses, bars(uses), strict=True)
        ],
    )


def print_by_tenant(uses: Sequence[TenantUse]) -> None:
    """One row a tenant."""
    print_table(
        "Tenants, by tokens used this month",
        _BY_TENANT,
        [
            [
                use.tenant_name,
                use.state,
                number(use.today),
                percent(use.today, use.daily),
                number(use.this_month),
                percent(use.this_month, use.monthly),
                number(use.held),
            ]
            for use in uses
        ],
    )


def percent(amount: int, budget: int | None) -> str:
    """How much of a budget, rounded down; a dash where none is set."""
    return "-" if budget is None else f"{100 * amount // budget}%"


def span_document(use: SpanUse) -> Document:
    """A span as a JSON object."""
    return {
        "starts": use.starts,
        "calls": use.calls,
        "prompt_tokens": use.prompt_tokens,
        "output_tokens": use.output_tokens,
        "refused": use.refused,
    }


def tenant_use_document(use: TenantUse) -> Document:
    """A tenant as a JSON object; null where no budget is set."""
    return {
        "tenant": use.tenant_name,
        "state": use.state,
        "tokens_today": use.today,
        "daily_budget": use.daily,
        "tokens_this_month": use.this_month,
        "monthly_budget": use.monthly,
        "tokens_held": use.held,
    }


def bars(uses: Sequence[SpanUse]) -> Sequence[str]:
    """A bar for each. What is there at all shows at least one mark; what a correction took away shows none."""
    marks = ("█", "▒") if "utf" in (sys.stdout.encoding or "").lower() else ("#", "+")
    amounts = [(max(0, use.prompt_tokens), max(0, use.output_tokens)) for use in uses]
    most = max(map(sum, amounts), default=0)
    return ["".join(mark * _marks(amount, most) for mark, amount in zip(marks, pair, strict=True)) for pair in amounts]


def _marks(amount: int, most: int) -> int:
    return max(1, amount * _WIDTH // most) if amount else 0
