"""Whatever happens in an honest audit, checking it finds nothing: commits out of order, roll-backs, holds that are
reaped and corrected, retention, restores, and sealers that are killed at any instant.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from uuid import uuid4

import psycopg
import pytest

from adapters.postgres.audit_seals import PostgresAuditSeals
from adapters.postgres.seal_queries import UNSEALED_AGE
from adapters.system.clock import SystemClock
from application.seal_audit import SealAudit
from domain.seal_checks import Damage
from entrypoints.cli.audit_verify import read_anchors
from tests.adapters.postgres.former_program import former_program
from tests.adapters.postgres.seals.sealing import KEY, WRITE, Sealing, pool_of, sealing_of
from tests.dumping import another_database, dump, restore
from tests.e2e.programs import program_environment
from tests.logins import login_in
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores

UNREST_S = 5.0
WRITERS = 3


def write_out_of_order(url: str, seed: int, stop: threading.Event) -> None:
    """Two transactions at a time, which end in any order, in any way, some with savepoints in them."""
    random = Random(seed)  # noqa: S311  to be repeated
    with psycopg.connect(url) as one, psycopg.connect(url) as other:
        while not stop.is_set():
            pair = [one, other]
            for connection in pair:
                connection.execute(WRITE, (random.randint(1, 20),))
                if random.random() < 0.3:
                    with connection.transaction(force_rollback=random.random() < 0.5):
                        connection.execute(WRITE, (2,))
            random.shuffle(pair)
            for connection in pair:
                stop.wait(random.uniform(0, 0.05))
                (connection.rollback if random.random() < 0.2 else connection.commit)()


def hold_reap_and_correct(url: str, stop: threading.Event) -> None:
    """Calls whose process dies, whose holds are reaped, and whose settlements come late."""
    with former_program(url) as program:
        key = program.administer()
        while not stop.is_set():
            hold = program.hold(key, uuid4().hex)
            program.batch(holds=[hold])
            program.ask("update neuronetz.processes set beat_at = neuronetz.ledger_now() - interval '1 hour'")
            program.ask("select neuronetz.reap('1 minute')")
            program.batch(settles=[program.end(hold)])
            stop.wait(0.02)


async def killed_sealers(url: str) -> asyncio.subprocess.Process:
    arguments = ["-m", "tests.adapters.postgres.seals.killed_sealers", url, str(UNREST_S)]
    pipe, environ = asyncio.subprocess.PIPE, program_environment()
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=pipe, stderr=pipe, env=environ)


async def test_nothing_is_found_in_an_honest_audit_whose_sealers_are_killed(sealing: Sealing) -> None:
    stop = threading.Event()
    writers = [threading.Thread(target=write_out_of_order, args=(sealing.url, seed, stop)) for seed in range(WRITERS)]
    writers.append(threading.Thread(target=hold_reap_and_correct, args=(sealing.url, stop)))
    for writer in writers:
        writer.start()
    try:
        pair = await asyncio.gather(killed_sealers(sealing.url), killed_sealers(sealing.url))
        meanwhile = []
        while any(program.returncode is None for program in pair):
            await asyncio.sleep(0.5)
            meanwhile += (await sealing.verify()).findings
        told = [await program.communicate() for program in pair]
    finally:
        stop.set()
        for writer in writers:
            writer.join(30)
    await sealing.seal()

    kills = sum(int(err.split()[-1]) for _, err in told)
    anchors = read_anchors(line for out, _ in told for line in out.decode().splitlines())
    verdict = await sealing.verify(anchors=anchors)
    [(rows, corrected)] = sealing.ask(
        "select count(*), count(*) filter (where event = 'corrected') from neuronetz.audit"
    )
    assert (meanwhile, verdict.findings) == ([], [])
    assert (verdict.rows, verdict.unsealed.count) == (rows, 0)
    assert min(kills, verdict.seals, len(anchors), int(str(corrected))) > 1


async def test_retention_is_told_and_is_no_tampering(sealing: Sealing) -> None:
    clock = DatabaseClock(sealing.url)
    for month in (1, 1, 2, 3, 4):
        await clock.set(datetime(2027, month, 20, tzinfo=UTC))
        sealing.write(5)
        if month != 2:  # so that one seal has rows of two months, of which one goes
            await sealing.seal()

    sealing.ask("select neuronetz.drop_audit_before('2027-03-01')")
    verdict = await sealing.verify()

    assert verdict.findings == []
    assert verdict.rows_dropped == 15
    assert verdict.dropped is not None
    assert verdict.dropped.before.isoformat() == "2027-03-01"
    assert sealing.ask("select n from neuronetz.seal_rows order by 1") == [(3,), (4,)]
    sealing.meddle("update neuronetz.audit set detail = '{}' where detail->>'change' = 'drop_audit'")
    assert {finding.damage for finding in (await sealing.verify()).findings} >= {Damage.ROW_REMOVED}


async def test_a_clock_that_goes_back_spoils_nothing(sealing: Sealing) -> None:
    clock = DatabaseClock(sealing.url)
    for day in (20, 3, 25, 1):
        await clock.set(datetime(2027, 5, day, tzinfo=UTC))
        sealing.write(3)
        await sealing.seal()

    verdict = await sealing.verify()

    assert (verdict.findings, verdict.rows, verdict.seals) == ([], 12, 4)


async def test_a_gateways_login_seals(sealing: Sealing) -> None:
    sealing.write(3)
    with login_in("neuronetz_gateway", sealing.url) as url:
        async with pool_of(url) as pool:
            await SealAudit(seals=PostgresAuditSeals(pool), key=KEY, clock=SystemClock(), every_s=0.0).step()

    assert (await sealing.verify()).rows == 3


async def test_a_restored_audit_is_as_it_was_sealed_and_goes_on(sealing: Sealing, tmp_path: Path) -> None:
    for _ in range(3):
        sealing.write(4)
        await sealing.seal()
    sealing.write(2)
    with psycopg.connect(sealing.url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        [(snapshot,)] = connection.execute("select pg_export_snapshot()")
        dump(sealing.url, tmp_path / "dump", snapshot=snapshot)
    anchors = sealing.anchors()

    with another_database(sealing.url) as url:
        restore(tmp_path / "dump", url)
        async with sealing_of(url) as restored:
            before = await restored.verify(anchors=anchors)
            restored.write(2)
            await restored.seal()
            after = await restored.verify(anchors=anchors)

    assert (before.findings, before.rows, before.unsealed.count) == ([], 12, 2)
    assert (after.findings, after.rows, after.unsealed.count) == ([], 16, 0)


async def test_a_long_transaction_holds_sealing_up_and_that_is_seen(sealing: Sealing) -> None:
    with psycopg.connect(sealing.url) as forgotten:
        forgotten.execute(WRITE, (1,))
        sealing.write(2)
        await sealing.seal()

        assert sealing.seals() == []
        assert sealing.sealer.unsealed_s > 0
    await sealing.seal()

    assert [seal.row_count for seal in sealing.seals()] == [3]
    assert sealing.sealer.unsealed_s == 0


async def test_a_row_that_waits_behind_many_foreign_transactions_is_seen(sealing: Sealing) -> None:
    sealing.write(1)
    [(xid,)] = sealing.ask("select xid::text::bigint from neuronetz.audit")
    span = {"from_xid": int(str(xid)) - 200_000, "unborn_from": int(str(xid)) + 1}

    [(age_s,)] = sealing.intruder.execute(UNSEALED_AGE, span)

    assert age_s is not None
