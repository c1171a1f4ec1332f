"""What every reader of the audit does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import attrs
import pytest

from domain.ports.audit_reader import AuditFilter, AuditLine, AuditPage, AuditReader
from domain.ports.registers import Tenant, TenantRegister, Unknown

ALL = AuditFilter()


@attrs.frozen(kw_only=True)
class AuditBench:
    """A reader that follows in parts of three lines, the register of the same books, and a pen."""

    reader: AuditReader
    register: TenantRegister
    write: Callable[[Sequence[AuditLine]], Awaitable[None]]
    """Commits lines in one transaction."""

    async def a_tenant(self) -> Tenant:
        return await self.register.add_tenant(f"tenant-{uuid4().hex}", actor="test")

    async def wrote(self, **words: Any) -> AuditLine:
        line = a_line(**words)
        await self.write([line])
        return line

    async def wrote_some(self, count: int) -> list[AuditLine]:
        """Lines a millisecond apart."""
        at = datetime.now(UTC)
        lines = [a_line(at=at - timedelta(milliseconds=count - nth)) for nth in range(count)]
        await self.write(lines)
        return lines

    async def everything(self, wanted: AuditFilter = ALL) -> list[AuditLine]:
        return [line for page in await self.pages(wanted) for line in page.lines]

    async def pages(self, wanted: AuditFilter = ALL) -> list[AuditPage]:
        return [page async for page in self.reader.everything(wanted)]

    async def news(self, place: Any, wanted: AuditFilter = ALL) -> tuple[list[AuditLine], Any]:
        """All there is since a place."""
        lines: list[AuditLine] = []
        while True:
            news = await self.reader.follow(wanted, place)
            lines, place = [*lines, *news.lines], news.place
            if not news.more:
                return lines, place


def a_line(*, tenant: Tenant | None = None, **words: Any) -> AuditLine:
    given: dict[str, Any] = {
        "at": datetime.now(UTC),
        "event": "finished",
        "request_id": uuid4().hex,
        "status": 200,
        "outcome": "done",
    }
    of = {} if tenant is None else {"tenant_id": tenant.id, "tenant_name": tenant.name}
    return AuditLine(**given | of | words)


class AuditContract:
    # ---- the newest ----

    async def test_the_newest_come_last_and_no_more_than_asked(self, bench: AuditBench) -> None:
        lines = await bench.wrote_some(5)

        assert (await bench.reader.newest(ALL, 3)).lines == lines[2:]

    async def test_old_lines_are_found_among_the_newest(self, bench: AuditBench) -> None:
        tenant = await bench.a_tenant()
        old = await bench.wrote(at=this_month(), tenant=tenant)
        new = await bench.wrote(tenant=tenant)

        assert (await bench.reader.newest(AuditFilter(tenant_name=tenant.name, event="finished"), 9)).lines == [
            old,
            new,
        ]

    async def test_a_line_keeps_every_word(self, bench: AuditBench) -> None:
        line = await bench.wrote(
            tenant=await bench.a_tenant(),
            key_prefix="nz_abcd1234",
            route="/api/chat",
            model="llama3.2:latest",
            backend="gpu1",
            address="192.0.2.7",
            code="backend_failed",
            prompt_tokens=10,
            output_tokens=-3,
            held_tokens=100,
            overshoot_tokens=0,
            bytes_out=1234,
            queued_ms=1,
            first_byte_ms=20,
            duration_ms=300,
            count=7,
            actor="cli:me",
            detail={"change": "nothing"},
        )

        assert (await bench.reader.newest(AuditFilter(event="finished"), 9)).lines == [line]

    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            ({"key_prefix": "nz_abcd1234"}, {"key_prefix": "nz_abcd1234"}),
            ({"event": "refused"}, {"event": "refused"}),
            ({"outcome": "cut"}, {"outcome": "cut"}),
            ({"outcome": "rate_limited"}, {"event": "refused", "outcome": None, "code": "rate_limited"}),
            ({"request_id": "0123456789abcdef0123456789abcdef"}, {"request_id": "0123456789abcdef0123456789abcdef"}),
        ],
    )
    async def test_a_filter_leaves_the_others_out(
        self, bench: AuditBench, wanted: dict[str, Any], words: dict[str, Any]
    ) -> None:
        await bench.wrote()
        meant = await bench.wrote(**words)
        place = (await bench.reader.newest(AuditFilter(**wanted), 0)).place
        await bench.wrote()

        assert (await bench.reader.newest(AuditFilter(**wanted), 9)).lines == [meant]
        assert await bench.everything(AuditFilter(**wanted)) == [meant]
        assert (await bench.news(place, AuditFilter(**wanted)))[0] == []

    async def test_a_span_of_time_holds_its_first_instant_and_not_its_last(self, bench: AuditBench) -> None:
        lines = await bench.wrote_some(4)
        wanted = AuditFilter(since=lines[1].at, until=lines[3].at)

        assert (await bench.reader.newest(wanted, 9)).lines == lines[1:3]
        assert await bench.everything(wanted) == lines[1:3]

    async def test_a_tenant_sees_its_own_lines_alone(self, bench: AuditBench) -> None:
        mine, theirs = await bench.a_tenant(), await bench.a_tenant()
        await bench.wrote(tenant=theirs)
        line = await bench.wrote(tenant=mine)
        await bench.wrote()
        wanted = AuditFilter(tenant_name=mine.name, event="finished")

        assert (await bench.reader.newest(wanted, 9)).lines == [line]
        assert await bench.everything(wanted) == [line]

    async def test_a_tenant_that_is_not_there_is_unknown(self, bench: AuditBench) -> None:
        wanted = AuditFilter(tenant_name="nobody")
        place = (await bench.reader.newest(ALL, 1)).place

        with pytest.raises(Unknown):
            await bench.reader.newest(wanted, 9)
        with pytest.raises(Unknown):
            await bench.reader.follow(wanted, place)
        with pytest.raises(Unknown):
            await bench.everything(wanted)

    # ---- following ----

    async def test_news_come_once_and_in_the_order_of_time(self, bench: AuditBench) -> None:
        await bench.wrote()
        place = (await bench.reader.newest(ALL, 9)).place
        at = datetime.now(UTC)
        new = [a_line(at=at + timedelta(milliseconds=nth)) for nth in range(8)]

        await bench.write(new)

        lines, behind = await bench.news(place)
        assert lines == new
        assert (await bench.news(behind))[0] == []

    async def test_nothing_new_is_no_news(self, bench: AuditBench) -> None:
        await bench.wrote()
        place = (await bench.reader.newest(ALL, 9)).place

        lines, place = await bench.news(place)
        again, _ = await bench.news(place)

        assert lines == again == []

    async def test_lines_with_one_time_are_told_apart(self, bench: AuditBench) -> None:
        place = (await bench.reader.newest(ALL, 9)).place
        at = datetime.now(UTC)
        new = [a_line(at=at) for _ in range(10)]

        await bench.write(new)

        lines, _ = await bench.news(place)
        assert sorted(line.request_id for line in lines) == sorted(line.request_id for line in new)

    # ---- everything ----

    async def test_everything_is_in_the_order_of_time_and_ends_at_one(self, bench: AuditBench) -> None:
        first = await bench.wrote()
        second = await bench.wrote(at=first.at - timedelta(milliseconds=5))

        pages = await bench.pages()

        assert [line for page in pages for line in page.lines] == [second, first]
        assert [page.passed for page in pages] == sorted(page.passed for page in pages)
        assert pages[-1].passed == 1.0

    async def test_an_empty_audit_has_an_end(self, bench: AuditBench) -> None:
        assert await bench.everything() == []

    async def test_what_comes_while_it_is_read_is_left_out(self, bench: AuditBench) -> None:
        before = await bench.wrote()
        pages = bench.reader.everything(ALL)
        first = await anext(pages)
        await bench.wrote()

        assert [*first.lines, *[line async for page in pages for line in page.lines]] == [before]


def this_month() -> datetime:
    """The first instant that a line can have: the audit has no room before this month. Hence the small steps above."""
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
