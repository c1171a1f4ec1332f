"""How far sealing goes, where it begins on another server, and what is found there: on the audit in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import attrs
import pytest
from structlog.testing import capture_logs

from application.seal_audit import LOOK_EVERY_S, MOST_ROWS, SealAudit
from application.verify_audit import Verdict, VerifyAudit
from domain.seal_checks import Damage
from domain.seals import MOST_XID, Row, RowName, SealKey
from tests.fakes.audit_seals import MemoryAudit, MemoryAuditSeals, MemorySealedAudit
from tests.fakes.surroundings import FakeClock

KEY = SealKey.made_from(b"the current secret of the gateways")
FORMER = SealKey.made_from(b"the one that they had before that")


@pytest.fixture
def audit() -> MemoryAudit:
    return MemoryAudit()


def sealer(audit: MemoryAudit, key: SealKey = KEY, every_s: float = 0.0) -> SealAudit:
    return SealAudit(seals=MemoryAuditSeals(audit), key=key, clock=FakeClock(), every_s=every_s)


async def check(audit: MemoryAudit, *keys: SealKey) -> Verdict:
    return await VerifyAudit(audit=MemorySealedAudit(audit), keys=keys or (KEY,)).run()


async def test_what_a_running_transaction_may_still_precede_is_not_sealed(audit: MemoryAudit) -> None:
    audit.write()
    audit.held_xid = audit.next_xid
    audit.next_xid += 1
    audit.write(3)
    gateway = sealer(audit)

    await gateway.step()
    held = [seal.row_count for seal in audit.seals]
    audit.write(1, xid=audit.held_xid)
    audit.held_xid = None
    await gateway.step()

    assert held == [1]
    assert [seal.row_count for seal in audit.seals] == [1, 4]
    assert (await check(audit)).findings == []


async def test_a_seal_has_about_a_thousand_rows_and_whole_transactions(audit: MemoryAudit) -> None:
    for _ in range(5):
        audit.write(600)
    audit.write(2 * MOST_ROWS)
    audit.write(1)

    await sealer(audit).step()

    assert [seal.row_count for seal in audit.seals] == [600] * 5 + [2 * MOST_ROWS, 1]
    assert (await check(audit)).findings == []


async def test_a_young_seal_is_left_to_itself_and_one_from_the_future_is_not(audit: MemoryAudit) -> None:
    gateway = sealer(audit, every_s=LOOK_EVERY_S)
    counts = []
    for seconds in (0, 1, LOOK_EVERY_S, -3600):
        audit.now += timedelta(seconds=seconds)
        audit.write()
        await gateway.step()
        counts.append(len(audit.seals))

    assert counts == [1, 1, 2, 3]


async def test_seals_that_were_there_and_are_not_are_told(audit: MemoryAudit) -> None:
    gateway = sealer(audit)
    for _ in range(3):
        audit.write()
        await gateway.step()
    del audit.seals[1:]

    with capture_logs() as logs:
        await gateway.step()

    [lost] = [line for line in logs if line["event"] == "audit_seals_lost"]
    assert (lost["n"], lost["log_level"]) == (3, "error")


async def test_whoever_comes_tells_the_last_seal_once_more(audit: MemoryAudit) -> None:
    audit.write()
    await sealer(audit).step()

    with capture_logs() as logs:
        await sealer(audit).step()

    assert [(line["event"], line["mac"]) for line in logs] == [("audit_sealed", audit.seals[0].mac.hex())]


async def test_gateways_with_two_keys_make_one_chain_and_both_are_needed_to_check_it(audit: MemoryAudit) -> None:
    for key in (FORMER, KEY, FORMER):
        audit.write()
        await sealer(audit, key).step()

    assert (await check(audit, KEY, FORMER)).findings == []
    verdict = await check(audit, KEY)
    assert ([finding.damage for finding in verdict.findings], verdict.more) == ([Damage.KEY_UNKNOWN], 1)


@pytest.mark.parametrize("next_xid", [20, 107, 5_000], ids=["begins anew", "is half way", "is far ahead"])
async def test_after_a_restore_on_another_server_everything_is_sealed_once_more(
    audit: MemoryAudit, next_xid: int
) -> None:
    for _ in range(8):
        audit.write(2)
        await sealer(audit).step()
    audit.write(3)  # younger than the last seal of the backup
    audit.server, audit.next_xid = 2, next_xid
    restored = await check(audit)
    for _ in range(200):  # until the ids of the restored rows have come round
        audit.write(1)
        if audit.next_xid % 10 == 0:
            await sealer(audit).step()
    await sealer(audit).step()

    assert restored.findings == []
    verdict = await check(audit)
    assert (verdict.findings, verdict.unsealed.count) == ([], 0)
    sealed = {name for rows in audit.sealed_rows.values() for name in rows.names}
    assert sealed == set(map(RowName.of, audit.rows))
    audit.rows.pop(0)
    assert (await check(audit)).findings[0].damage is Damage.ROW_REMOVED


async def test_a_row_with_an_id_that_is_still_to_come_was_added(audit: MemoryAudit) -> None:
    audit.write(2)
    await sealer(audit).step()
    audit.write(1, xid=audit.next_xid + 1_000)

    assert [finding.damage for finding in (await check(audit)).findings] == [Damage.ROW_ADDED]


async def test_nobody_is_in_the_way_when_another_has_the_turn(audit: MemoryAudit) -> None:
    audit.write()
    audit.turn_taken = True

    await sealer(audit).step()

    assert audit.seals == []
    assert sealer(audit).unsealed_s == 0.0


async def test_a_row_that_no_span_can_have_was_added(audit: MemoryAudit) -> None:
    audit.write(2)
    await sealer(audit).step()
    audit.write(1, xid=MOST_XID)

    assert [finding.damage for finding in (await check(audit)).findings] == [Damage.ROW_ADDED]


async def test_a_row_that_is_there_twice_was_added_though_two_seals_have_it(audit: MemoryAudit) -> None:
    audit.write(2)
    await sealer(audit).step()
    audit.server = 2
    audit.write(1)
    await sealer(audit).step()
    assert (await check(audit)).findings == []
    audit.rows.append(audit.rows[0])

    assert {finding.damage for finding in (await check(audit)).findings} == {Damage.ROW_ADDED}


async def test_a_seal_of_restored_rows_spans_no_more_than_them(audit: MemoryAudit) -> None:
    for xid in (5_000_000, 6_000_000):
        audit.write(2, xid=xid)
    audit.next_xid = 10

    await sealer(audit).step()

    restored = [seal for seal in audit.seals if seal.restored]
    assert (restored[0].from_xid, restored[-1].to_xid) == (5_000_000, 6_000_001)


async def test_what_has_piled_up_is_read_little_more_than_once(audit: MemoryAudit) -> None:
    gateway = sealer(audit)
    for _ in range(40):  # quiet, so that the width could grow
        audit.write(1)
        await gateway.step()
    for _ in range(20 * MOST_ROWS):
        audit.write(1)
    audit.looked_at = 0

    await gateway.step()

    assert audit.looked_at < 3 * 20 * MOST_ROWS
    assert (await check(audit)).findings == []


async def test_what_no_seal_can_say_is_not_taken_for_good(audit: MemoryAudit) -> None:
    audit.write(2)
    await sealer(audit).step()
    [seal] = audit.seals
    audit.seals[0] = attrs.evolve(seal, to_xid=MOST_XID)

    assert [finding.damage for finding in (await check(audit)).findings] == [Damage.SEAL_CHANGED]


class BusyAudit(MemorySealedAudit):
    """Somebody writes a row whenever it is read."""

    async def rows(self, from_xid: int, to_xid: int) -> AsyncIterator[Sequence[Row]]:
        self.audit.write()
        async for page in super().rows(from_xid, to_xid):
            yield page


async def test_what_is_written_while_it_is_checked_is_no_alarm(audit: MemoryAudit) -> None:
    audit.write(2)
    await sealer(audit).step()

    verdict = await VerifyAudit(audit=BusyAudit(audit), keys=[KEY]).run()

    assert verdict.findings == []
