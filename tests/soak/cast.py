"""Who takes part in a long run: models, tenants with their keys, and which key a call is sent with.

steady     limits that never bind; most of the traffic
hurried    30 requests a minute: mostly refused
spent      a total budget that is soon used up: mostly refused
paused     suspended and resumed again and again
turning    keys that are rotated, revoked and changed while they are used
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import attrs
import msgspec

from domain.budgets import Budgets
from domain.limits import Limits
from domain.policies import Policy
from tests.bench.stage import NEVER_BINDING, make_keys
from tests.e2e.house import House, Key

CHAT, LONG, BROKEN, EMBED = "soak-chat", "soak-long", "soak-broken", "soak-embed"
LONG_TOKENS = 300
_STEADY_TENANTS = 12


def write_models(place: Path) -> Path:
    """The backend's catalogue, for `--models`."""
    catalogue = [
        {"name": f"{CHAT}:latest"},
        {"name": f"{LONG}:latest", "natural_tokens": LONG_TOKENS},
        {"name": f"{BROKEN}:latest"},
        {"name": f"{EMBED}:latest", "capabilities": ["embedding"], "context_length": 512},
    ]
    place.write_bytes(msgspec.json.encode(catalogue))
    return place


@attrs.define(eq=False)
class Holder:
    """Who holds a key, which an operator may replace meanwhile."""

    key: Key
    changing: bool = False
    """A change of it is under way, so calls of it may end in any proper way."""
    changed_at_s: float = 0.0

    def unsettled_since(self, sent_at_s: float) -> bool:
        """Whether a call sent then may have met a change."""
        return self.changing or self.changed_at_s >= sent_at_s


@attrs.frozen(kw_only=True)
class Cast:
    """All of them."""

    steady: Sequence[Holder]
    hurried: Holder
    spent: Holder
    paused: Holder
    turning: Sequence[Holder]

    def anyone(self, chance: random.Random) -> Holder:
        """One of those whose calls are served."""
        return chance.choice([*self.steady, *self.turning])


def make_cast(house: House) -> Cast:
    """Makes tenants and keys."""
    steady = [(f"steady-{number // 2}", NEVER_BINDING) for number in range(2 * _STEADY_TENANTS)]
    others = [
        ("hurried", Policy(limits=Limits(rpm=30))),
        ("spent", Policy(budgets=Budgets(total=3000))),
        ("paused", NEVER_BINDING),
        *[("turning", NEVER_BINDING)] * 3,
    ]
    holders = [Holder(key) for key in make_keys(house, [*steady, *others])]
    served, (hurried, spent, paused, *turning) = holders[: len(steady)], holders[len(steady) :]
    return Cast(steady=served, hurried=hurried, spent=spent, paused=paused, turning=turning)
