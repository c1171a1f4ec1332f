"""Rates, slots, and whether a cached identity is still true: one atomic question before every call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import attrs

from domain.limits import Limits, Rate, Scope


@attrs.frozen(kw_only=True)
class AdmissionRequest:
    """Everything the store needs to admit one call."""

    request_id: str
    tenant_id: str
    key_id: str
    tenant_generation: int
    key_generation: int
    tenant_limits: Limits
    key_limits: Limits
    tokens: int
    """Charged to the token windows: P + M."""
    calls: int = 1
    """Charged to the call windows; 0 for a look at the catalogue, which takes no slot either."""
    attempt: int = 0
    """Which of this request's admissions it is. Only its own release ends it: an earlier one's may come late."""


@attrs.frozen(kw_only=True)
class Standing:
    """Where a rate stands after an admission, for the caller's headers."""

    limit: int
    remaining: int
    reset_s: int
    """Seconds until the window is empty again if nothing more comes."""


@attrs.frozen(kw_only=True)
class Admitted:
    """All windows were charged and all slots taken."""

    epoch: int
    """Which filling of the store admitted it. The ledger refuses a hold whose epoch has passed."""
    rpm: Standing | None
    """The tightest of key and tenant; None when neither has a limit."""
    tpm: Standing | None


@attrs.frozen(kw_only=True)
class Full:
    """Some window or slot set is full. Nothing was charged."""

    rate: Rate
    scope: Scope
    limit: int
    retry_after_s: int
    rpm: Standing | None = None
    tpm: Standing | None = None


@attrs.frozen
class Outdated:
    """Tenant or key was changed since it was identified: forget the copy and identify again."""


@attrs.frozen
class Empty:
    """The store has lost this tenant's windows (a flush, a restart, a fail-over): they must be restored first."""


Admission = Admitted | Full | Outdated | Empty


@attrs.frozen(kw_only=True)
class RecentCall:
    """One accepted call of the last minute, as the ledger remembers it."""

    request_id: str
    key_id: str
    age_s: float
    tokens: int
    """What it was charged, or its hold while it is open."""
    open: bool


@attrs.frozen(kw_only=True)
class TenantFacts:
    """What a tenant's windows are restored from."""

    epoch: int
    """Larger than every epoch before."""
    recent: Sequence[RecentCall]
    generations: Sequence[tuple[str, int]]
    """(tenant id or key id, generation) of everything that changed within the life of a cached identity."""


class LimitStore(Protocol):
    """Exact windows and leased slots, shared by every gateway process.

    Bounded: every awaited answer comes within 100 ms or raises `StoreUnavailable(limiter_unavailable)`; an answer
    that was lost counts as a refusal, and what it may have taken is given back by `release`.
    """

    @abstractmethod
    async def admit(self, request: AdmissionRequest) -> Admission:
        """All checks, then all charges, at once. Between its admission and its release, the same attempt of a request
        is never charged twice.

        Raises:
            StoreUnavailable: closed.
        """

    @abstractmethod
    def release(
        self,
        tenant_id: str,
        key_id: str,
        request_id: str,
        refund_tokens: int,
        *,
        refund_call: bool = False,
        attempt: int = 0,
    ) -> None:
        """Hands over the end of a call: frees its slots and takes back unused tokens. Returns at once; idempotent.

        With `refund_call`, its place in the call windows is taken back as well: it was refused by a later room, and
        a refused call consumes nothing.
        """

    @abstractmethod
    async def restore(self, tenant_id: str, facts: TenantFacts) -> None:
        """Fills an emptied tenant again, unless someone with a newer epoch has.

        A call that was released since the facts were read has no slot again.
        """

    @abstractmethod
    async def announce(self, tenant_id: str, generations: Sequence[tuple[str, int]]) -> None:
        """Makes cached identities older than these generations invalid, everywhere, at once."""

    @abstractmethod
    async def heartbeat(self, live: Sequence[tuple[str, str, str]]) -> None:
        """Renews the slots of (tenant id, key id, request id); a slot not renewed for 30 s is free."""

    @abstractmethod
    async def ping(self) -> None:
        """Answers, or raises `StoreUnavailable`."""
