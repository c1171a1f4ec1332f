"""What is wrong with a seal, or with the rows under it, told apart and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import attrs

from domain.seals import NO_SEAL, SHORT, Anchor, Row, RowName, Seal, SealedRows, SealKey, hash_of_rows, merkle_root

Anchors = Mapping[int, Sequence[Anchor]]
"""All that was told outside of seals, by their numbers. Several that differ tell of a chain that was replaced."""


class Damage(StrEnum):
    """Kinds of it; never change their meaning."""

    ROW_CHANGED = "row_changed"
    ROW_REMOVED = "row_removed"
    ROW_ADDED = "row_added"
    SEAL_CHANGED = "seal_changed"
    SEAL_REMOVED = "seal_removed"
    ROWS_OF_SEAL_CHANGED = "rows_of_seal_changed"
    """What is kept of its rows beside the seal."""
    ANCHOR_DIFFERS = "anchor_differs"
    KEY_UNKNOWN = "key_unknown"
    """It cannot be checked with the keys that are given."""


@attrs.frozen(kw_only=True)
class Finding:
    """One of them."""

    damage: Damage
    n: int
    """Of the seal where it was seen."""
    row: RowName | None = None
    sentence: str


@attrs.frozen(kw_only=True)
class Compared:
    """Rows against what their seal says of them."""

    changed: Sequence[RowName]
    missing: Sequence[RowName]
    strangers: Mapping[RowName, Row]
    """Rows that the seal does not have, in the order in which they lie."""
    doubled: Sequence[RowName]
    """Of rows that came before with the same name: the table's key was taken away."""
    whole: bool
    """Whether the rows that it has give its root, each once."""


def chain_findings(seal: Seal, before: Seal | None, keys: Mapping[str, SealKey]) -> Sequence[Finding]:
    """Whether this seal is its key's and follows the one before."""
    expected = 1 if before is None else before.n + 1
    if seal.n != expected:
        gap = f"{expected}" if seal.n == expected + 1 else f"{expected} to {seal.n - 1}"
        return [_of(Damage.SEAL_REMOVED, seal, f"Before seal {seal.n} there is no seal {gap}: removed.")]
    key = keys.get(seal.key_id)
    if key is None:
        told = f"Seal {seal.n} names the key {seal.key_id}, which is none of AUDIT_SEAL_KEY: it cannot be checked."
        return [_of(Damage.KEY_UNKNOWN, seal, told)]
    if not key.made(seal):
        return [_of(Damage.SEAL_CHANGED, seal, f"Seal {seal.n} is not as it was made.")]
    if seal.previous != (NO_SEAL if before is None else before.hash()):
        told = f"Seal {seal.n} does not follow the seal {seal.n - 1} that is there: one of them was replaced."
        return [_of(Damage.SEAL_CHANGED, seal, told)]
    return []


def anchor_findings(seal: Seal, anchors: Anchors) -> Sequence[Finding]:
    """Whether it is the one that was told outside, each time that it was."""
    if all(anchor == seal.anchor for anchor in anchors.get(seal.n, ())):
        return []
    told = (
        f"Seal {seal.n} is another than the log has: the chain was replaced, or is a backup's with what came after it."
    )
    return [_of(Damage.ANCHOR_DIFFERS, seal, told)]


def tail_findings(last: Seal | None, anchors: Anchors) -> Sequence[Finding]:
    """Whether seals are missing at the end."""
    most, end = max(anchors, default=0), 0 if last is None else last.n
    if most <= end:
        return []
    told = f"The log has seals up to {most}, and the last one here is {end}: those behind it were removed."
    return [Finding(damage=Damage.SEAL_REMOVED, n=end + 1, sentence=told)]


def belong(seal: Seal, rows: SealedRows) -> bool:
    """Whether this is what was kept of the seal's rows."""
    return hash_of_rows(*rows.packed()) == seal.rows_hash and len(rows.names) == seal.row_count


def compare(seal: Seal, sealed: SealedRows, found: Sequence[Row], key: SealKey) -> Compared:
    """Takes the rows that are there in the seal's span, in order."""
    leaves = dict(zip(sealed.names, sealed.leaves, strict=True))
    changed, strangers, doubled, kept = [], {}, [], []
    seen = set()
    for row in found:
        name, leaf = RowName.of(row), key.leaf(row)
        if name in seen:
            doubled.append(name)
            continue
        seen.add(name)
        short = leaves.pop(name, None)
        if short is None:
            strangers[name] = row
        elif short != leaf[:SHORT]:
            changed.append(name)
        else:
            kept.append(leaf)
    whole = not changed and not leaves and not doubled and merkle_root(kept) == seal.root
    return Compared(changed=changed, missing=list(leaves), strangers=strangers, doubled=doubled, whole=whole)


def same_row(missing: RowName, stranger: RowName) -> bool:
    """Whether one may be the other with another name: three of the four parts that make it are the same."""
    alike = [one == other for one, other in zip(attrs.astuple(missing), attrs.astuple(stranger), strict=True)]
    return alike.count(True) == len(alike) - 1


def row_changed(n: int, row: RowName, now: RowName | None = None) -> Finding:
    """It is there, and is not as it was sealed."""
    other = "" if now is None else f"; it now says: {now}"
    return Finding(damage=Damage.ROW_CHANGED, n=n, row=row, sentence=f"Changed after it was sealed: {row}{other}.")


def row_removed(n: int, row: RowName) -> Finding:
    """It is gone, and no retention on record took it."""
    return Finding(damage=Damage.ROW_REMOVED, n=n, row=row, sentence=f"Removed after it was sealed: {row}.")


def row_added(n: int, row: RowName) -> Finding:
    """It lies in a span that was complete when it was sealed, without it."""
    return Finding(damage=Damage.ROW_ADDED, n=n, row=row, sentence=f"Added behind the seal's back: {row}.")


def rows_of_seal_changed(seal: Seal, what: str) -> Finding:
    """Its rows can be checked as a whole only, or not at all."""
    told = f"What is kept of the rows of seal {seal.n} {what}: single rows of it cannot be named."
    return _of(Damage.ROWS_OF_SEAL_CHANGED, seal, told)


def rows_do_not_give_root(seal: Seal) -> Finding:
    """Something is not as it was, and the short hashes do not show what."""
    return _of(Damage.ROW_CHANGED, seal, f"The rows of seal {seal.n} are not those that were sealed.")


def _of(damage: Damage, seal: Seal, sentence: str) -> Finding:
    return Finding(damage=damage, n=seal.n, sentence=sentence)
