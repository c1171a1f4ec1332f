"""What waits for the ledger, in one order: holds, settlements and pings, and the batches taken from them.

A settlement never goes before its hold, nor in one batch with it: a batch ends where a request id comes again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import attrs

from domain.faults import FaultCode, StoreUnavailable
from domain.ports.budget_ledger import HoldVerdict


@attrs.define(eq=False)
class Asked:
    """A hold that waits for its verdict, or, without words, a ping that waits for any answer."""

    request_id: str
    words: bytes
    verdict: asyncio.Future[HoldVerdict | None]

    def complete(self, verdict: HoldVerdict | None) -> None:
        """Tells the caller, unless it has left."""
        if not self.verdict.done():
            self.verdict.set_result(verdict)

    def fail(self, sentence: str) -> None:
        """Tells the caller that the ledger is closed, unless it has left."""
        if not self.verdict.done():
            self.verdict.set_exception(StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, sentence))

    def give_up(self) -> None:
        """The caller's patience is over. What was sent may still be held: its settlement takes care of that."""
        self.fail("The budget ledger did not answer in time.")


@attrs.define(eq=False)
class Settled:
    """A settlement."""

    request_id: str
    words: bytes
    alone: bool = False
    """It failed when sent alone, and goes alone from now on so that it spoils nobody's batch."""
    pause_s: float = 0.0


@attrs.frozen
class Batch:
    """What goes in one statement."""

    entries: Sequence[Asked | Settled]

    @property
    def settles(self) -> Sequence[Settled]:
        """Its settlements, in order."""
        return [entry for entry in self.entries if isinstance(entry, Settled)]

    @property
    def holds(self) -> Sequence[Asked]:
        """Its holds, in order."""
        return [entry for entry in self.entries if isinstance(entry, Asked) and entry.words]

    @property
    def asked(self) -> Sequence[Asked]:
        """Its holds and pings: everyone who waits."""
        return [entry for entry in self.entries if isinstance(entry, Asked)]


class LaneQueue:
    """The FIFO."""

    def __init__(self, most_in_batch: int) -> None:
        self._most_in_batch = most_in_batch
        self._entries: deque[Asked | Settled] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Asked | Settled) -> None:
        """At the end."""
        self._entries.append(entry)

    def put_back(self, entries: Sequence[Asked | Settled]) -> None:
        """In front, in their order."""
        self._entries.extendleft(reversed(entries))

    def take(self) -> Batch:
        """The next batch, without those whose caller has left before anything was sent for it. Possibly empty."""
        taken: list[Asked | Settled] = []
        ids: set[str] = set()
        while self._entries and len(taken) < self._most_in_batch:
            entry = self._entries[0]
            if isinstance(entry, Asked) and entry.verdict.done():
                self._entries.popleft()
                continue
            alone = isinstance(entry, Settled) and entry.alone
            if (entry.request_id in ids and entry.words) or (alone and taken):
                break
            ids.add(entry.request_id)
            taken.append(self._entries.popleft())
            if alone:
                break
        return Batch(taken)

    def fail_asked(self, sentence: str) -> None:
        """Takes out everyone who waits, with a word; settlements stay."""
        for entry in self._entries:
            if isinstance(entry, Asked):
                entry.fail(sentence)
        self._entries = deque(entry for entry in self._entries if isinstance(entry, Settled))
