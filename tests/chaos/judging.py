"""Whether the four logs tell one story: each check names the promise, and every request that breaks it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import attrs

from domain.faults import FaultCode
from domain.refusals import Code
from entrypoints.http.problems import FAULTS, REFUSALS
from tests.chaos.cast import Cast, Span
from tests.chaos.clients import Intent
from tests.chaos.ledgers import Call, Ledgers
from tests.chaos.windows import Admitted, fullest
from tests.figures.table import Figure

_UNANSWERED = frozenset({FaultCode.INTERNAL.value, FaultCode.CLIENT_HUNG_UP.value})
PROPER = {reason.value: shape.status for table in (REFUSALS, FAULTS) for reason, shape in table.items()}
"""Each code a client may be told, and its status."""
_NOT_SERVED = frozenset(
    {
        *(code.value for code in Code if code is not Code.BACKEND_REJECTED),
        FaultCode.IDENTITY_UNAVAILABLE.value,
        FaultCode.LIMITER_UNAVAILABLE.value,
        FaultCode.LEDGER_UNAVAILABLE.value,
        FaultCode.QUEUE_FULL.value,
        FaultCode.QUEUE_TIMEOUT.value,
        FaultCode.NO_BACKEND.value,
        FaultCode.OVERLOADED.value,
    }
)
"""Codes that say that no backend was given the call."""
_LONGEST_S = 30.0
"""Before its hold, a call whose sending nobody remembers."""
_CLOCKS_S = 0.002
"""The reading of one clock by two programs."""


@attrs.frozen
class Wrong:
    """A broken promise."""

    figure: Figure | None
    sentence: str
    story: str = ""
    """The lines of all logs."""


Check = Callable[[Ledgers, Cast], Iterator[Wrong]]


def served_on_record(found: Ledgers, _who: Cast) -> Iterator[Wrong]:
    """What a backend saw was committed to the audit before."""
    for entry in found.nameless:
        yield Wrong(Figure.SERVED_WITHOUT_RECORD, f"The backend saw {entry.id} without a request id.")
    for call in found.at_backends():
        if len(call.started) != 1:
            yield Wrong(Figure.SERVED_WITHOUT_RECORD, f"{len(call.started)} rows `started`, not one.", str(call))
            continue
        committed_s = call.started[0]["committed_s"]
        if committed_s is None or committed_s > call.at_backend[0].started_at_s + _CLOCKS_S:
            yield Wrong(Figure.SERVED_WITHOUT_RECORD, "It was sent before its record was committed.", str(call))


def once(found: Ledgers, _who: Cast) -> Iterator[Wrong]:
    """Nothing is served twice, nothing closed twice."""
    for call in found.calls.values():
        if len(call.at_backend) > 1:
            yield Wrong(Figure.SERVED_OR_SETTLED_TWICE, "The backends saw it more than once.", str(call))
        if call.started and (len(call.closed) != 1 or len(call.started) != 1):
            closings = f"{len(call.started)} beginnings and {len(call.closed)} ends, not one of each."
            yield Wrong(Figure.SERVED_OR_SETTLED_TWICE, closings, str(call))
        reaped = bool(call.closed) and call.closed[0]["event"] == "reaped"
        if len(call.corrected) > reaped:
            yield Wrong(Figure.SERVED_OR_SETTLED_TWICE, "A correction that must not be.", str(call))
        if (call.closed or call.corrected) and not call.started:
            yield Wrong(Figure.SERVED_OR_SETTLED_TWICE, "An end without a beginning.", str(call))
    by_intent = Counter(call.intent.number for call in found.at_backends() if call.intent)
    for number, times in by_intent.items():
        if times > 1:
            calls = [str(call) for call in found.at_backends() if call.intent and call.intent.number == number]
            yield Wrong(
                Figure.SERVED_OR_SETTLED_TWICE,
                f"Intent {number} was sent once, served {times} times.",
                "\n".join(calls),
            )


def charged_rightly(found: Ledgers, _who: Cast) -> Iterator[Wrong]:
    """Charge <= hold; charge >= what the backend made, unless the wire lost it: then P and what passed."""
    for call in found.on_record():
        if call.charge > call.held:
            yield Wrong(Figure.OVERSPEND, "Charged more than was held.", str(call))
        if call.charge < call.made:
            yield Wrong(Figure.OVERSPEND, f"Charged {call.made - call.charge} less than was made.", str(call))
        if any(row["overshoot_tokens"] for row in (*call.closed, *call.corrected)):
            yield Wrong(Figure.OVERSPEND, "Overshoot, with backends that keep their caps.", str(call))
        if any(row["prompt_tokens"] + row["output_tokens"] > 0 for row in call.corrected):
            yield Wrong(Figure.OVERSPEND, "A correction that raises the charge.", str(call))


def windows_add_up(found: Ledgers, _who: Cast) -> Iterator[Wrong]:
    """Each window's `used` is the sum of the charges, and nothing is held."""
    charged: Counter[str] = Counter()
    for call in found.on_record():
        row = call.started[0]
        charged[row["tenant"]] += call.charge
        charged[found.budget_ids[row["key"]]] += call.charge
    used: defaultdict[tuple[str, int], int] = defaultdict(int)
    for window in found.windows:
        used[window["scope"], window["kind"]] += window["used"]
        if window["held"]:
            yield Wrong(Figure.HOLDS_LEFT_OPEN, f"Still held: {dict(window)}.")
    for (scope, kind), tokens in used.items():
        if tokens != charged[scope]:
            sentence = f"Windows of kind {kind} of {scope} say {tokens} used, the audit says {charged[scope]}."
            yield Wrong(Figure.OVERSPEND, sentence)
    for scope, tokens in charged.items():
        if tokens and (scope, 2) not in used:
            yield Wrong(Figure.OVERSPEND, f"{scope} was charged {tokens} and has no window.")


