"""The parts of the prompt log, put together: for a gateway, which writes, and for the operator, who reads.

Without PROMPT_LOG_KEY a gateway has no log and refuses what it cannot keep (`application/rooms/keep.py`); it purges all
the same.
"""

from __future__ import annotations

import attrs

from adapters.postgres.pool import Pool
from adapters.postgres.prompt_journal import PostgresPromptJournal
from adapters.redis.hour_keys import RedisHourKeys
from adapters.redis.lane import Lane
from adapters.system.encryption import AesGcmEncryption
from application.prompt_keys import PromptKeys
from application.prompt_log import PromptLog
from application.prompt_purge import PromptPurge
from application.prompt_sealing import Sealing
from application.rooms.keep import Keep
from domain.ports.surroundings import Clock, Entropy
from entrypoints.settings import Settings


@attrs.frozen(kw_only=True)
class PromptParts:
    """Of one gateway process."""

    log: PromptLog | None
    purge: PromptPurge
    keep: Keep


def prompt_parts(settings: Settings, pool: Pool, lane: Lane, clock: Clock, entropy: Entropy) -> PromptParts:
    """Everything that a gateway needs to keep prompts, as far as it may."""
    journal, hour_keys = PostgresPromptJournal(pool), RedisHourKeys(lane)
    if not settings.prompt_log_key:
        purge = PromptPurge(journal=journal, hour_keys=hour_keys, keys=None)
        return PromptParts(log=None, purge=purge, keep=Keep(None, clock))
    encryption = AesGcmEncryption(settings.need_prompt_log_keys())
    keys = PromptKeys(hour_keys=hour_keys, encryption=encryption, entropy=entropy, clock=clock)
    log = PromptLog(journal=journal, sealing=Sealing(keys=keys, encryption=encryption), clock=clock)
    purge = PromptPurge(journal=journal, hour_keys=hour_keys, keys=keys)
    return PromptParts(log=log, purge=purge, keep=Keep(log, clock))
