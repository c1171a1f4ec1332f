"""Reading what was kept, for the operator: found and put on record, its hour key fetched, and opened.

Each step can fail in its own way, and the operator is told which: nothing is kept, its hour key is gone, the secret is
another, or somebody changed it.
"""

from __future__ import annotations

import attrs

from application.prompt_keys import wrapped_for
from domain.ports.encryption import CannotOpen, Encryption
from domain.ports.hour_keys import HourKeys
from domain.ports.prompt_journal import KeptPrompts
from domain.prompts import Listed, Part, SealedExchange, bound_to, end_of_hour


class HourKeyGone(LookupError):
    """The hour key is destroyed or lost: nobody can ever read the entry again."""


class OtherSecret(ValueError):
    """The hour key is there, wrapped with a secret that is not in the ring."""


class Altered(ValueError):
    """The entry is not what was written."""


@attrs.frozen(kw_only=True)
class Opened:
    """An entry in plain."""

    listed: Listed
    prompt: bytes = attrs.field(repr=False)
    answer: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class ReadPrompts:
    """The operator's use case.

    Attributes:
        actor: who reads, for the audit.
    """

    kept: KeptPrompts
    hour_keys: HourKeys
    encryption: Encryption
    actor: str

    async def one(self, request_id: str) -> Opened:
        """What is kept of one call.

        Raises:
            NotKept: nothing is, or its time is over.
            HourKeyGone, OtherSecret, Altered: it is kept, and cannot be read.
            StoreUnavailable: not now.
        """
        sealed = await self.kept.entry(request_id, actor=self.actor)
        key = await self._hour_key(sealed)
        heading = sealed.listed.heading
        try:
            return Opened(
                listed=sealed.listed,
                prompt=self.encryption.open(key, sealed.prompt, bound_to(heading, Part.PROMPT)),
                answer=self.encryption.open(key, sealed.answer, bound_to(heading, Part.ANSWER)),
            )
        except CannotOpen as error:
            raise Altered(request_id) from error

    async def _hour_key(self, sealed: SealedExchange) -> bytes:
        wrapped = await self.hour_keys.get(sealed.hour_key_id)
        if wrapped is None:
            raise HourKeyGone(sealed.hour_key_id)
        try:
            return self.encryption.unwrap(
                wrapped, wrapped_for(sealed.hour_key_id, end_of_hour(sealed.listed.expires_at))
            )
        except CannotOpen as error:
            raise OtherSecret(sealed.hour_key_id) from error
