"""Rows, their tree and their seals, byte for byte."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ports.audit_seals import Dropped, Retained
from domain.seals import NO_SEAL, RowName, Seal, SealedRows, SealKey, encoded, merkle_root

SECRET = b"a secret that only gateways have"
ROWS = st.lists(st.none() | st.text(max_size=5), min_size=3, max_size=3)
SEAL = Seal(
    n=2, server=7, restored=False, from_xid=10, to_xid=20, row_count=3, first_at=datetime(2027, 1, 1, tzinfo=UTC),
    last_at=datetime(2027, 1, 2, tzinfo=UTC), root=b"r" * 32, rows_hash=b"h" * 32, previous=NO_SEAL, key_id="00",
    made_at=datetime(2027, 1, 3, tzinfo=UTC),
)  # fmt: skip
OTHERS: dict[str, Any] = {
    "n": 3, "format": 2, "server": 8, "restored": True, "from_xid": 11, "to_xid": 21, "row_count": 4,
    "first_at": SEAL.last_at, "last_at": SEAL.first_at, "root": b"q" * 32, "rows_hash": b"i" * 32,
    "previous": b"p" * 32, "key_id": "01", "made_at": SEAL.last_at,
}  # fmt: skip


@given(ROWS, ROWS)
def test_two_rows_have_the_same_bytes_only_if_they_are_the_same(one: list[str | None], other: list[str | None]) -> None:
    assert (encoded(one) == encoded(other)) == (one == other)


def test_a_row_is_netstrings_and_null_is_none() -> None:
    assert encoded(["é", None, ""]) == b"2:\xc3\xa9,-,0:,"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33])
def test_the_root_is_the_tree_hash_of_rfc_6962(count: int) -> None:
    leaves = [bytes([number]) * 32 for number in range(count)]

    def tree(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return part[0]
        split = 1 << (len(part) - 1).bit_length() - 1
        return hashlib.sha256(b"\1" + tree(part[:split]) + tree(part[split:])).digest()

    assert merkle_root(leaves) == tree(leaves)


def test_of_nothing_the_root_is_the_hash_of_nothing() -> None:
    assert merkle_root([]) == hashlib.sha256(b"").digest()


def test_a_leaf_is_keyed() -> None:
    derived = hmac.digest(SECRET, b"neuronetz audit leaf", "sha256")

    assert SealKey.made_from(SECRET).leaf(["a", None]) == hmac.digest(derived, b"\0" + b"1:a,-,", "sha256")


def test_no_part_of_a_seal_can_be_another() -> None:
    key = SealKey.made_from(SECRET)
    signed = key.signed(SEAL)

    assert OTHERS.keys() == {field.name for field in attrs.fields(Seal)} - {"mac"}
    assert key.made(signed)
    assert [name for name, value in OTHERS.items() if key.made(attrs.evolve(signed, **{name: value}))] == []
    assert not SealKey.made_from(SECRET + b"!").made(signed)


def test_the_next_seal_names_the_whole_of_this_one() -> None:
    assert SEAL.hash() != attrs.evolve(SEAL, mac=b"m").hash()


def test_no_secret_is_seen() -> None:
    key = SealKey.made_from(SECRET)

    assert SECRET.decode() not in repr(key)
    assert hmac.digest(SECRET, b"neuronetz audit seal", "sha256").hex() not in repr(key) + key.id


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), st.uuids(), st.uuids(), st.integers(0, 255)), max_size=9))
def test_what_is_kept_of_rows_comes_back(found: list[tuple[int, UUID, UUID, int]]) -> None:
    names = [RowName(at_us, tenant.bytes, request.bytes, event) for at_us, tenant, request, event in found]
    leaves = [hashlib.sha256(name.request_id).digest() for name in names]

    back = SealedRows.unpacked(*SealedRows(names=names, leaves=leaves).packed())

    assert (list(back.names), list(back.leaves)) == (names, [leaf[:8] for leaf in leaves])


@pytest.mark.parametrize(("names", "leaves"), [(b"", b"12345678"), (b"x" * 41, b""), (b"x" * 40, b"12345678")])
def test_bytes_that_are_no_rows_are_none(names: bytes, leaves: bytes) -> None:
    assert list(SealedRows.unpacked(names, leaves).names) == []


def test_a_row_is_named_so_that_it_is_found_again() -> None:
    name = RowName.of(["1767225600000001", str(UUID(int=5)), str(UUID(int=9)), "finished", None])

    assert str(name) == (
        "finished of 2026-01-01T00:00:00.000001+00:00, tenant 00000000-0000-0000-0000-000000000005,"
        " request 00000000000000000000000000000009"
    )
    assert "no tenant" in str(attrs.evolve(name, tenant_id=bytes(16)))
    assert RowName.of(["0", None, None, "unheard of"]).event_name == "another"


def test_a_seal_of_numbers_that_no_server_has_is_not_ours() -> None:
    key = SealKey.made_from(SECRET)

    assert not key.made(attrs.evolve(key.signed(SEAL), server=-1))


MARCH, APRIL, MAY = (datetime(2027, month, 1, tzinfo=UTC) for month in (3, 4, 5))


@pytest.mark.parametrize(
    ("months", "before", "asked", "excused"),
    [
        ([(APRIL, MAY)], date(2027, 4, 1), datetime(2027, 5, 2, tzinfo=UTC), True),
        ([], date(2027, 3, 1), datetime(2027, 5, 2, tzinfo=UTC), False),
        ([], date(2027, 4, 1), datetime(2027, 4, 30, tzinfo=UTC), False),
        ([(MARCH, datetime(2027, 3, 9, tzinfo=UTC))], date(2027, 4, 1), datetime(2027, 5, 2, tzinfo=UTC), False),
        ([(datetime(2027, 3, 11, tzinfo=UTC), MAY)], date(2027, 4, 1), datetime(2027, 5, 2, tzinfo=UTC), False),
    ],
    ids=["its month went", "it was to stay", "retention refuses that", "a part of its month is there", "so is another"],
)
def test_a_row_is_excused_by_a_whole_month_that_retention_may_take(
    months: list[tuple[datetime, datetime]], before: date, asked: datetime, *, excused: bool
) -> None:
    dropped = Dropped(before=before, at=asked, actor=None, login=None)

    assert Retained(months=months, dropped=dropped).excuses(datetime(2027, 3, 10, tzinfo=UTC)) is excused
