"""The journal in memory: notes go to the books when it is drained, a flood as counted rows."""

from __future__ import annotations

import ipaddress
from collections import Counter

import attrs

from domain.ports.usage_journal import Note, UsageJournal
from tests.fakes.registers import AuditRow, Books

_ONE_BY_ONE = 200


class MemoryUsageJournal(UsageJournal):
    def __init__(self, books: Books, *, capacity: int = 10_000) -> None:
        self._books = books
        self._capacity = capacity
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._waiting: list[Note] = []
        self._counted: dict[tuple[object, ...], AuditRow] = {}
        self._full = False
        self.notes: list[Note] = []
        """Everything that was handed over and not lost, for tests that look at it."""

    def note(self, note: Note) -> None:
        kind = (
            self._books.now().replace(microsecond=0),
            _network(note.address),
            note.code,
            note.tenant_id,
            note.key_id,
        )
        if note.event == "refused":
            self._seen[kind] += 1
            if self._seen[kind] > _ONE_BY_ONE:
                row = self._counted.get(kind)
                self._counted[kind] = attrs.evolve(row, count=row.count + 1) if row else self._row(note)
                return
        if len(self._waiting) >= self._capacity:
            self._full = True
            return
        self._waiting.append(note)
        self.notes.append(note)

    @property
    def full(self) -> bool:
        return self._full

    async def drain(self, timeout_s: float) -> None:  # noqa: ARG002 - there is nothing to wait for
        if self._books.unavailable:
            return
        self._books.audit += [self._row(note) for note in self._waiting]
        self._books.audit += self._counted.values()
        self._waiting.clear()
        self._counted.clear()
        self._full = False

    def _row(self, note: Note) -> AuditRow:
        return AuditRow(
            at=self._books.now(),
            event=note.event,
            tenant_id=note.tenant_id,
            request_id=note.request_id,
            key_id=note.key_id,
            code=note.code,
        )


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
