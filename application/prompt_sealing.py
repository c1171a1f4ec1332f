"""An exchange in plain becomes one that only its hour key opens, and back."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs

from application.prompt_keys import PromptKeys
from domain.ports.encryption import Encryption
from domain.prompts import Exchange, Listed, Part, SealedExchange, bound_to


@attrs.frozen(kw_only=True)
class Sealing:
    """Seals with this process's hour keys."""

    keys: PromptKeys
    encryption: Encryption

    async def __call__(self, exchange: Exchange, *, now: datetime, age_s: float) -> SealedExchange | None:
        """The exchange, sealed; None when it has expired while it waited.

        Args:
            exchange: in plain.
            now: PostgreSQL's time.
            age_s: how long ago the call ended.

        Raises:
            StoreUnavailable: its hour key cannot be stored, so nothing may be sealed with it.
        """
        at = now - timedelta(seconds=age_s)
        expires_at = at + timedelta(seconds=exchange.ttl_s)
        if expires_at <= now:
            return None
        hour_key = await self.keys.key_for(expires_at, now)
        heading = exchange.heading
        return SealedExchange(
            listed=Listed(
                heading=heading,
                at=at,
                expires_at=expires_at,
                prompt_bytes=len(exchange.prompt.text),
                answer_bytes=len(exchange.answer.text),
                prompt_cut=exchange.prompt.cut,
                answer_cut=exchange.answer.cut,
            ),
            hour_key_id=hour_key.stored.id,
            prompt=self.encryption.seal(hour_key.key, exchange.prompt.text, bound_to(heading, Part.PROMPT)),
            answer=self.encryption.seal(hour_key.key, exchange.answer.text, bound_to(heading, Part.ANSWER)),
        )
