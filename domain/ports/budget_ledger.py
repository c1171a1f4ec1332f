"""The truth about budgets: holds before calls, settlements after them, and the audit's own start and end rows."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

import attrs

from domain.budgets import Window
from domain.limits import Scope
from domain.ports.limit_store import TenantFacts
from domain.settlement import Charge, Outcome


@attrs.frozen(kw_only=True)
class HoldRequest:
    """A call that asks for its tokens. Becomes the hold and, in the same transaction, the audit's `started` row."""

    request_id: str
    tenant_id: str
    key_id: str
    key_prefix: str
    epoch: int
    """Of the admission; a hold whose admission was forgotten is refused."""
    prompt_tokens: int
    """P."""
    output_tokens: int
    """M as wanted. May be granted lower."""
    output_factor: int
    route: str
    model: str
    address: str
    """The client's network address."""

    @property
    def least_tokens(self) -> int:
        """The smallest hold that can be granted: the prompt, and one token of output if any is wanted."""
        return self.prompt_tokens + self.output_factor * min(self.output_tokens, 1)


@attrs.frozen(kw_only=True)
class Granted:
    """The tokens are held."""

    output_tokens: int
    """M as granted: lowered to what a budget has left, never raised."""


@attrs.frozen(kw_only=True)
class Spent:
    """Some window has too little left even for one output token. Nothing was held. Of several such windows it is the
    one with the least left.
    """

    scope: Scope
    window: Window
    limit: int
    used: int
    held: int
    ends: datetime | None

    def only_held(self, tokens: int) -> bool:
        """Whether so many tokens would fit if no call were in flight."""
        return self.used + tokens <= self.limit


@attrs.frozen
class Stale:
    """Identify and admit again: tenant, key or epoch has changed."""


HoldVerdict = Granted | Spent | Stale


@attrs.frozen(kw_only=True)
class Settlement:
    """The end of a held call. Becomes the charge and, in the same transaction, the audit's `finished` row."""

    request_id: str
    tenant_id: str
    outcome: Outcome
    charge: Charge
    backend: str | None
    status: int
    """The HTTP status the client was sent; 0 when none was."""
    code: str | None
    """The refusal's or fault's code, if it ended in one."""
    bytes_out: int
    queued_ms: int
    first_byte_ms: int | None
    duration_ms: int


class BudgetLedger(Protocol):
    """Budgets, kept exactly. A hold that was granted is committed; a settlement handed over is never lost while the
    process lives, and the reaper closes the holds of processes that died.
    """

    @abstractmethod
    async def hold(self, request: HoldRequest) -> HoldVerdict:
        """All windows of key and tenant, or none. The same request id is never held twice.

        Raises:
            StoreUnavailable: closed. Whether it was held is then unknown: settle it with charge 0.
        """

    @abstractmethod
    def settle(self, settlement: Settlement) -> None:
        """Hands over the end of a call; returns at once. Behind its own hold in one queue, so it cannot overtake it.
        A request that holds nothing is ignored.
        """

    @abstractmethod
    async def tenant_facts(self, tenant_id: str) -> TenantFacts:
        """Starts a new epoch for a tenant and tells what its windows are restored from. Holds of former epochs that
        are not yet committed will be refused.

        Raises:
            StoreUnavailable: closed.
        """

    @abstractmethod
    def unsettled(self) -> int:
        """Settlements handed over and not yet committed."""

    @abstractmethod
    async def drain(self, timeout_s: float) -> None:
        """Waits until everything handed over is committed, at most so long."""

    @abstractmethod
    async def ping(self) -> None:
        """Answers, or raises `StoreUnavailable`."""
