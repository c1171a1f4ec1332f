"""The register in memory, with its books open: what tests of administration look up and put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from domain.budgets import Window
from domain.ports.registers import ApiKey, Tenant
from tests.fakes.prompt_journal import MemoryPromptJournal
from tests.fakes.registers import AuditRow, Books, MemoryTenantRegister
from tests.fakes.surroundings import FakeClock

Announcement = tuple[str, tuple[tuple[str, int], ...]]


class OpenRegister(MemoryTenantRegister):
    def __init__(self) -> None:
        self.books = Books(now=FakeClock().now)
        super().__init__(self.books)
        self.kept = MemoryPromptJournal(self.books)

    @property
    def by_name(self) -> Mapping[str, Tenant]:
        return {row.shown.name: row.shown for row in self.books.tenants.values()}

    @property
    def by_prefix(self) -> Mapping[str, ApiKey]:
        return {row.shown.prefix: row.shown for row in self.books.keys.values()}

    @property
    def hashes(self) -> Mapping[str, str]:
        return {row.shown.prefix: row.secret_hash for row in self.books.keys.values()}

    @property
    def actors(self) -> Sequence[str | None]:
        return [row.actor for row in self.books.audit if row.event == "admin"]

    def now(self) -> datetime:
        return self.books.now()

    def in_short(self, announcements: Sequence[Announcement]) -> Sequence[Announcement]:
        """With t1, t2, k1, k2 for identifiers, in the order they were made."""
        short = {id_: f"t{number}" for number, id_ in enumerate(self.books.tenants, 1)}
        short |= {id_: f"k{number}" for number, id_ in enumerate(self.books.keys, 1)}
        return [(short[of], tuple((short[id_], count) for id_, count in pairs)) for of, pairs in announcements]

    def use_today(self, tenant_name: str, *, used: int, held: int) -> None:
        tenant = self.by_name[tenant_name]
        level = self.books.level(tenant.id, tenant.id, Window.DAILY, Window.DAILY.start(self.now()))
        level.used, level.held = used, held

    def call_with(self, prefix: str, *, prompt_tokens: int, output_tokens: int) -> None:
        key = self.by_prefix[prefix]
        for event, tokens in (("started", (0, 0)), ("finished", (prompt_tokens, output_tokens)), ("refused", (0, 0))):
            self.books.audit.append(
                AuditRow(
                    at=self.now(),
                    event=event,
                    tenant_id=key.tenant_id,
                    key_id=key.id,
                    prompt_tokens=tokens[0],
                    output_tokens=tokens[1],
                )
            )
