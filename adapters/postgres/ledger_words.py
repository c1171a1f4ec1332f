"""Holds, settlements and verdicts as the SQL function `neuronetz.ledger` reads and writes them: JSON.

Everything is encoded when it is handed over and not when its batch is built, so what cannot be said fails its own
caller and nobody else's batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from domain.budgets import Window
from domain.limits import Scope
from domain.ports.budget_ledger import Granted, HoldRequest, HoldVerdict, Settlement, Spent, Stale
from domain.ports.limit_store import RecentCall, TenantFacts

MAX_TOKENS = 10**12
"""More than any context has, and far from where sums of bigints overflow and would fail a whole batch."""

_encode = msgspec.json.Encoder().encode
_NUL = b"\\u0000"


class _Verdict(msgspec.Struct):
    verdict: Literal["granted", "spent", "stale"]
    output_tokens: int = 0
    scope: Scope = Scope.TENANT
    window: Window = Window.TOTAL
    limit: int = 0
    used: int = 0
    held: int = 0
    ends: int | None = None


class _RecentCall(msgspec.Struct):
    request_id: str
    key_id: str
    age_s: float
    tokens: int
    open: bool


class _TenantFacts(msgspec.Struct):
    epoch: int
    recent: list[_RecentCall]
    generations: list[tuple[str, int]]


_verdicts = msgspec.json.Decoder(list[_Verdict])
_facts = msgspec.json.Decoder(_TenantFacts)


def hold_words(request: HoldRequest) -> bytes:
    """One hold.

    Raises:
        ValueError: PostgreSQL could not take it.
    """
    if max(request.prompt_tokens, request.output_tokens) > MAX_TOKENS:
        raise ValueError("A hold of so many tokens cannot be meant.")
    return _checked(
        _encode(
            {
                "request_id": request.request_id,
                "tenant_id": request.tenant_id,
                "key_id": request.key_id,
                "key_prefix": request.key_prefix,
                "epoch": request.epoch,
                "prompt_tokens": request.prompt_tokens,
                "output_tokens": request.output_tokens,
                "output_factor": request.output_factor,
                "route": request.route,
                "model": request.model,
                "address": request.address,
            }
        )
    )


def settlement_words(settlement: Settlement) -> bytes:
    """One settlement.

    Raises:
        ValueError: PostgreSQL could not take it.
    """
    charge = settlement.charge
    return _checked(
        _encode(
            {
                "request_id": settlement.request_id,
                "tenant_id": settlement.tenant_id,
                "outcome": settlement.outcome,
                "prompt_tokens": min(charge.prompt, MAX_TOKENS),
                "output_tokens": min(charge.output, MAX_TOKENS),
                "overshoot_tokens": min(charge.overshoot, MAX_TOKENS),
                "backend": settlement.backend,
                "status": settlement.status,
                "code": settlement.code,
                "bytes_out": settlement.bytes_out,
                "queued_ms": settlement.queued_ms,
                "first_byte_ms": settlement.first_byte_ms,
                "duration_ms": settlement.duration_ms,
            }
        )
    )


def _checked(words: bytes) -> bytes:
    if _NUL in words:
        raise ValueError("PostgreSQL keeps no text with a NUL character.")
    return words


def batch_words(process_id: str, settles: Sequence[bytes], holds: Sequence[bytes]) -> bytes:
    """One batch."""
    return b'{"process":"%b","settles":[%b],"holds":[%b]}' % (process_id.encode(), b",".join(settles), b",".join(holds))


def read_verdicts(words: bytes, hold_count: int) -> Sequence[HoldVerdict]:
    """One verdict for each hold of the batch, in its order.

    Raises:
        ValueError: these are no verdicts on that many holds.
    """
    try:
        said = _verdicts.decode(words)
    except msgspec.DecodeError as error:
        raise ValueError(f"The ledger answered something else: {error}") from error
    if len(said) != hold_count:
        raise ValueError(f"The ledger answered {len(said)} of {hold_count} holds.")
    return [_verdict(one) for one in said]


def _verdict(said: _Verdict) -> HoldVerdict:
    match said.verdict:
        case "granted":
            return Granted(output_tokens=said.output_tokens)
        case "stale":
            return Stale()
        case "spent":
            return Spent(
                scope=said.scope,
                window=said.window,
                limit=said.limit,
                used=said.used,
                held=said.held,
                ends=None if said.ends is None else datetime.fromtimestamp(said.ends, UTC),
            )


def read_facts(words: str) -> TenantFacts:
    """What `neuronetz.tenant_facts` says."""
    facts = _facts.decode(words)
    return TenantFacts(
        epoch=facts.epoch,
        recent=[
            RecentCall(request_id=c.request_id, key_id=c.key_id, age_s=c.age_s, tokens=c.tokens, open=c.open)
            for c in facts.recent
        ],
        generations=facts.generations,
    )
