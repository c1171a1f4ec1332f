"""A hundred ways to meddle with a sealed audit, each with what must be said of it. Drawn from a seed, so that a case
can be looked at again. All are done by a superuser for whom no trigger holds.
"""

# ruff: noqa: S608  an intruder's SQL, put together of this file's own words, is what it is made of

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import attrs

from domain.seal_checks import Damage
from domain.seals import COLUMNS, RowName, SealedRows, SealKey, hash_of_rows
from tests.adapters.postgres.seals.sealing import Sealing

_VALUES = {
    "at": "at + interval '1 microsecond'",
    "tenant_id": "gen_random_uuid()",
    "request_id": "gen_random_uuid()",
    "event": "case event when 'finished' then 'refused' else 'finished' end",
    "key_id": "gen_random_uuid()",
    "detail": """coalesce(detail, '{}') || '{"c": 1}'""",
    "xid": "(select (max(xid)::text::bigint + 7)::text::xid8 from neuronetz.audit)",
}
"""What a column is set to; others are numbers or texts."""
_NUMBERS = {
    "status", "prompt_tokens", "output_tokens", "held_tokens", "overshoot_tokens", "bytes_out", "queued_ms",
    "first_byte_ms", "duration_ms", "count",
}  # fmt: skip
_SEAL_COLUMNS = {
    "format": "format + 1", "server": "server + 1", "restored": "not restored", "from_xid": "from_xid - 1",
    "to_xid": "to_xid + 1", "row_count": "row_count + 1", "first_at": "first_at - interval '1 microsecond'",
    "last_at": "last_at + interval '1 microsecond'", "root": "sha256(root)", "rows_hash": "sha256(rows_hash)",
    "previous": "sha256(previous)", "made_at": "made_at + interval '1 second'", "mac": "sha256(mac)",
    "key_id": "'0011223344556677'",
}  # fmt: skip


@attrs.frozen
class Case:
    """One tampering."""

    name: str
    meddle: Callable[[Sealing, Random], RowName | None]
    """Does it, and says which row it was, where it was one."""
    damage: frozenset[Damage]
    """What the first finding may be."""
    anchored: bool = False
    """Whether it shows against the log only."""


def _row(sealing: Sealing, random: Random) -> tuple[str, RowName]:
    """Some row: where it is, and its name."""
    rows = sealing.ask(
        "select (extract(epoch from at) * 1000000)::bigint::text, tenant_id::text, request_id::text, event"
        " from neuronetz.audit order by 1, 2, 3, 4"
    )
    at_us, tenant, request, event = random.choice(rows)  # the same for the same seed and audit
    name = RowName.of([str(at_us), str(tenant), str(request), str(event)])
    return f"tenant_id = '{tenant}' and request_id = '{request}' and event = '{event}'", name


def _edit(column: str) -> Callable[[Sealing, Random], RowName]:
    other = f"coalesce({column}, 0) + 1" if column in _NUMBERS else f"coalesce({column}, '') || 'x'"

    def meddle(sealing: Sealing, random: Random) -> RowName:
        where, name = _row(sealing, random)
        assert sealing.meddle(f"update neuronetz.audit set {column} = {_VALUES.get(column, other)} where {where}") == 1
        return name

    return meddle


def _delete(sealing: Sealing, random: Random) -> RowName:
    where, name = _row(sealing, random)
    assert sealing.meddle(f"delete from neuronetz.audit where {where}") == 1
    return name


def _insert(sealing: Sealing, random: Random) -> None:
    where, _ = _row(sealing, random)
    columns = ", ".join("gen_random_uuid()" if column == "request_id" else column for column in COLUMNS)
    into = f"insert into neuronetz.audit ({', '.join(COLUMNS)}) select {columns} from neuronetz.audit where {where}"
    assert sealing.meddle(into) == 1


def _swap(sealing: Sealing, random: Random) -> None:
    """What one request was charged is written to another's name."""
    where, name = _row(sealing, random)
    other = next(place for place, found in iter(lambda: _row(sealing, random), None) if found != name)
    assert (
        sealing.meddle(
            f"create temp table kept on commit drop as"
            f" select prompt_tokens as p, address as a from neuronetz.audit where {where}",
            f"update neuronetz.audit set (prompt_tokens, address) ="
            f" (select prompt_tokens, address || '0' from neuronetz.audit where {other}) where {where}",
            f"update neuronetz.audit set (prompt_tokens, address) = (select p, a || '0' from kept) where {other}",
        )
        == 1
    )


def _swap_times(sealing: Sealing, random: Random) -> None:
    where, name = _row(sealing, random)
    other, _ = next(pair for pair in iter(lambda: _row(sealing, random), None) if pair[1].at_us != name.at_us)
    sealing.meddle(
        f"create temp table kept on commit drop as select (select at from neuronetz.audit where {where}) as a,"
        f" (select at from neuronetz.audit where {other}) as b",
        f"update neuronetz.audit set at = (select b from kept) where {where}",
        f"update neuronetz.audit set at = (select a from kept) where {other}",
    )


