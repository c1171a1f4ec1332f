"""Tamperings that make use of how the check asks its questions."""

from __future__ import annotations

import pytest

from domain.seal_checks import Damage
from tests.adapters.postgres.seals.sealing import Sealing

pytestmark = pytest.mark.stores


@pytest.mark.parametrize("xid", ["null", "'9223372036854775807'"])
async def test_a_row_whose_transaction_no_span_can_have_was_added(sealing: Sealing, xid: str) -> None:
    sealing.write(3)
    await sealing.seal()
    sealing.meddle(
        "alter table neuronetz.audit alter column xid drop not null",
        f"insert into neuronetz.audit (event, xid) values ('finished', {xid})",  # noqa: S608  words above
    )

    assert [finding.damage for finding in (await sealing.verify()).findings] == [Damage.ROW_ADDED]


async def test_a_hole_in_a_month_is_not_excused_by_a_forged_retention(sealing: Sealing) -> None:
    sealing.write(1)
    await sealing.seal()
    [(partition, at)] = sealing.ask("select tableoid::regclass::text, at::text from neuronetz.audit")
    bounds = f"from (date_trunc('month', '{at}'::timestamptz)) to ('{at}')"
    sealing.meddle(
        f"alter table neuronetz.audit detach partition {partition}",
        "create table neuronetz.part (like neuronetz.audit including all)",
        f"alter table neuronetz.audit attach partition neuronetz.part for values {bounds}",
        "create table neuronetz.rest (like neuronetz.audit including all)",
        "alter table neuronetz.audit attach partition neuronetz.rest for values"
        f" from ('{at}'::timestamptz + interval '1 microsecond')"
        f" to (date_trunc('month', '{at}'::timestamptz) + interval '1 month')",
        "insert into neuronetz.audit (at, event, detail) values (neuronetz.ledger_now() + interval '1 second', 'admin',"
        """ '{"change": "drop_audit", "after": {"before": "2999-01-01"}}')""",
    )

    assert [finding.damage for finding in (await sealing.verify()).findings] == [Damage.ROW_REMOVED]
