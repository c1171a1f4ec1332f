"""Room 2: from a credential to a Caller, or 401.

What a key costs, cheapest first: its keyed check (4 us, keeps strangers out of everything behind), this process's
memory (30 s), the shared memory in Redis, and then the register with one Argon2id run, single-flight per key.

Every copy may be out of date, which is harmless: the next two rooms ask whether the generation is still the newest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import attrs
import structlog

from application.presented import Presented
from application.shared_time import SharedTime
from application.single_flight import SingleFlight
from domain.faults import Fault, FaultCode, StoreUnavailable
from domain.keys import KeyState, PresentedKey, key_state, read_key
from domain.policies import Caller, TenantState
from domain.ports.key_cache import KeyCache
from domain.ports.registers import KeyRegister, KnownKey
from domain.ports.surroundings import PasswordHash
from domain.refusals import Code, Refusal

MOST_REMEMBERED = 10_000
TRIES = 4
"""How often a request whose caller proves out of date is identified, before it is `never_settled`."""
REFUSED_S = 1.0
"""How long a revoked or suspended caller is remembered as such: a resumed tenant must not wait for long."""
_log = structlog.get_logger("neuronetz")


@attrs.frozen
class _Remembered:
    caller: Caller
    secret_hash: str | None = attrs.field(repr=False)
    """The hash that the key was found to agree with; while the register has the same, Argon2id need not run again."""
    until_s: float


@attrs.define
class KeyChecks:
    """What answered when keys were looked up, so far."""

    turned_away: int = 0
    """By the keyed check: nobody with a pepper made them."""
    memory: int = 0
    shared: int = 0
    register: int = 0


class KnownAndRefused(Refusal):
    """The key is right and its holder known, but it is good no longer. The audit shall say whose it was."""

    def __init__(self, code: Code, sentence: str, caller: Caller) -> None:
        super().__init__(code, sentence)
        self.caller = caller


_INCORRECT = "Incorrect API key provided"
"""The words that client libraries look for to tell a 401 from other errors (litellm `exception_mapping_utils.py`)."""


def _unknown() -> Refusal:
    return Refusal(Code.INVALID_API_KEY, f"{_INCORRECT}. Ask the gateway's operator for a valid one.")


class Identify:
    """Finds the caller behind a credential."""

    def __init__(
        self,
        *,
        register: KeyRegister,
        cache: KeyCache,
        passwords: PasswordHash,
        clock: SharedTime,
        peppers: Sequence[bytes],
        remember_s: float,
    ) -> None:
        self._register = register
        self._cache = cache
        self._passwords = passwords
        self._clock = clock
        self._peppers = peppers
        self._remember_s = remember_s
        self._remembered: dict[bytes, _Remembered] = {}
        self._look_ups = SingleFlight[bytes, Caller]()
        self.checks = KeyChecks()

    async def __call__(self, presented: Presented, *, fresh: bool = False) -> Caller:
        """The caller.

        Args:
            presented: the request.
            fresh: whether copies must not be used, because one has just proved to be out of date.

        Raises:
            Refusal: 401 or 403, for the caller to mend.
            Fault: it cannot be known now.
        """
        key = self.read(presented)
        caller = None if fresh else self._recall(key.fingerprint)
        if caller is not None:
            self.checks.memory += 1
        else:
            caller = await self._look_ups.run(key.fingerprint, partial(self._verify, key, fresh=fresh))
        self._require_good(caller)
        return caller

    def forget(self, tenant_id: str, key_id: str | None) -> None:
        """Lets the copies of one key, or of a whole tenant, lapse."""
        for fingerprint, entry in list(self._remembered.items()):
            if entry.caller.tenant_id == tenant_id and key_id in (None, entry.caller.key_id):
                self._remembered[fingerprint] = attrs.evolve(entry, until_s=-math.inf)

    def read(self, presented: Presented) -> PresentedKey:
        """The key that was sent, if it passes the keyed check: what keeps strangers out of everything that costs.

        Raises:
            Refusal: there is none, or nobody with a pepper made it.
        """
        if presented.credential is None:
            raise Refusal(
                Code.MISSING_API_KEY,
                "No API key provided. Send it as the header `Authorization: Bearer nz_...`, or as `x-api-key: nz_...`.",
            )
        key = read_key(presented.credential.unwrap(), self._peppers)
        if key is None:
            self.checks.turned_away += 1
            raise _unknown()
        return key

    def _recall(self, fingerprint: bytes) -> Caller | None:
        entry = self._remembered.get(fingerprint)
        if entry is None or entry.until_s < self._clock.monotonic_s():
            return None
        return entry.caller

    async def _verify(self, key: PresentedKey, *, fresh: bool) -> Caller:
        if not fresh:
            caller = await self._cache.recall(key.fingerprint)
            if caller is not None:
                self.checks.shared += 1
                self._remember(key.fingerprint, caller, None)
                return caller
        self.checks.register += 1
        known = await self._register.find(key.prefix)
        if known is not None:
            self._clock.heard(known.as_of)
        if known is None or not await self._agrees(key, known):
            raise _unknown()
        if self._passwords.outdated(known.secret_hash):
            await self._strengthen(key, known.caller.key_id)
        self._remember(key.fingerprint, known.caller, known.secret_hash)
        if self._is_good(known.caller):
            self._cache.remember(key.fingerprint, known.caller)
        return known.caller

    async def _agrees(self, key: PresentedKey, known: KnownKey) -> bool:
        entry = self._remembered.get(key.fingerprint)
        if entry is not None and entry.secret_hash == known.secret_hash:
            return True
        return await self._passwords.verify(key.secret, known.secret_hash)

    async def _strengthen(self, key: PresentedKey, key_id: str) -> None:
        try:
            await self._register.rehash(key_id, await self._passwords.hash(key.secret))
        except Fault as fault:  # the key is good all the same; its next look-up tries again
            _log.warning("hash_not_renewed", key_id=key_id, reason=fault.sentence)

    def _remember(self, fingerprint: bytes, caller: Caller, secret_hash: str | None) -> None:
        self._remembered.pop(fingerprint, None)
        while len(self._remembered) >= MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        span_s = self._remember_s if self._is_good(caller) else REFUSED_S
        self._remembered[fingerprint] = _Remembered(caller, secret_hash, self._clock.monotonic_s() + span_s)

    def _is_good(self, caller: Caller) -> bool:
        return caller.tenant_state is TenantState.ACTIVE and self._state(caller) is KeyState.ACTIVE

    def _state(self, caller: Caller) -> KeyState:
        return key_state(revoked_at=caller.revoked_at, expires_at=caller.expires_at, now=self._clock.now())

    def _require_good(self, caller: Caller) -> None:
        state = self._state(caller)
        if state is KeyState.REVOKED:
            sentence = f"{_INCORRECT}: it was revoked. Ask the gateway's operator for a new one."
            raise KnownAndRefused(Code.API_KEY_REVOKED, sentence, caller)
        if state is KeyState.EXPIRED:
            sentence = f"{_INCORRECT}: it has expired. Ask the gateway's operator for a new one."
            raise KnownAndRefused(Code.API_KEY_EXPIRED, sentence, caller)
        if caller.tenant_state is TenantState.SUSPENDED:
            sentence = "This API key's tenant is suspended. Ask the gateway's operator to resume it."
            raise KnownAndRefused(Code.TENANT_SUSPENDED, sentence, caller)


def never_settled() -> StoreUnavailable:
    """What is said when tenant or key changes again and again while a request tries to enter."""
    return StoreUnavailable(FaultCode.IDENTITY_UNAVAILABLE, "This key's policy is changing. Please try again.")