def within_rates(found: Ledgers, who: Cast) -> Iterator[Wrong]:
    """No minute has more calls or tokens than the limit says, by tenant and by key."""
    by_tenant: defaultdict[str, list[Call]] = defaultdict(list)
    by_key: defaultdict[str, list[Call]] = defaultdict(list)
    for call in found.on_record():
        if call.outcome != "not_sent":  # given back whole
            by_tenant[call.started[0]["tenant"]].append(call)
            by_key[call.started[0]["key"]].append(call)
    for tenant in who.tenants.values():
        for rate in ("rpm", "tpm"):
            admitted = [_admitted(call, tokens=rate == "tpm") for call in by_tenant[tenant.id]]
            yield from _too_full(f"{tenant.name} {rate}", admitted, partial(tenant.most, rate))
    for holder in who.holders:
        if holder.limits is not None and (most := holder.limits.rpm) is not None:
            admitted = [_admitted(call, tokens=False) for call in by_key[holder.key.id]]
            yield from _too_full(f"{holder.key.prefix} rpm", admitted, partial(_always, most))


def _always(limit: int, _from_s: float, _until_s: float) -> int:
    return limit


def _admitted(call: Call, *, tokens: bool) -> Admitted:
    until_s = call.started[0]["at_s"]
    from_s = call.intent.sent_s if call.intent else until_s - _LONGEST_S
    return Admitted(name=call.id, from_s=from_s, until_s=until_s, cost=call.charge if tokens else 1)


def _too_full(what: str, admitted: Sequence[Admitted], limit: Callable[[float, float], int]) -> Iterator[Wrong]:
    found = fullest(admitted, limit)
    if found is not None:
        sentence = f"{what}: {found.amount} in the minute from {found.from_s:.3f}, limit {found.limit}."
        yield Wrong(Figure.RATES_EXCEEDED, sentence, "\n    ".join(found.names))


def nobody_after(found: Ledgers, who: Cast) -> Iterator[Wrong]:
    """Nothing is held for a key once the command that revokes it has returned, nor for a tenant that is suspended."""
    revoked = {one.key.id: one.revoked_at_s for one in who.holders if one.revoked_at_s is not None}
    suspended = {tenant.id: tenant.suspended for tenant in who.tenants.values()}
    for call in found.on_record():
        row = call.started[0]
        if row["at_s"] > revoked.get(row["key"], float("inf")):
            yield Wrong(Figure.ADMITTED_AFTER_REVOKE, "Admitted after its key was revoked.", str(call))
        if any(_within(row["at_s"], span) for span in suspended.get(row["tenant"], ())):
            yield Wrong(Figure.ADMITTED_AFTER_REVOKE, "Admitted while its tenant was suspended.", str(call))


