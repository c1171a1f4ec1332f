"""What goes on beside the requests: deadlines, slots kept alive, backends polled, changes taken in.

Each is a loop that outlives its own failures; the lifespan starts them and cancels them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from application.backends import Backends
from application.live_calls import SWEEP_INTERVAL_S, LiveCalls
from application.rooms.identify import Identify
from application.watchdog import Watchdog
from domain.changes import Change
from domain.faults import Fault
from domain.ports.limit_store import LimitStore
from domain.ports.turns import Turns

TURNS_RENEWED_EVERY_S = 1.0
_log = structlog.get_logger("neuronetz")


async def for_ever(interval_s: float, name: str, step: Callable[[], Awaitable[None]]) -> None:
    """Takes a step again and again. One that fails is logged and does not end the loop."""
    while True:
        try:
            await step()
        except Fault as fault:
            _log.warning("upkeep_failed", step=name, reason=fault.sentence)
        except Exception:  # noqa: BLE001  upkeep must go on; the log tells
            _log.exception("upkeep_failed", step=name)
        await asyncio.sleep(interval_s)


class Upkeep:
    """The loops of one process."""

    def __init__(
        self,
        *,
        live_calls: LiveCalls,
        limits: LimitStore,
        turns: Turns,
        backends: Backends,
        watchdog: Watchdog,
        identify: Identify,
        slot_lease_s: float,
        poll_interval_s: float,
    ) -> None:
        self._live_calls = live_calls
        self._limits = limits
        self._turns = turns
        self._backends = backends
        self._watchdog = watchdog
        self._identify = identify
        self._heartbeat_s = slot_lease_s / 3
        self._poll_interval_s = poll_interval_s

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(for_ever(SWEEP_INTERVAL_S, "deadlines", self._sweep))
            loops.create_task(for_ever(self._heartbeat_s, "slots", self._keep_slots))
            loops.create_task(for_ever(TURNS_RENEWED_EVERY_S, "turns", self._turns.renew))
            loops.create_task(for_ever(self._poll_interval_s, "backends", self._backends.survey_all))
            loops.create_task(for_ever(self._poll_interval_s, "wedges", partial(self._watchdog.look, loops)))

    async def taken_in(self, tenant_id: str, key_id: str | None, generation: int, what: str) -> None:
        """A tenant or key was changed, by us or by anyone: forget copies, warn the others, cut what must end.

        `what` is the word of a `Change`.
        """
        self._identify.forget(tenant_id, key_id)
        if what == Change.REVOKED and key_id is not None:
            self._live_calls.cut_key(key_id)
        elif what == Change.SUSPENDED:
            self._live_calls.cut_tenant(tenant_id)
        await self._limits.announce(tenant_id, [(key_id or tenant_id, generation)])

    async def _sweep(self) -> None:
        self._live_calls.sweep()

    async def _keep_slots(self) -> None:
        slots = self._live_calls.slots()
        if slots:
            await self._limits.heartbeat(slots)
