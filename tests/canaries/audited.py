"""What must hold in the audit of a tenant's calls, however they ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.e2e.house import House, Key
from tests.soak.books import Books

_EVENTS = """
    select replace(request_id::text, '-', '') as id, array_agg(event order by event) as events,
        sum(case when event <> 'started' then prompt_tokens + output_tokens end)::bigint as charged,
        max(outcome) as outcome
    from audit where event <> 'admin' and (tenant_id = %s or event = 'refused') group by 1
"""
_WHOLE = (["finished", "started"], ["reaped", "started"], ["refused"])
_REFUSED_AFTER_ALL = ["finished", "refused", "started"]
"""The answer about the hold was lost: the call was refused, and the hold was closed with nothing charged."""


def wrongs_of(house: House, key: Key, told: Iterable[str], *, killed: bool = False) -> Sequence[str]:
    """What does not add up, a sentence each.

    Args:
        house: its books.
        key: whose tenant made all the calls.
        told: request ids that clients have seen.
        killed: gateways were; a kernel resets the connections of a killed program that has not read all of them.
    """
    rows = house.rows(_EVENTS, key.tenant_id)
    known = {row["id"] for row in rows}
    found = [f"{one} was answered and is not in the audit" for one in told if one and one not in known]
    for row in rows:
        if row["events"] == _REFUSED_AFTER_ALL:
            if row["charged"]:
                found.append(f"{row['id']} was refused and charged {row['charged']}")
        elif row["events"] not in _WHOLE:
            found.append(f"{row['id']} has {row['events']}")
    charged = sum(row["charged"] or 0 for row in rows)
    if house.used(key) != charged:
        found.append(f"the ledger says {house.used(key)}, the audit {charged}")
    books = Books(house)
    books.balance()
    if killed:
        books.resets = 0
    return [*found, *books.wrongs()]