def _within(at_s: float, span: Span) -> bool:
    return span.from_s < at_s < span.until_s


def nobody_meanwhile(spans: Sequence[tuple[str, Span]]) -> Check:
    """No call that began and was answered while a store was unusable was answered with 200."""

    def check(found: Ledgers, _who: Cast) -> Iterator[Wrong]:
        for intent in found.intents:
            if intent.seen.status != 200:
                continue
            for store, span in spans:
                if span.from_s < intent.sent_s and intent.seen.head_at_s < span.until_s:
                    call = found.calls.get(intent.seen.request_id)
                    yield Wrong(Figure.ADMITTED_WITHOUT_STORE, f"Served while {store} was unusable.", str(call))

    return check


def told_properly(deaths_s: Sequence[float]) -> Check:
    """Each client was told what is true, with a status and a code that we know, in time.

    A refusal is told before what it held is given back; if its gateway is killed in between, the hold is charged.
    """

    def check(found: Ledgers, _who: Cast) -> Iterator[Wrong]:
        for intent in found.intents:
            call = found.calls.get(intent.seen.request_id)
            sentence = _improper(intent, call, deaths_s)
            if sentence:
                yield Wrong(None, sentence, f"{intent}\n    {call}")

    return check


def _improper(intent: Intent, call: Call | None, deaths_s: Sequence[float]) -> str:
    seen = intent.seen
    if intent.hung:
        return "It had no end."
    if not seen.status:
        return ""
    return _ill_served(intent, call) if seen.status == 200 else _ill_refused(intent, call, deaths_s)


def _ill_served(intent: Intent, call: Call | None) -> str:
    seen = intent.seen
    if call is None or not call.started:
        return "Served without a record."
    whole = not seen.left and not seen.broken and (not intent.ask.streamed or intent.ask.ended(seen))
    return f"Served whole, and on record as {call.outcome}." if whole and call.outcome not in _WHOLE else ""


def _ill_refused(intent: Intent, call: Call | None, deaths_s: Sequence[float]) -> str:
    seen = intent.seen
    if seen.code == Code.BACKEND_REJECTED.value:
        return "The backend refused what the gateway had let through."
    if seen.code in _UNANSWERED or PROPER.get(seen.code) != seen.status:
        return f"Status {seen.status} with code {seen.code!r}."
    if seen.code in _NOT_SERVED and call is not None and (call.at_backend or _charged_in_life(call, deaths_s)):
        return f"Told {seen.code}, and served or charged all the same."
    return ""


def _charged_in_life(call: Call, deaths_s: Sequence[float]) -> bool:
    """Whether it was charged, and not because a gateway was killed before it could say that nothing was due."""
    if call.outcome != "reaped":
        return call.charge > 0
    began_s, ended_s = call.started[0]["at_s"], call.closed[0]["at_s"]
    return not any(began_s < death_s < ended_s for death_s in deaths_s)


_WHOLE = frozenset({"done", "hung_up", "reader_too_slow", "reaped"})
"""How a call may end on record whose client has read it all. Hung up: the client goes with the last byte."""
ALWAYS: Sequence[Check] = (
    served_on_record, once, charged_rightly, windows_add_up, within_rates, nobody_after
)  # fmt: skip


def wrongs(
    found: Ledgers, who: Cast, unusable: Sequence[tuple[str, Span]], deaths_s: Sequence[float]
) -> Sequence[Wrong]:
    """Everything that is wrong.

    Args:
        found: the four logs.
        who: the tenants and the holders of keys.
        unusable: which store was surely unusable, and when.
        deaths_s: when gateways were killed; Unix seconds.
    """
    checks = (*ALWAYS, told_properly(deaths_s), nobody_meanwhile(unusable))
    return [wrong for check in checks for wrong in check(found, who)]
