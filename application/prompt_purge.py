"""Forgetting on time: hour keys are destroyed at their hour, and days that are over are dropped, within a minute.

A step that finds a table locked, by a vacuum for one, leaves it to the next: hence three steps in that minute.
PostgreSQL's clock decides, and of several gateways one does it. It runs in every gateway, whether or not that one can
keep prompts: what was kept yesterday must go, too, when PROMPT_LOG_KEY is taken away today.
"""

from __future__ import annotations

import structlog

from application.prompt_keys import PromptKeys
from application.upkeep import for_ever
from domain.faults import StoreUnavailable
from domain.ports.hour_keys import HourKeys
from domain.ports.prompt_journal import PromptJournal

EVERY_S = 20.0
_log = structlog.get_logger("neuronetz")


class PromptPurge:
    """The loop of one process."""

    def __init__(self, *, journal: PromptJournal, hour_keys: HourKeys, keys: PromptKeys | None) -> None:
        """Takes this process's own hour keys, too, if it has any."""
        self._journal = journal
        self._hour_keys = hour_keys
        self._keys = keys

    async def run(self) -> None:
        """Until cancelled."""
        await for_ever(EVERY_S, "prompts", self.step)

    async def step(self) -> None:
        """Once.

        Raises:
            StoreUnavailable: something could not be done; the next step does it.
        """
        if self._keys is not None:
            await self._look_after(self._keys)
        dead = await self._journal.purge()
        if dead:
            await self._hour_keys.destroy(dead)
            await self._journal.forget_keys(dead)
            _log.info("hour_keys_destroyed", keys=len(dead))

    async def _look_after(self, keys: PromptKeys) -> None:
        """Forgets what is past and stores the rest once more: in this order, or a dead key would live again."""
        keys.forget(None)
        keys.forget(await self._journal.now())
        try:
            await keys.put_again()
        except StoreUnavailable as fault:
            _log.warning("hour_keys_not_stored", reason=fault.sentence)
