"""A reply that is listened to: what goes to the client is also kept, for a key whose answers are to be kept.

It stands in front of the real one for such keys only, so that the others' pieces pass as if this module were not there.
"""

from __future__ import annotations

from application.presented import Rates, Reply
from domain.faults import Fault
from domain.prompts import Hearing
from domain.refusals import Refusal


class OverheardReply(Reply):
    """Another reply, and what it was given to send. Of an answer that breaks off, what came before."""

    def __init__(self, inner: Reply) -> None:
        self._inner = inner
        self.heard = Hearing()

    @property
    def begun(self) -> bool:  # type: ignore[override]  # the inner one's, read only
        """See the protocol."""
        return self._inner.begun

    @property
    def status(self) -> int:  # type: ignore[override]  # as above
        """See the protocol."""
        return self._inner.status

    @property
    def bytes_out(self) -> int:  # type: ignore[override]  # as above
        """See the protocol."""
        return self._inner.bytes_out

    async def begin(self, rates: Rates, first: bytes, *, length: int | None = None) -> None:
        """Heard before it is sent, as it is counted: a wait that is cut off may have sent it."""
        self.heard.add(first)
        await self._inner.begin(rates, first, length=length)

    async def send(self, raw: bytes) -> None:
        """As above."""
        self.heard.add(raw)
        await self._inner.send(raw)

    async def finish(self) -> None:
        """See the protocol."""
        await self._inner.finish()

    async def break_off(self, fault: Fault) -> None:
        """See the protocol."""
        await self._inner.break_off(fault)

    async def refuse(self, reason: Refusal | Fault, rates: Rates) -> None:
        """See the protocol."""
        await self._inner.refuse(reason, rates)
