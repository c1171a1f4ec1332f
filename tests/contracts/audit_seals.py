"""What both sides of the seals do. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest

from application.seal_audit import SealAudit
from application.verify_audit import VerifyAudit
from domain.ports.audit_seals import AlreadySealed, AuditSeals, SealedAudit
from domain.seals import MOST_XID, RowName, SealKey
from tests.fakes.surroundings import FakeClock

KEY = SealKey.made_from(b"a secret that PostgreSQL never sees")


@attrs.frozen(kw_only=True)
class SealBench:
    """Both sides of one audit, and a hand that writes it."""

    seals: AuditSeals
    sealed: SealedAudit
    write: Callable[[int], Awaitable[None]]
    """So many rows in one transaction."""

    def sealer(self) -> SealAudit:
        return SealAudit(seals=self.seals, key=KEY, clock=FakeClock(), every_s=0.0)


class SealContract:
    async def test_what_is_written_is_sealed_and_checked(self, bench: SealBench) -> None:
        for _ in range(3):
            await bench.write(4)
        await bench.sealer().step()

        head, state = await bench.sealed.head(), await bench.sealed.state()
        verdict = await VerifyAudit(audit=bench.sealed, keys=[KEY]).run()

        assert head is not None
        assert (head.n, head.row_count) == (1, 12)
        assert head.to_xid <= state.complete_below
        assert (verdict.findings, verdict.rows, verdict.unsealed.count) == ([], 12, 0)

    async def test_what_comes_later_has_a_seal_of_its_own_that_follows(self, bench: SealBench) -> None:
        for _ in range(3):
            await bench.write(1)
            await bench.sealer().step()

        first, second, third = await bench.sealed.seals(0, 10)

        assert (second.previous, third.previous) == (first.hash(), second.hash())
        assert (second.from_xid, third.from_xid) == (first.to_xid, second.to_xid)
        assert [seal.n for seal in await bench.sealed.seals(1, 1)] == [2]

    async def test_where_nothing_was_written_nothing_is_sealed(self, bench: SealBench) -> None:
        await bench.sealer().step()

        assert await bench.sealed.head() is None
        assert (await bench.seals.look(0)).unsealed_s is None

    async def test_there_is_one_turn_at_a_time(self, bench: SealBench) -> None:
        async with bench.seals.turn() as mine, bench.seals.turn() as yours:
            assert mine is not None
            assert yours is None
        async with bench.seals.turn() as next_one:
            assert next_one is not None

    async def test_a_number_is_given_once(self, bench: SealBench) -> None:
        await bench.write(1)
        await bench.sealer().step()
        [seal] = await bench.sealed.seals(0, 10)
        rows = (await bench.sealed.sealed_rows([1]))[1]

        async def once_more() -> None:
            async with bench.seals.turn() as turn:
                assert turn is not None
                await turn.append(seal, rows)

        with pytest.raises(AlreadySealed):
            await once_more()

        assert await bench.sealed.seals(0, 10) == [seal]

    async def test_rows_come_in_the_order_of_their_transactions_and_names(self, bench: SealBench) -> None:
        for _ in range(3):
            await bench.write(5)

        rows = [row async for page in bench.sealed.rows(0, MOST_XID) for row in page]

        assert len(rows) == 15
        assert rows == sorted(rows, key=lambda row: (int(row[-1] or 0), RowName.of(row).at_us, *row[1:4]))
        async with bench.seals.turn() as turn:
            assert turn is not None
            assert list(await turn.rows(0, MOST_XID, 7, restored=False)) == rows[:7]
            assert await turn.rows(0, MOST_XID, None, restored=True) == []

    async def test_what_is_there_is_told_from_what_is_not(self, bench: SealBench) -> None:
        await bench.write(2)
        [one, other] = [RowName.of(row) async for page in bench.sealed.rows(0, MOST_XID) for row in page]
        absent = attrs.evolve(one, request_id=bytes(16))

        assert set(await bench.sealed.present([one, absent, other])) == {one, other}

    async def test_seals_over_the_same_transactions_are_found(self, bench: SealBench) -> None:
        await bench.write(1)
        await bench.sealer().step()
        [seal] = await bench.sealed.seals(0, 10)
        last = seal.to_xid - 1

        assert await bench.sealed.covering(last, seal.to_xid, but=()) == [seal]
        assert await bench.sealed.covering(last, seal.to_xid, but=[seal.n]) == []
        assert await bench.sealed.covering(seal.to_xid, MOST_XID, but=()) == []

    async def test_a_look_shows_the_last_one_and_the_one_asked_for(self, bench: SealBench) -> None:
        for _ in range(2):
            await bench.write(1)
            await bench.sealer().step()
        await bench.write(1)

        look = await bench.seals.look(1)

        assert [seal and seal.n for seal in (look.known, look.head)] == [1, 2]
        assert look.unsealed_s is not None
        assert (await bench.seals.look(7)).known is None
