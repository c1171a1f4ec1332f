"""Sealing: every few seconds, what is complete of the audit is closed with a keyed root, by one of all gateways.

It is beside every request, and nothing waits for it. Each seal is told to the log, where whoever may write the database
does not reach it.

A gateway may die between any two lines of this. Then the seal is there or it is not, and the next one, of whichever
gateway, begins where the chain ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import attrs
import structlog

from application.upkeep import for_ever
from domain.faults import StoreUnavailable
from domain.ports.audit_seals import AlreadySealed, AuditSeals, SealingState, SealingTurn, SealLook
from domain.ports.surroundings import Clock
from domain.seals import MOST_XID, NO_SEAL, Row, RowName, Seal, SealedRows, SealKey, hash_of_rows, merkle_root

LOOK_EVERY_S = 5.0
"""A seal younger than this is left to itself. So a row waits twice as long at most, while nothing holds it up."""
MOST_ROWS = 1_000
_ROWS_A_BREATH = 50
"""Hashed between two turns of the event loop, which takes about half a millisecond."""
_FIRST_WIDTH = 10_000
_log = structlog.get_logger("neuronetz")


@attrs.frozen
class _Span:
    """Which transactions come next."""

    restored: bool
    from_xid: int
    limit: int


class SealAudit:
    """The sealer of one process."""

    def __init__(self, *, seals: AuditSeals, key: SealKey, clock: Clock, every_s: float = LOOK_EVERY_S) -> None:
        """Takes the current key of the ring."""
        self._seals = seals
        self._key = key
        self._clock = clock
        self._every_s = every_s
        self._width = _FIRST_WIDTH
        self._seen: Seal | None = None
        self._untold = True
        self._unsealed_s: float | None = None
        self._looked_s = 0.0

    @property
    def unsealed_s(self) -> float:
        """Age in seconds of the oldest row that has no seal, as far as this process knows."""
        if self._unsealed_s is None:
            return 0.0
        return self._unsealed_s + self._clock.monotonic_s() - self._looked_s

    async def run(self) -> None:
        """Until cancelled."""
        await for_ever(self._every_s, "audit seals", self.step)

    async def step(self) -> None:
        """Looks, and seals what is complete, if nobody has just done so.

        Raises:
            StoreUnavailable: something could not be done; the next step does it.
        """
        look = await self._look()
        # A clock that was set back must not stop this: a seal from the future is no young one.
        if look.head is None or not 0 <= (look.now - look.head.made_at).total_seconds() < self._every_s:
            while await self._seal_some():
                pass
            await self._look()

    async def _look(self) -> SealLook:
        look = await self._seals.look(0 if self._seen is None else self._seen.n)
        self._unsealed_s, self._looked_s = look.unsealed_s, self._clock.monotonic_s()
        if self._seen is not None and (look.known is None or look.known.mac != self._seen.mac):
            # A restored backup does this, too. Sealing goes on from what is there: it must not stand still.
            remedy = "Run `neuronetz-gateway audit verify` with the log's lines as --anchors."
            _log.error("audit_seals_lost", **_words(self._seen), remedy=remedy)
        if self._untold and look.head is not None:
            _tell(look.head)  # whoever made it, we ourselves perhaps, may not have come to tell it
            self._untold = False
        self._seen = look.head
        return look

    async def _seal_some(self) -> bool:
        """One seal; says whether there may be more to do."""
        try:
            async with self._seals.turn() as turn:
                seal = None if turn is None else await self._seal_next(turn)
        except AlreadySealed:
            return False
        except StoreUnavailable:
            self._untold, self._width = True, _FIRST_WIDTH  # it may have been too much for one turn
            raise
        if seal is not None:
            self._seen, self._untold = seal, False
            _tell(seal)
        return seal is not None

    async def _seal_next(self, turn: SealingTurn) -> Seal | None:
        for span in _spans(turn.head, turn.state):
            rows, to_xid = await self._rows(turn, span)
            if rows:
                if span.restored:  # the ids between are this server's to give: their rows are no matter of this seal's
                    span, to_xid = attrs.evolve(span, from_xid=_xid(rows[0])), _xid(rows[-1]) + 1  # noqa: PLW2901  narrower
                sealed, leaves = await self._hashed(rows)
                seal = self._key.signed(_seal(turn, span, to_xid, sealed, leaves, self._key.id))
                await turn.append(seal, sealed)
                return seal
        return None

    async def _rows(self, turn: SealingTurn, span: _Span) -> tuple[Sequence[Row], int]:
        """Whole transactions with about a thousand rows, and the first one that is not among them.

        Looked for within a width that adapts, because everything within it is read and sorted.
        """
        start = span.from_xid
        while start < span.limit:
            stop = min(start + self._width, span.limit)
            rows = await turn.rows(start, stop, MOST_ROWS + 1, restored=span.restored)
            # That there is no more for now tells nothing of how densely what comes will lie.
            if len(rows) <= MOST_ROWS // 2 and stop < span.limit:
                self._width = min(2 * self._width, MOST_XID)
            if len(rows) > MOST_ROWS:
                first, last = _xid(rows[0]), _xid(rows[-1])
                self._width = max(last - first, 1)
                if first == last:  # one transaction that is larger than a seal should be
                    return await turn.rows(last, last + 1, None, restored=span.restored), last + 1
                return [row for row in rows if _xid(row) < last], last
            if rows:
                return rows, stop
            start = stop
        self._width = _FIRST_WIDTH
        return (), span.limit

    async def _hashed(self, rows: Sequence[Row]) -> tuple[SealedRows, Sequence[bytes]]:
        names: list[RowName] = []
        leaves: list[bytes] = []
        for start in range(0, len(rows), _ROWS_A_BREATH):
            some = rows[start : start + _ROWS_A_BREATH]
            names += map(RowName.of, some)
            leaves += map(self._key.leaf, some)
            await asyncio.sleep(0)
        return SealedRows(names=names, leaves=leaves), leaves


def _spans(head: Seal | None, state: SealingState) -> Sequence[_Span]:
    """Where to look for what is not sealed. On a server that the chain does not know, everything is sealed once more:
    first what was restored with ids that are not in use here yet, then from the first id on.
    """
    strange = head is None or head.server != state.server or (not head.restored and head.to_xid > state.unborn_from)
    if head is None or strange:
        return _Span(True, state.unborn_from, MOST_XID), _Span(False, 0, state.complete_below)
    if head.restored:
        return _Span(True, head.to_xid, MOST_XID), _Span(False, 0, state.complete_below)
    return (_Span(False, head.to_xid, state.complete_below),)


def _seal(turn: SealingTurn, span: _Span, to_xid: int, rows: SealedRows, leaves: Sequence[bytes], key_id: str) -> Seal:
    return Seal(
        n=1 if turn.head is None else turn.head.n + 1,
        server=turn.state.server,
        restored=span.restored,
        from_xid=span.from_xid,
        to_xid=to_xid,
        row_count=len(rows.names),
        first_at=min(rows.names).at,
        last_at=max(rows.names).at,
        root=merkle_root(leaves),
        rows_hash=hash_of_rows(*rows.packed()),
        previous=NO_SEAL if turn.head is None else turn.head.hash(),
        key_id=key_id,
        made_at=turn.state.now,
    )


def _xid(row: Row) -> int:
    return int(row[-1] or 0)


def _tell(seal: Seal) -> None:
    _log.info("audit_sealed", **_words(seal), rows=seal.row_count, until=seal.last_at.isoformat())


def _words(seal: Seal) -> dict[str, object]:
    return attrs.asdict(seal.anchor)
