"""Whether this process can serve: each part named, with its state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from application.backends import Backends, BackendState
from domain.faults import Fault
from domain.models import shortest
from domain.ports.budget_ledger import BudgetLedger
from domain.ports.limit_store import LimitStore
from domain.ports.usage_journal import UsageJournal

PROBE_TIMEOUT_S = 1.0
MOST_UNSETTLED = 10_000
"""Settlements waiting for PostgreSQL; with more, no new call may be taken on."""


class Readiness:
    """Asks every part on which serving depends."""

    def __init__(self, *, ledger: BudgetLedger, limits: LimitStore, journal: UsageJournal, backends: Backends) -> None:
        self._ledger = ledger
        self._limits = limits
        self._journal = journal
        self._backends = backends
        self.stopping = False
        """Set when the process begins to stop: it is then never ready, and every answer is its connection's last."""
        self.refusing = False
        """Set when it takes on nothing new any more, a little later."""
        self.over = False
        """Set when not even requests whose bodies were on their way by then are taken on."""

    async def parts(self) -> Mapping[str, str]:
        """Part -> `ok`, or what is wrong."""
        postgres, redis = await asyncio.gather(_probe(self._ledger.ping), _probe(self._limits.ping))
        backends = {f"backend:{state.name}": _word_for(state) for state in self._backends.states()}
        return {
            "postgres": "behind with settlements" if self._ledger.unsettled() > MOST_UNSETTLED else postgres,
            "redis": redis,
            "ollama": "ok" if self._backends.any_healthy else "no backend answers",
            **backends,
            "audit": "full" if self._journal.full else "ok",
            "process": "stopping" if self.stopping else "ok",
        }

    @staticmethod
    def ready(parts: Mapping[str, str]) -> bool:
        """One healthy backend is enough; every other part must be well."""
        return all(state == "ok" for part, state in parts.items() if not part.startswith("backend:"))


def _word_for(state: BackendState) -> str:
    if not state.healthy:
        return "unavailable"
    if not state.wedged:
        return "ok"
    return f"{', '.join(map(shortest, state.wedged))} does not answer any more: restart Ollama there"


async def _probe(ping: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await ping()
    except (Fault, TimeoutError):
        return "unavailable"
    return "ok"
