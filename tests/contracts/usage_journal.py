"""What every usage journal does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import attrs

from domain.ports.usage_journal import Note, UsageJournal


@attrs.frozen(kw_only=True)
class Written:
    """One line of the audit, as far as the contract looks at it."""

    event: str
    code: str | None
    tenant_id: str | None
    count: int


@attrs.frozen(kw_only=True)
class JournalBench:
    """A journal of room for 1,000 notes whose clock stands still, and what it wrote."""

    journal: UsageJournal
    written: Callable[[], Awaitable[Sequence[Written]]]

    async def drained(self) -> Sequence[Written]:
        await self.journal.drain(5)
        return await self.written()


def a_note(
    *,
    code: str | None = "rate_limited",
    event: str = "refused",
    address: str = "192.0.2.7",
    tenant_id: str | None = None,
) -> Note:
    return Note(
        request_id=uuid4().hex,
        event=event,
        route="/api/chat",
        address=address,
        status=429,
        code=code,
        tenant_id=tenant_id,
    )


class JournalContract:
    async def test_an_empty_journal_writes_nothing(self, bench: JournalBench) -> None:
        assert await bench.drained() == []
        assert not bench.journal.full

    async def test_what_was_noted_is_written(self, bench: JournalBench) -> None:
        tenant_id = str(uuid4())

        bench.journal.note(a_note(tenant_id=tenant_id))
        bench.journal.note(a_note(code=None, event="read"))

        assert sorted(await bench.drained(), key=lambda line: line.event) == [
            Written(event="read", code=None, tenant_id=None, count=1),
            Written(event="refused", code="rate_limited", tenant_id=tenant_id, count=1),
        ]

    async def test_a_flood_from_one_network_becomes_one_counted_line(self, bench: JournalBench) -> None:
        for nth in range(500):
            bench.journal.note(a_note(address=f"192.0.2.{nth % 250}"))

        lines = await bench.drained()

        assert len(lines) == 201
        assert sum(line.count for line in lines) == 500

    async def test_a_flood_hides_no_other_refusal(self, bench: JournalBench) -> None:
        tenant_id = str(uuid4())
        for _ in range(300):
            bench.journal.note(a_note())
        bench.journal.note(a_note(address="198.51.100.1"))
        bench.journal.note(a_note(address="2001:db8::1"))
        bench.journal.note(a_note(code="model_not_found"))
        bench.journal.note(a_note(tenant_id=tenant_id))

        lines = await bench.drained()

        assert sum(line.count for line in lines) == 304
        assert len(lines) == 205

    async def test_the_wide_network_of_ipv6_is_one(self, bench: JournalBench) -> None:
        for nth in range(300):
            bench.journal.note(a_note(address=f"2001:db8:1:{nth:x}::1"))

        assert len(await bench.drained()) == 201

    async def test_one_tenants_flood_is_not_counted_to_another(self, bench: JournalBench) -> None:
        mine, theirs = str(uuid4()), str(uuid4())
        for _ in range(300):
            bench.journal.note(a_note(tenant_id=mine))
            bench.journal.note(a_note(tenant_id=theirs))

        lines = await bench.drained()

        assert sum(line.count for line in lines if line.tenant_id == mine) == 300
        assert sum(line.count for line in lines if line.tenant_id == theirs) == 300

    async def test_more_than_it_can_hold_makes_it_full_until_it_is_drained(self, bench: JournalBench) -> None:
        for nth in range(1001):
            bench.journal.note(a_note(event="read", address=f"198.51.{nth % 250}.1"))
        overflowing = bench.journal.full

        lines = await bench.drained()

        assert overflowing
        assert not bench.journal.full
        assert len([line for line in lines if line.event == "read"]) == 1000

    async def test_drained_twice_is_written_once(self, bench: JournalBench) -> None:
        bench.journal.note(a_note())
        await bench.drained()

        assert len(await bench.drained()) == 1
