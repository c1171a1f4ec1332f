"""What an operator does meanwhile, by the command line; and what surely holds once a command has returned."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter

import attrs

from tests.chaos.cast import Cast, Holder, InForce, Span
from tests.chaos.stage import unix_s
from tests.e2e.house import House
from tests.e2e.programs import cli

_BUDGET_STEP = 1_000
_CALLS_A_MINUTE = (20, 60)
_TRIES = 5


@attrs.define(kw_only=True)
class Operator:
    """Commands, and how many of them failed: as they may, while a store is away."""

    house: House
    who: Cast
    failed: Counter[str] = attrs.field(factory=Counter)

    def replace_key(self, chance: random.Random) -> None:
        """Revokes a key, and gives its holder another."""
        former = chance.choice(self.who.of("turning"))
        former.doubtful = True
        if self._do("revoke-key", "--prefix", former.key.prefix):
            former.revoked_at_s = unix_s()
        new = self.house.new_key(former.tenant.name)
        self.who.holders.append(Holder(key=new, tenant=former.tenant))

    def suspend(self, for_s: float) -> None:
        """Suspends a tenant for a while."""
        tenant = self.who.tenants["paused"]
        suspended = self._do("suspend-tenant", "--tenant", tenant.name)
        since_s = unix_s()
        time.sleep(for_s)
        until_s = unix_s()
        if suspended:
            tenant.suspended.append(Span(from_s=since_s, until_s=until_s))
        for _ in range(_TRIES):
            if self._do("resume-tenant", "--tenant", tenant.name):
                return

    def change_limits(self, chance: random.Random) -> None:
        """Another number of calls a minute."""
        tenant = self.who.tenants["calls"]
        former = tenant.history[-1]
        new = attrs.evolve(former.limits, rpm=chance.randint(*_CALLS_A_MINUTE))
        began_s = unix_s()
        tenant.history.append(InForce(limits=new, from_s=began_s))
        if self._do("set-limits", "--tenant", tenant.name, "--rpm", str(new.rpm)):
            tenant.history[-2] = attrs.evolve(former, until_s=unix_s())

    def raise_budget(self) -> None:
        """A little more for those who have spent theirs; never less, so that the limit of now judges every state."""
        self.who.budget += _BUDGET_STEP
        self._do("set-budgets", "--tenant", "spent", "--daily", str(self.who.budget))

    def _do(self, *words: str) -> bool:
        try:
            ran = cli(self.house.environ, self.house.folder, *words)
        except subprocess.TimeoutExpired:
            self.failed[f"{words[0]}: no end within a minute"] += 1
            return False
        if ran.returncode:
            last = (ran.stderr.strip().splitlines() or ["nothing said"])[-1]
            self.failed[f"{words[0]}: {last}"] += 1
        return ran.returncode == 0
