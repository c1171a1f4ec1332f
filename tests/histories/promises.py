"""What must be true after every step, one function a promise. Each is told what was seen and what had been promised."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from domain.budgets import Budgets
from domain.limits import WINDOW_S, Limits
from tests.histories.books import Seen, SeenLine
from tests.histories.gateways import Call
from tests.histories.limiter import Kept

WINDOW_MS = WINDOW_S * 1000
_CLOSING = ("finished", "reaped")
_ENDS = (*_CLOSING, "corrected")

LimitsOf = Callable[[Call], Limits]


def no_budget_is_ever_overdrawn(before: Seen, now: Seen, budgets: Mapping[str, Budgets]) -> None:
    """I1. A limit may be lowered under what is used already; from then on nothing may be added."""
    former = {one.name: one.used + one.held for one in before.windows}
    for one in now.windows:
        assert one.used >= 0 and one.held >= 0
        limit = _most(budgets[one.scope_id], one.kind)
        assert one.used + one.held <= max(former.get(one.name, 0), limit), f"{one} of {limit}"


def every_token_in_the_windows_belongs_to_a_call(now: Seen, budget_ids: Mapping[str, str]) -> None:
    """I2. Held is the sum of the open holds, used the sum of the charges on record, in the windows they began in."""
    expected: defaultdict[tuple[str, str, int, int], list[int]] = defaultdict(lambda: [0, 0])
    began = {line.request_id: line for line in now.lines if line.event == "started"}
    for line in now.lines:
        if line.event in _ENDS:
            start = began[line.request_id]
            day_s, month_s = _starts(start.at_s)
            for name in _six(line.tenant_id, budget_ids[line.key_id], day_s, month_s):
                expected[name][0] += line.tokens
    for hold in now.holds:
        if hold.state == "open":
            for name in _six(hold.tenant_id, hold.budget_id, hold.day_s, hold.month_s):
                expected[name][1] += hold.tokens
    seen = {one.name: [one.used, one.held] for one in now.windows if one.used or one.held}
    assert seen == {name: amounts for name, amounts in expected.items() if any(amounts)}


def whoever_was_served_is_on_record_once(now: Seen, calls: Iterable[Call]) -> None:
    """I3 and I13. And nothing is on record that was not granted."""
    started = Counter(line.request_id for line in now.lines if line.event == "started")
    assert started == Counter(call.request_id for call in calls if call.committed is not None)
    held = {line.request_id: line.held_tokens for line in now.lines if line.event == "started"}
    for call in calls:
        if call.granted is not None:
            assert held[call.request_id] == call.granted.hold


def every_hold_is_closed_once(now: Seen) -> None:
    """I4. Open or closed, never both; a correction comes after the reaper alone, once, and never raises a charge."""
    lines = by_request(now.lines)
    open_now = {hold.request_id for hold in now.holds if hold.state == "open"}
    for request_id, mine in lines.items():
        events = [line.event for line in mine]
        closings = [event for event in events if event in _CLOSING]
        assert len(closings) == (0 if request_id in open_now else 1), (request_id, events)
        corrections = [line for line in mine if line.event == "corrected"]
        assert len(corrections) <= ("reaped" in events)
        assert all(line.tokens <= 0 for line in corrections)


def a_charge_is_what_room_8_made_of_it(now: Seen, calls: Iterable[Call]) -> None:
    """I5. Never above the hold, and never below what the backend counted, unless the backend broke its cap."""
    lines = by_request(now.lines)
    for call in calls:
        mine = lines.get(call.request_id, [])
        ends = [line for line in mine if line.event in _ENDS]
        if not ends:
            continue
        charged, held = sum(line.tokens for line in ends), ends[0].held_tokens
        assert 0 <= charged <= held
        if not call.settled_sanely:
            continue
        if call.backend_honest:
            assert charged >= call.made
        if ends[-1].event == "reaped":
            assert charged == held
        elif call.charge is not None:
            assert charged == call.charge.tokens


def no_60_seconds_hold_more_than_the_limit(newest: Call, calls: Iterable[Call]) -> None:
    """I6 and I12, when a call is admitted or granted: in every window that it ends, and for tenant and key."""
    assert newest.verdict is not None
    for limits, mine in _scopes(newest, calls):
        inside = [call for call in mine if newest.at_ms - WINDOW_MS <= call.at_ms <= newest.at_ms]
        counted = sum(limits(call).rpm is not None for call in inside)
        assert counted <= _limit(limits(newest).rpm), f"{counted} calls of {limits(newest).rpm} a minute"
        tokens = sum(call.tokens for call in inside if limits(call).tpm is not None)
        assert tokens <= _limit(limits(newest).tpm), f"{tokens} tokens of {limits(newest).tpm} a minute"


def no_more_calls_at_once_than_slots(newest: Call, calls: Iterable[Call], now_ms: int) -> None:
    """I7 and I12, when a call is admitted. A lease that ran out, since nothing was heard for 30 s, has no slot."""
    for limits, mine in _scopes(newest, calls):
        alive = sum(call.lease_until_ms > now_ms for call in mine)
        most = limits(newest).concurrency
        assert alive <= _limit(most), f"{alive} calls of {most} at once"


def a_refusal_changes_no_counter(before: Sequence[Kept], after: Sequence[Kept]) -> None:
    """I8."""
    assert list(after) == list(before)


def the_same_request_is_never_charged_twice(before: Sequence[Kept], after: Sequence[Kept]) -> None:
    """I9, in the limit store; in the ledger it is I2 to I4."""
    assert list(after) == list(before)


def nobody_changes_what_is_anothers(before: Seen, now: Seen, kept_before: Sequence[Kept], kept: Sequence[Kept]) -> None:
    """I14, of a tenant that the step had nothing to do with."""
    assert now == before
    # Time alone may take from a window or end a lease; nothing may add.
    for former, present in zip(kept_before, kept, strict=True):
        assert present.calls <= former.calls and present.tokens <= former.tokens and present.leases <= former.leases


def by_request(lines: Iterable[SeenLine]) -> dict[str, list[SeenLine]]:
    """The audit's rows of each request, in order."""
    found: defaultdict[str, list[SeenLine]] = defaultdict(list)
    for line in lines:
        found[line.request_id].append(line)
    return found


def _most(budgets: Budgets, kind: int) -> float:
    return _limit((budgets.daily, budgets.monthly, budgets.total)[kind])


def _limit(most: int | None) -> float:
    return math.inf if most is None else most


def _six(tenant_id: str, budget_id: str, day_s: int, month_s: int) -> Iterable[tuple[str, str, int, int]]:
    for scope_id in (tenant_id, budget_id):
        yield from ((tenant_id, scope_id, kind, at) for kind, at in enumerate((day_s, month_s, 0)))


def _starts(at_s: float) -> tuple[int, int]:
    day = datetime.fromtimestamp(at_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(day.timestamp()), int(day.replace(day=1).timestamp())


def _scopes(newest: Call, calls: Iterable[Call]) -> Iterable[tuple[LimitsOf, Sequence[Call]]]:
    of_tenant = [call for call in calls if call.caller.tenant_id == newest.caller.tenant_id and call.counts]
    of_key = [call for call in of_tenant if call.caller.key_id == newest.caller.key_id]
    yield _tenant_limits, of_tenant
    yield _key_limits, of_key


def _tenant_limits(call: Call) -> Limits:
    return call.caller.tenant_policy.limits


def _key_limits(call: Call) -> Limits:
    return call.caller.key_policy.limits
