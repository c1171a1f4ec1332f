"""Kept prompts in a dictionary, beside the books of the other fakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from domain.faults import FaultCode
from domain.ports.prompt_journal import KeptPrompts, NotKept, PromptJournal, Unwritable
from domain.ports.registers import Unknown
from domain.prompts import Listed, SealedExchange, end_of_hour
from tests.fakes.registers import AuditRow, Books


class MemoryPromptJournal(PromptJournal, KeptPrompts):
    def __init__(self, books: Books) -> None:
        self._books = books
        self.rows: dict[str, SealedExchange] = {}
        self.key_ends: dict[str, datetime] = {}
        self.unwritable = False
        """Set by a test: no batch will ever be taken."""
        self.writes = 0

    async def now(self) -> datetime:
        return self._asked().now()

    async def write(self, entries: Sequence[SealedExchange], *, lost: Mapping[str, int]) -> None:
        books = self._asked()
        self.writes += 1
        if self.unwritable and entries:
            raise Unwritable("not ever")
        for entry in entries:
            if entry.listed.expires_at > books.now():
                self.rows.setdefault(entry.listed.heading.request_id, entry)
                self.key_ends[entry.hour_key_id] = end_of_hour(entry.listed.expires_at)
        for tenant_id, count in lost.items():
            books.audit.append(
                AuditRow(at=books.now(), event="admin", tenant_id=tenant_id, code="prompts_lost", count=count)
            )

    async def purge(self) -> Sequence[str]:
        now = self._asked().now()
        day = now.astimezone(UTC).date()
        self.rows = {name: row for name, row in self.rows.items() if row.listed.expires_at.date() >= day}
        return [key_id for key_id, ends_at in self.key_ends.items() if ends_at <= now]

    async def forget_keys(self, key_ids: Sequence[str]) -> None:
        self._asked()
        for key_id in key_ids:
            self.key_ends.pop(key_id, None)

    async def entries(
        self, tenant_name: str, *, key_prefix: str | None, since: datetime | None, most: int, actor: str
    ) -> Sequence[Listed]:
        books = self._asked()
        tenant = books.tenant_named(tenant_name).shown
        key = None if key_prefix is None else books.key_at(key_prefix).shown
        if key is not None and key.tenant_id != tenant.id:
            raise Unknown(f"There is no key {key.prefix}.")
        found = [row.listed for row in self.rows.values() if row.listed.heading.tenant_id == tenant.id]
        found = [one for one in found if one.expires_at > books.now() and (since is None or one.at >= since)]
        found = [one for one in found if key is None or one.heading.key_id == key.id]
        books.record("list_prompts", tenant.id, actor, None if key is None else key.id)
        return sorted(found, key=lambda one: one.at, reverse=True)[:most]

    async def entry(self, request_id: str, *, actor: str) -> SealedExchange:
        books = self._asked()
        row = self.rows.get(request_id)
        if row is None or row.listed.expires_at <= books.now():
            raise NotKept(request_id)
        books.record("show_prompt", row.listed.heading.tenant_id, actor, row.listed.heading.key_id)
        return row

    def _asked(self) -> Books:
        self._books.ask(FaultCode.LEDGER_UNAVAILABLE)
        return self._books