def _replace_partition(sealing: Sealing, random: Random) -> None:
    """All rows are as they were but one, in another table of the same name."""
    name = random.choice(_partitions(sealing))
    assert sealing.meddle(
        f"create temp table kept on commit drop as table neuronetz.{name}",
        f"create temp table bounds on commit drop as"
        f" select pg_get_expr(relpartbound, oid) as bound from pg_class where relname = '{name}'",
        f"drop table neuronetz.{name}",
        f"create table neuronetz.{name} (like neuronetz.audit including all)",
        f"insert into neuronetz.{name} select * from kept order by random() limit (select count(*) - 1 from kept)",
        f"do $$ begin execute 'alter table neuronetz.audit attach partition neuronetz.{name} '"
        " || (select bound from bounds); end $$",
    )


def _drop_partition(sealing: Sealing, random: Random) -> None:
    sealing.meddle(f"drop table neuronetz.{random.choice(_partitions(sealing))}")


def _partitions(sealing: Sealing) -> Sequence[str]:
    names = sealing.ask("select distinct tableoid::regclass::text from neuronetz.audit order by 1")
    return [str(name).removeprefix("neuronetz.") for (name,) in names]


def _delete_seal(sealing: Sealing, random: Random) -> None:
    assert sealing.meddle(f"delete from neuronetz.seals where n = {random.randint(1, 10)}") == 1


def _edit_seal(column: str) -> Callable[[Sealing, Random], None]:
    def meddle(sealing: Sealing, random: Random) -> None:
        n = random.choice([2, 5, 11, 12, 12])
        assert sealing.meddle(f"update neuronetz.seals set {column} = {_SEAL_COLUMNS[column]} where n = {n}") == 1

    return meddle


def _delete_tail(sealing: Sealing, random: Random) -> None:
    least = random.randint(1, 12)
    assert sealing.meddle(
        f"delete from neuronetz.seal_rows where n >= {least}", f"delete from neuronetz.seals where n >= {least}"
    )


def _delete_everything(sealing: Sealing, _random: Random) -> None:
    sealing.meddle("delete from neuronetz.audit", "delete from neuronetz.seals", "delete from neuronetz.seal_rows")


def _delete_transaction(sealing: Sealing, random: Random) -> None:
    where, _ = _row(sealing, random)
    assert sealing.meddle(f"delete from neuronetz.audit where xid = (select xid from neuronetz.audit where {where})")


def _edit_sealed_rows(sealing: Sealing, random: Random) -> None:
    """And the row with them, as somebody would who knows how they are kept."""
    where, _ = _row(sealing, random)
    column = random.choice(["names", "leaves"])
    assert sealing.meddle(
        f"update neuronetz.audit set model = 'x' where {where}",
        f"update neuronetz.seal_rows set {column} = overlay({column} placing '\\x00' from {random.randint(1, 40)})",
    )


def _delete_sealed_rows(sealing: Sealing, random: Random) -> None:
    assert sealing.meddle(f"delete from neuronetz.seal_rows where n = {random.randint(1, 12)}") == 1


def _forge_seal(sealing: Sealing, random: Random) -> None:
    """The last one, over other rows: right in every way, but made with another key under the same name."""
    where, name = _row(sealing, random)
    last = sealing.seals()[-1]
    forger = attrs.evolve(SealKey.made_from(b"whatever the intruder has made up"), id=last.key_id)
    row = [str(name.at_us), name.tenant, name.request, name.event_name, *(None for _ in COLUMNS[4:])]
    sealed = SealedRows(names=[name], leaves=[forger.leaf(row)])
    forged = forger.signed(
        attrs.evolve(last, row_count=1, root=forger.leaf(row), rows_hash=hash_of_rows(*sealed.packed()))
    )
    sealing.replace(forged, sealed)
    sealing.meddle(f"delete from neuronetz.audit where xid >= '{last.from_xid}' and not ({where})")


def cases() -> Iterator[tuple[int, Case]]:
    """A hundred, each with its seed."""
    changed, added = frozenset({Damage.ROW_CHANGED}), frozenset({Damage.ROW_ADDED})
    removed, seal = frozenset({Damage.ROW_REMOVED}), frozenset({Damage.SEAL_CHANGED})
    gone = frozenset({Damage.SEAL_REMOVED})
    kept = frozenset({Damage.ROWS_OF_SEAL_CHANGED})
    found = [Case(f"edit {column}", _edit(column), changed) for column in COLUMNS]
    found += [
        Case(f"edit seal's {column}", _edit_seal(column), seal | {Damage.KEY_UNKNOWN}) for column in _SEAL_COLUMNS
    ]
    found += 12 * [Case("delete a row", _delete, removed)]
    found += 12 * [Case("insert a row", _insert, added)]
    found += 6 * [Case("swap what two rows say", _swap, changed)]
    found += 6 * [Case("swap the times of two rows", _swap_times, changed)]
    found += 4 * [Case("replace a partition", _replace_partition, removed)]
    found += 3 * [Case("drop a partition", _drop_partition, removed)]
    found += 4 * [Case("delete a transaction", _delete_transaction, removed)]
    found += 4 * [Case("delete a seal", _delete_seal, gone)]
    found += 4 * [Case("edit what is kept of rows", _edit_sealed_rows, kept)]
    found += 2 * [Case("delete what is kept of rows", _delete_sealed_rows, kept)]
    found += 3 * [Case("forge a seal", _forge_seal, seal)]
    found += 1 * [Case("delete everything", _delete_everything, gone, anchored=True)]
    found += (100 - len(found)) * [Case("delete the last seals", _delete_tail, gone, anchored=True)]
    return enumerate(found)
