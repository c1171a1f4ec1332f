"""Checking the audit: the chain of seals from its first one on, and the rows under each, in the order of the chain.

In memory that does not grow, and in short transactions: gateways go on writing and sealing meanwhile.

A row may lie in the spans of several seals, of which one has it: after a restore on another server, transactions are
numbered anew, and what was written since and what came with the backup have the same ids. So a row that a seal does
not have is added only if no other seal over that span has it, and if it is not among those that are still to be sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime

import attrs

from domain.ports.audit_seals import Dropped, SealedAudit, Unsealed
from domain.seal_checks import (
    Anchors,
    Compared,
    Damage,
    Finding,
    anchor_findings,
    belong,
    chain_findings,
    compare,
    row_added,
    row_changed,
    row_removed,
    rows_do_not_give_root,
    rows_of_seal_changed,
    same_row,
    tail_findings,
)
from domain.seals import MOST_XID, SHORT, Row, RowName, Seal, SealedRows, SealKey, merkle_root

MOST_FINDINGS = 100
_SEALS_AT_ONCE = 500
_ROWS_AT_ONCE = 5_000
_OTHERS_KEPT = 50

Told = Callable[[int, int], None]
"""Is told how many seals are behind us, and of how many."""


@attrs.define(kw_only=True)
class Verdict:
    """What was found."""

    findings: list[Finding] = attrs.field(factory=list)
    """At most `MOST_FINDINGS`, the first one first."""
    more: int = 0
    """Findings beyond those."""
    seals: int = 0
    rows: int = 0
    last: Seal | None = None
    dropped: Dropped | None = None
    rows_dropped: int = 0
    """Sealed rows that retention took."""
    unsealed: Unsealed = attrs.field(factory=lambda: Unsealed(count=0, oldest=None))

    def add(self, *findings: Finding) -> None:
        """Keeps what there is room for, and of an unknown key the first."""
        for finding in findings:
            if finding.damage is Damage.KEY_UNKNOWN and any(f.damage is Damage.KEY_UNKNOWN for f in self.findings):
                self.more += 1
            elif len(self.findings) < MOST_FINDINGS:
                self.findings.append(finding)
            else:
                self.more += 1


class VerifyAudit:
    """One check. `run()` it once."""

    def __init__(self, *, audit: SealedAudit, keys: Sequence[SealKey], anchors: Anchors | None = None) -> None:
        """Takes the ring, and what was told outside, by the number of the seal."""
        self._audit = audit
        self._keys = {key.id: key for key in keys}
        self._anchors = anchors or {}
        self._verdict = Verdict()
        self._open_from = 0
        self._open_to = MOST_XID
        self._others: dict[int, frozenset[bytes]] = {}

    async def run(
        self, since: datetime | None = None, until: datetime | None = None, told: Told = lambda _done, _all: None
    ) -> Verdict:
        """All of the chain, and the rows of seals that have some within the span of time.

        Raises:
            StoreUnavailable: it broke off.
        """
        head = await self._audit.head()
        await self._see_what_is_open(head)
        before: Seal | None = None
        while seals := await self._audit.seals(0 if before is None else before.n, _SEALS_AT_ONCE):
            sound = []
            for seal in seals:
                wrong = [*chain_findings(seal, before, self._keys), *anchor_findings(seal, self._anchors)]
                self._verdict.add(*wrong)
                self._verdict.seals += 1
                before = seal
                if not wrong and _within(seal, since, until):
                    sound.append(seal)
            for group in _grouped(sound):
                await self._check(group)
            told(self._verdict.seals, max(self._verdict.seals, head.n if head else 0))
        self._verdict.add(*tail_findings(before, self._anchors))
        self._verdict.last = before
        await self._look_behind_the_last(head)
        return self._verdict

    async def _see_what_is_open(self, head: Seal | None) -> None:
        """Which transactions may have rows that no seal has."""
        state = await self._audit.state()
        if head is None:
            return
        at_home = head.server == state.server
        self._open_from = 0 if head.restored else head.to_xid
        self._open_to = state.unborn_from if at_home else MOST_XID

    async def _look_behind_the_last(self, head: Seal | None) -> None:
        self._verdict.unsealed = await self._audit.unsealed(self._open_from, self._open_to)
        self._verdict.dropped = (await self._audit.retained()).dropped
        if head is None:
            return
        outside = await self._audit.outside(MOST_FINDINGS)
        self._verdict.add(*(row_added(head.n, RowName.of(row)) for row in outside))
        if self._open_to == MOST_XID:
            return
        unborn = (await self._audit.state()).unborn_from
        async with aclosing(self._audit.rows(unborn, MOST_XID)) as pages:  # type: ignore[type-var]  # the port says iterator
            async for page in pages:
                rows = {RowName.of(row): row for row in page}
                self._verdict.add(*(row_added(head.n, name) for name in await self._unexplained(rows, ())))

    async def _check(self, seals: Sequence[Seal]) -> None:
        kept = await self._audit.sealed_rows([seal.n for seal in seals])
        found: dict[int, list[Row]] = {seal.n: [] for seal in seals}
        place = 0
        async with aclosing(self._audit.rows(seals[0].from_xid, seals[-1].to_xid)) as pages:  # type: ignore[type-var]  # as above
            async for page in pages:
                for row in page:
                    while _xid(row) >= seals[place].to_xid:
                        place += 1
                    found[seals[place].n].append(row)
        for seal in seals:
            self._verdict.rows += len(found[seal.n])
            self._verdict.add(*await self._check_rows(seal, kept.get(seal.n), found[seal.n]))

    async def _check_rows(self, seal: Seal, kept: SealedRows | None, found: Sequence[Row]) -> Sequence[Finding]:
        key = self._keys[seal.key_id]
        if kept is None and (await self._audit.retained()).excuses(seal.last_at):
            self._verdict.rows_dropped += seal.row_count
            return [row_added(seal.n, name) for name in await self._unexplained(_named(found), (seal.n,))]
        if kept is None or not belong(seal, kept):
            findings = [rows_of_seal_changed(seal, "is gone" if kept is None else "was changed")]
            if merkle_root([key.leaf(row) for row in found]) != seal.root:
                findings.append(rows_do_not_give_root(seal))
            return findings
        compared = compare(seal, kept, found, key)
        return [] if compared.whole and not compared.strangers else await self._name(seal, compared)

    async def _name(self, seal: Seal, compared: Compared) -> Sequence[Finding]:
        """Which rows are bad, and in which way."""
        strangers = await self._unexplained(compared.strangers, (seal.n,))
        missing, excused = list(compared.missing), 0
        if missing:
            retained = await self._audit.retained()
            missing = [name for name in missing if not retained.excuses(name.at)]
            excused = len(compared.missing) - len(missing)
            self._verdict.rows_dropped += excused
        there = set(await self._audit.present(missing)) if missing else set()
        findings = [row_changed(seal.n, name) for name in compared.changed]
        for name in missing:
            other = next((stranger for stranger in strangers if same_row(name, stranger)), None)
            if name in there:
                findings.append(row_changed(seal.n, name))
            elif other is not None:
                strangers.remove(other)
                findings.append(row_changed(seal.n, name, other))
            else:
                findings.append(row_removed(seal.n, name))
        findings += [row_added(seal.n, name) for name in (*strangers, *compared.doubled)]
        if not findings and not excused and not compared.whole:
            findings.append(rows_do_not_give_root(seal))
        return findings

    async def _unexplained(self, strangers: Mapping[RowName, Row], but: Sequence[int]) -> list[RowName]:
        """Those that no other seal has and that are not still to be sealed."""
        if not strangers:
            return []
        if self._open_to != MOST_XID:  # asked after the rows were: all that were written here have smaller ids
            self._open_to = (await self._audit.state()).unborn_from
        rest = {name: row for name, row in strangers.items() if not self._open_from <= _xid(row) < self._open_to}
        if not rest:
            return []
        xids = [_xid(row) for row in rest.values()]
        others = await self._audit.covering(min(xids), max(xids) + 1, but=but)
        for seal in others:
            key = self._keys.get(seal.key_id)
            if key is None or not key.made(seal):
                continue
            known = await self._leaves_of(seal)
            rest = {name: row for name, row in rest.items() if key.leaf(row)[:SHORT] not in known}
        return list(rest)

    async def _leaves_of(self, seal: Seal) -> frozenset[bytes]:
        if seal.n not in self._others:
            rows = (await self._audit.sealed_rows([seal.n])).get(seal.n)
            if len(self._others) >= _OTHERS_KEPT:
                self._others.pop(next(iter(self._others)))
            self._others[seal.n] = frozenset(rows.leaves if rows is not None and belong(seal, rows) else ())
        return self._others[seal.n]


def _grouped(seals: Sequence[Seal]) -> Sequence[Sequence[Seal]]:
    """Neighbours whose rows are read at once."""
    groups: list[list[Seal]] = []
    rows = 0
    for seal in seals:
        rows += seal.row_count
        if groups and groups[-1][-1].to_xid == seal.from_xid and rows <= _ROWS_AT_ONCE:
            groups[-1].append(seal)
        else:
            groups.append([seal])
            rows = seal.row_count
    return groups


def _within(seal: Seal, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or seal.last_at >= since) and (until is None or seal.first_at < until)


def _named(rows: Sequence[Row]) -> Mapping[RowName, Row]:
    return {RowName.of(row): row for row in rows}


def _xid(row: Row) -> int:
    return int(row[-1] or 0)
