"""The audit in memory. A place is how many lines there were; nothing here commits out of order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from domain.faults import FaultCode
from domain.ports.audit_reader import (
    AuditFilter,
    AuditLine,
    AuditNews,
    AuditPage,
    AuditPlace,
    AuditReader,
    SearchTooLong,
)
from tests.fakes.registers import Books


class MemoryAuditReader(AuditReader):
    def __init__(self, books: Books, *, most_news: int = 5_000) -> None:
        self._books = books
        self._most_news = most_news
        self.lines: list[AuditLine] = []
        """Everything, in the order it was written."""
        self.patient = True
        """Whether a search of all time is gone through with."""

    async def newest(self, wanted: AuditFilter, most: int) -> AuditNews:
        if not self.patient and wanted.since is None:
            raise SearchTooLong
        lines = in_time(self._wanted(wanted, self.lines))[-most:]
        return AuditNews(lines=lines, place=AuditPlace(str(len(self.lines))))

    async def follow(self, wanted: AuditFilter, after: AuditPlace) -> AuditNews:
        start = int(after)
        part = self.lines[start : start + self._most_news]
        place = AuditPlace(str(start + len(part)))
        more = len(part) == self._most_news
        return AuditNews(lines=in_time(self._wanted(wanted, part)), place=place, more=more)

    async def everything(self, wanted: AuditFilter) -> AsyncIterator[AuditPage]:
        lines = in_time(self._wanted(wanted, self.lines))
        for nth, line in enumerate(lines):
            yield AuditPage(lines=[line], passed=nth / len(lines))
        yield AuditPage(lines=[], passed=1.0)

    def _wanted(self, wanted: AuditFilter, lines: Sequence[AuditLine]) -> list[AuditLine]:
        self._books.ask(FaultCode.LEDGER_UNAVAILABLE)
        if wanted.tenant_name is not None:
            self._books.tenant_named(wanted.tenant_name)
        names = ("tenant_name", "key_prefix", "event", "request_id")
        return [
            line
            for line in lines
            if all(getattr(wanted, name) in (None, getattr(line, name)) for name in names)
            and wanted.outcome in (None, line.outcome, line.code)
            and (wanted.since is None or wanted.since <= line.at)
            and (wanted.until is None or line.at < wanted.until)
        ]


def in_time(lines: Sequence[AuditLine]) -> Sequence[AuditLine]:
    return sorted(lines, key=lambda line: line.at)
