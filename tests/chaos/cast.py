"""Who takes part: tenants whose limits bind all the time, their keys, and what an operator has changed meanwhile.

roomy    limits that are set and hardly bind: most of what is served
calls    few requests a minute, and fewer for one of its keys
tokens   few tokens a minute
slots    few at once
spent    budgets that are nearly used up, and raised now and then
turning  keys that are revoked and replaced
paused   suspended and resumed
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import attrs
import msgspec

from domain.budgets import Budgets
from domain.limits import Limits
from domain.policies import Policy
from tests.bench.stage import make_keys
from tests.e2e.house import House, Key

CHAT, LONG, EMBED = "chaos-chat", "chaos-long", "chaos-embed"
FIRST_BUDGET = 1_500
_MANY = Limits(rpm=2_000, tpm=400_000, concurrency=40)
_LIMITS = {
    "roomy-1": _MANY,
    "roomy-2": _MANY,
    "calls": attrs.evolve(_MANY, rpm=40),
    "tokens": attrs.evolve(_MANY, tpm=3_000),
    "slots": attrs.evolve(_MANY, concurrency=3),
    "spent": _MANY,
    "turning": _MANY,
    "paused": _MANY,
}
_WEIGHTS = {"roomy-1": 2, "roomy-2": 2, "calls": 3}
_KEYS_EACH = 2


def write_models(place: Path) -> Path:
    """The backends' catalogue, for `--models`."""
    catalogue = [
        {"name": f"{CHAT}:latest"},
        {"name": f"{LONG}:latest", "natural_tokens": 150},
        {"name": f"{EMBED}:latest", "capabilities": ["embedding"], "context_length": 512},
    ]
    place.write_bytes(msgspec.json.encode(catalogue))
    return place


@attrs.frozen(kw_only=True)
class Span:
    """From when until when something surely held, Unix time."""

    from_s: float
    until_s: float = float("inf")


@attrs.frozen(kw_only=True)
class InForce:
    """Limits that may have been in force in a span."""

    limits: Limits
    from_s: float = 0.0
    until_s: float = float("inf")


@attrs.define(kw_only=True, eq=False)
class Tenant:
    """A tenant, and what was changed of it."""

    name: str
    id: str
    history: list[InForce]
    suspended: list[Span] = attrs.field(factory=list)
    """Surely: from the end of one command to the beginning of the other."""
    changing: bool = False

    def most(self, rate: str, from_s: float, until_s: float) -> int:
        """The largest limit that may have been in force in a span."""
        found: list[int] = [
            getattr(one.limits, rate) for one in self.history if one.from_s < until_s and one.until_s > from_s
        ]
        return max(found)


@attrs.define(kw_only=True, eq=False)
class Holder:
    """Who holds a key, which an operator may revoke."""

    key: Key
    tenant: Tenant
    limits: Limits | None = None
    """The key's own; they never change."""
    revoked_at_s: float | None = None
    """When the command that revoked it had returned."""
    doubtful: bool = False
    """A command that revokes it has begun, and may have done so."""


@attrs.define(kw_only=True)
class Cast:
    """All of them. Keys only ever come: what was revoked is still used by those who hold it."""

    tenants: dict[str, Tenant]
    holders: list[Holder]
    budget: int = FIRST_BUDGET
    _numbers: itertools.count[int] = attrs.field(factory=itertools.count)

    def anyone(self, chance: random.Random) -> Holder:
        """One of them; of those whose key is good no longer, rarely."""
        living = [one for one in self.holders if not one.doubtful or chance.random() < 0.1]
        return chance.choices(living, [_WEIGHTS.get(one.tenant.name, 1) for one in living])[0]

    def of(self, tenant: str) -> Sequence[Holder]:
        """Those of a tenant whose keys are good."""
        return [one for one in self.holders if one.tenant.name == tenant and not one.doubtful]

    def new_name(self) -> str:
        """A name that no key of this run has."""
        return f"again-{next(self._numbers)}"


def make_cast(house: House) -> Cast:
    """Makes tenants and keys."""
    wanted = [(name, Policy(limits=limits, budgets=_budgets(name))) for name, limits in _LIMITS.items()]
    keys = make_keys(house, [one for one in wanted for _ in range(_KEYS_EACH)])
    tenants = {
        key.tenant: Tenant(name=key.tenant, id=key.tenant_id, history=[InForce(limits=_LIMITS[key.tenant])])
        for key in keys
    }
    holders = [Holder(key=key, tenant=tenants[key.tenant]) for key in keys]
    few = house.new_key("calls", key_policy=Policy(limits=Limits(rpm=10)))
    holders.append(Holder(key=few, tenant=tenants["calls"], limits=Limits(rpm=10)))
    return Cast(tenants=tenants, holders=holders)


def _budgets(tenant: str) -> Budgets:
    """Budgets of the tenant with tight ones; a wide one for all others, so that it is looked at."""
    return Budgets(daily=FIRST_BUDGET) if tenant == "spent" else Budgets(total=10**9)
