"""The four accounts of an outage, joined: what clients were told, what the backend did, the ledger, and the audit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.e2e.house import House, Key
from tests.e2e.outages.asking import Told
from tests.soak.leftovers import await_none

LEASE_ENDS_WITHIN_S = 35.0
"""A slot that was restored for a call which ended meanwhile is free when its lease of 30 s has run out."""
_ENDS = """
    select replace(request_id::text, '-', '') as id,
        count(*) filter (where event = 'started') as started,
        count(*) filter (where event = 'finished') as finished,
        count(*) filter (where event in ('reaped', 'corrected')) as mended,
        coalesce(sum(prompt_tokens + output_tokens) filter (where event <> 'started'), 0)::bigint as charged
    from audit where tenant_id = %s and event in ('started', 'finished', 'reaped', 'corrected')
    group by 1
"""


def inferences(house: House) -> Sequence[dict[str, Any]]:
    """What the backend did, by its own log of truth."""
    return [one for one in house.simulator.log() if one["kind"] == "inference"]


def begun_between(house: House, told: Sequence[Told], from_s: float, to_s: float) -> Sequence[str]:
    """Calls that began at the backend in that time, of those that were not sent before it."""
    earlier = {one.request_id for one in told if one.sent_at_s < from_s}
    return [
        one["request_id"]
        for one in inferences(house)
        if from_s < one["started_at_s"] < to_s and one["request_id"] not in earlier
    ]


def disagreements(
    house: House, key: Key, *, exact: bool = True, within_s: float = LEASE_ENDS_WITHIN_S
) -> Sequence[str]:
    """Waits until everything has ended; then what does not agree about a tenant, a sentence each.

    Args:
        house: where.
        key: of the tenant.
        exact: whether every charge is what was made; not so where answers broke off, and what they cost is estimated.
        within_s: how long slots, turns and holds may take to be free.
    """
    found = list(await_none(house, within_s))
    ends = {row["id"]: row for row in house.rows(_ENDS, key.tenant_id)}
    all_made = inferences(house)
    twice = [id_ for id_, times in Counter(one["request_id"] for one in all_made).items() if times > 1]
    if twice:
        found.append(f"{len(twice)} calls were made twice: {twice[:3]}")
    if unknown := {one["request_id"] for one in all_made} - _audited(house) - _probes(house):
        found.append(f"{len(unknown)} calls were made that the audit does not know: {sorted(unknown)[:3]}")
    made = {one["request_id"]: one["prompt_tokens"] + one["output_tokens"] for one in all_made}
    for id_, row in ends.items():
        if (row["started"], row["finished"], row["mended"]) != (1, 1, 0):
            found.append(
                f"{id_} was started {row['started']}, finished {row['finished']}, mended {row['mended']} times"
            )
        if row["charged"] < made.get(id_, 0) or (exact and row["charged"] != made.get(id_, 0)):
            found.append(f"{id_} was charged {row['charged']}, and the backend made {made.get(id_, 0)}")
    charged = sum(row["charged"] for row in ends.values())
    if house.used(key) != charged:
        found.append(f"the ledger says {house.used(key)}, and the audit {charged}")
    return found


def _audited(house: House) -> set[str]:
    rows = house.rows("select distinct replace(request_id::text, '-', '') as id from audit where event = 'started'")
    return {row["id"] for row in rows}


def _probes(house: House) -> set[str]:
    """Calls of the gateways' own, which ask a silent model for a sign of life; the log alone has them."""
    lines = [line for gateway in house.gateways for line in gateway.text().splitlines() if "model_probed" in line]
    return {json.loads(line)["request_id"].replace("-", "") for line in lines}
