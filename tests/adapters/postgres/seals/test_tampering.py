"""What is changed in a sealed audit is found, and named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tests.adapters.postgres.seals.sealing import Sealing
from tests.adapters.postgres.seals.tampering import Case, cases
from tests.figures.record import record
from tests.figures.table import Figure
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores

COPIED = ("audit", "seals", "seal_rows")


async def prepare(sealing: Sealing) -> None:
    """Twelve seals over three months."""
    clock = DatabaseClock(sealing.url)
    for number in range(12):
        await clock.set(datetime(2027, 1 + number // 4, 3, 12, tzinfo=UTC) + timedelta(hours=number))
        sealing.write(3, transactions=6)
        await sealing.seal()
    for table in COPIED:
        sealing.meddle(f"create table public.{table} as table neuronetz.{table}")


@contextmanager
def undone(sealing: Sealing) -> Iterator[None]:
    """Afterwards all is as it was: the only way in which meddling leaves no trace."""
    yield
    statements = [
        "update neuronetz.test_clock set at = '2027-01-03 12:00:00+00'",
        "select neuronetz.make_audit_partitions()",
        "update neuronetz.test_clock set at = '2027-03-03 12:00:00+00'",
    ]
    for table in COPIED:
        again = f"insert into neuronetz.{table} select * from public.{table}"  # noqa: S608  names above
        statements += [f"delete from neuronetz.{table}", again]  # noqa: S608  likewise
    sealing.meddle(*statements)


async def failing(sealing: Sealing, seed: int, case: Case) -> str:
    """Does it, and says in which way it was not found as it should be; nothing if it was."""
    anchors = sealing.anchors() if case.anchored else None
    random = Random(seed)  # noqa: S311  to be repeated, not to be secret
    with undone(sealing):
        meant = case.meddle(sealing, random)
        verdict = await sealing.verify(anchors=anchors)
    if not verdict.findings:
        return f"{case.name} ({seed}): not found"
    first = verdict.findings[0]
    if first.damage not in case.damage or (meant is not None and first.row != meant):
        return f"{case.name} ({seed}): {first.sentence} instead of {meant}"
    return ""


async def test_100_of_100_tamperings_are_found_and_named(sealing: Sealing) -> None:
    await prepare(sealing)
    assert (await sealing.verify()).findings == []

    tried = [(case.name.split()[0], await failing(sealing, seed, case)) for seed, case in cases()]

    failed = [failure for _, failure in tried if failure]
    found = len(tried) - len(failed)
    how = ", ".join(f"{count} x {name}" for name, count in Counter(name for name, _ in tried).items())
    record(Figure.TAMPERINGS_FOUND, f"{found} of {len(tried)}", good=not failed, how=how)
    assert (failed, len(tried)) == ([], 100)
    assert (await sealing.verify()).findings == []
