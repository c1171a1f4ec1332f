"""Whether the books agree with the backend: every call's charge against the log of truth, call by call, as they end.

The backend's log and the audit are joined by request id every few seconds and then forgotten, so that neither the
backend's memory nor ours nor its file grows with the run. What the audit has not ended yet waits for the next time.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tests.e2e.house import House

_ENDS = """
    select replace(request_id::text, '-', '') as id, tenant_id::text as tenant,
        sum(prompt_tokens + output_tokens)::bigint as charged
    from audit
    where event in ('finished', 'reaped', 'corrected') and at > now() - interval '1 hour'
        and request_id = any (%s::uuid[])
    group by 1, 2
"""
_MOST_NAMED = 20


@attrs.define
class Books:
    """What was made and what was charged, so far."""

    house: House
    calls: int = 0
    """That reached the backend and have ended."""
    undercharged: list[str] = attrs.field(factory=list)
    """Request ids of calls that were charged less than the backend made; the first twenty."""
    undercharged_calls: int = 0
    resets: int = 0
    """Calls that were ended at the backend by a reset."""
    made: defaultdict[str, int] = attrs.field(factory=lambda: defaultdict(int))
    """Tokens by tenant id, by the backend's account."""
    ended: Counter[str] = attrs.field(factory=Counter)
    """Calls by how they ended, by the backend's account."""
    _waiting: dict[str, int] = attrs.field(factory=dict)

    @property
    def unaudited(self) -> int:
        """Calls of the backend whose end the audit does not have (yet)."""
        return len(self._waiting)

    def balance(self) -> None:
        """Takes in what has ended since the last time."""
        for entry in self.house.simulator.log(reset=True):
            if entry["kind"] == "inference" and entry["ended"] != "running" and entry["request_id"]:
                self._waiting[entry["request_id"]] = entry["prompt_tokens"] + entry["output_tokens"]
                self.resets += entry["hang_up_by"] == "rst"
                self.ended[entry["ended"]] += 1
                self.calls += 1
        os.truncate(self.house.simulator.truth, 0)  # it is written by appending, so this is safe while it runs
        if self._waiting:
            self._match(self.house.rows(_ENDS, list(self._waiting)))

    def _match(self, ends: Sequence[Mapping[str, Any]]) -> None:
        for end in ends:
            made = self._waiting.pop(end["id"])
            self.made[end["tenant"]] += made
            if end["charged"] < made:
                self.undercharged_calls += 1
                self.undercharged = [*self.undercharged, end["id"]][:_MOST_NAMED]

    def wrongs(self) -> Sequence[str]:
        """What does not add up at the end, a sentence each."""
        found = []
        if self.undercharged_calls:
            named = ", ".join(self.undercharged)
            found.append(f"{self.undercharged_calls} calls were charged less than the backend made: {named}.")
        if self.unaudited:
            found.append(f"{self.unaudited} calls reached the backend and have no end in the audit.")
        if self.resets:
            found.append(f"{self.resets} calls were ended at the backend by a reset.")
        used = {
            str(row["tenant_id"]): row["used"]
            for row in self.house.rows(
                "select tenant_id, used from budget_windows where kind = 2 and scope_id = tenant_id"
            )
        }
        short = [tenant for tenant, made in self.made.items() if used.get(tenant, 0) < made]
        if short:
            found.append(f"The ledger says less than the backend made for {len(short)} tenants: {', '.join(short)}.")
        overshoot = self.house.rows("select coalesce(sum(overshoot_tokens), 0)::bigint as n from audit")[0]["n"]
        if overshoot:
            found.append(f"Backends went {overshoot} tokens over what was held.")
        return found
