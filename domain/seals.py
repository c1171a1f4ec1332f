"""What is sealed of the audit, byte for byte: rows, their tree, and the chain of seals. Pure; format 1.

::

    row    every column as text, each a netstring, null as `-,`, in the order of `COLUMNS`
    leaf   HMAC-SHA-256(leaf key, 0x00 | row)
    root   the Merkle tree hash of the leaves in the order of the rows (RFC 6962, 2.1: a node is SHA-256(0x01 | l | r))
    seal   the fields of `Seal` in their order; `mac` is HMAC-SHA-256(seal key, those), `previous` the SHA-256 of the
           whole seal before it, 32 zero bytes for the first

Both keys are made from one secret that PostgreSQL never sees. Whoever may write everything there can thus make neither
a leaf nor a seal. What he can do is take seals away from the end, which shows against what was told outside
(`Seal.anchor`).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs

from domain.ports.audit_reader import EVENTS

FORMAT = 1
COLUMNS = (
    "at", "tenant_id", "request_id", "event", "key_id", "key_prefix", "route", "model", "address", "backend", "outcome",
    "status", "code", "prompt_tokens", "output_tokens", "held_tokens", "overshoot_tokens", "bytes_out", "queued_ms",
    "first_byte_ms", "duration_ms", "count", "actor", "detail", "xid",
)  # fmt: skip
"""All that a row of the audit has. A column that is added needs another format, since old seals know nothing of it."""
NO_SEAL = bytes(32)
SHORT = 8
"""Bytes of a leaf that are kept beside the seal: enough to name the row that is bad, the root has the rest."""
MOST_XID = 2**63 - 1
"""A span that ends here has no end."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OTHER_EVENT = 255
_HEAD = struct.Struct(">qhq?qqqqq")
_TAIL = struct.Struct(">q")

Row = Sequence[str | None]
"""One row as text, in the order of `COLUMNS`; `at` in microseconds since 1970, `xid` in decimal."""


@attrs.frozen(order=True)
class RowName:
    """What tells a row from all others: the primary key of the audit."""

    at_us: int
    """Microseconds since 1970."""
    tenant_id: bytes
    request_id: bytes
    event: int
    """Its place in `EVENTS`."""

    @classmethod
    def of(cls, row: Row) -> RowName:
        """The name of this row."""
        at, tenant_id, request_id, event, *_ = row
        number = EVENTS.index(event) if event in EVENTS else _OTHER_EVENT
        return cls(int(at or 0), _uuid_bytes(tenant_id), _uuid_bytes(request_id), number)

    @property
    def at(self) -> datetime:
        """When its transaction began."""
        return _EPOCH + timedelta(microseconds=self.at_us)

    @property
    def tenant(self) -> str:
        """As a UUID is written; all zero for a row of no tenant's."""
        digits = self.tenant_id.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    @property
    def request(self) -> str:
        """The request, or what stands for one: 32 hex digits."""
        return self.request_id.hex()

    @property
    def event_name(self) -> str:
        """In words."""
        return EVENTS[self.event] if self.event < len(EVENTS) else "another"

    def __str__(self) -> str:
        whose = f"tenant {self.tenant}" if any(self.tenant_id) else "no tenant"
        return f"{self.event_name} of {self.at.isoformat()}, {whose}, request {self.request}"


def _uuid_bytes(text: str | None) -> bytes:
    return bytes.fromhex((text or "").replace("-", ""))


@attrs.frozen(kw_only=True)
class SealedRows:
    """Which rows a seal has, in their order, and a short hash of each."""

    names: Sequence[RowName]
    leaves: Sequence[bytes]
    """Cut to `SHORT` bytes."""

    def packed(self) -> tuple[bytes, bytes]:
        """As it is kept: column by column, since ids that repeat then compress well."""
        columns = (
            b"".join(struct.pack(">q", name.at_us) for name in self.names),
            b"".join(name.tenant_id for name in self.names),
            b"".join(name.request_id for name in self.names),
            bytes(name.event for name in self.names),
        )
        return b"".join(columns), b"".join(leaf[:SHORT] for leaf in self.leaves)

    @classmethod
    def unpacked(cls, names: bytes, leaves: bytes) -> SealedRows:
        """The reverse; bytes that are none of ours give something, whose hash will not fit."""
        count = len(leaves) // SHORT
        times, rest = names[: 8 * count], names[8 * count :]
        tenants, requests, events = rest[: 16 * count], rest[16 * count : 32 * count], rest[32 * count :]
        if len(events) != count:
            return cls(names=(), leaves=())
        numbers = struct.unpack(f">{count}q", times)
        return cls(
            names=[
                RowName(numbers[i], tenants[16 * i : 16 * i + 16], requests[16 * i : 16 * i + 16], events[i])
                for i in range(count)
            ],
            leaves=[leaves[SHORT * i : SHORT * (i + 1)] for i in range(count)],
        )


def hash_of_rows(names: bytes, leaves: bytes) -> bytes:
    """Binds what is kept of the rows to their seal."""
    return hashlib.sha256(struct.pack(">q", len(names)) + names + leaves).digest()


@attrs.frozen(kw_only=True)
class Seal:
    """One seal."""

    n: int
    """From 1, without a gap."""
    format: int = FORMAT
    server: int
    """PostgreSQL's system identifier: transactions are numbered anew on another one."""
    restored: bool
    """Whether these are rows of another server, whose ids this one has not reached yet."""
    from_xid: int
    to_xid: int
    """The first that is not sealed any more."""
    row_count: int
    first_at: datetime
    last_at: datetime
    root: bytes
    rows_hash: bytes
    previous: bytes
    key_id: str
    """Which secret it was made with."""
    made_at: datetime
    mac: bytes = b""

    def content(self) -> bytes:
        """What is signed."""
        head = _HEAD.pack(
            self.n, self.format, self.server, self.restored, self.from_xid, self.to_xid, self.row_count,
            _microseconds(self.first_at), _microseconds(self.last_at),
        )  # fmt: skip
        tail = _TAIL.pack(_microseconds(self.made_at))
        return b"".join((head, self.root, self.rows_hash, self.previous, self.key_id.encode(), b"\0", tail))

    def hash(self) -> bytes:
        """What the next seal names."""
        return hashlib.sha256(self.content() + self.mac).digest()

    @property
    def anchor(self) -> Anchor:
        """What is told outside."""
        return Anchor(n=self.n, root=self.root.hex(), mac=self.mac.hex())


@attrs.frozen(kw_only=True)
class Anchor:
    """A seal as the log has it, which is out of the reach of whoever can write the database."""

    n: int
    root: str
    mac: str


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


@attrs.frozen(repr=False)
class SealKey:
    """One secret of the ring, and what is made from it."""

    id: str
    _leaf: bytes
    _seal: bytes

    @classmethod
    def made_from(cls, secret: bytes) -> SealKey:
        """Takes the operator's secret."""
        return cls(
            hmac.digest(secret, b"neuronetz audit key id", "sha256")[:8].hex(),
            hmac.digest(secret, b"neuronetz audit leaf", "sha256"),
            hmac.digest(secret, b"neuronetz audit seal", "sha256"),
        )

    def leaf(self, row: Row) -> bytes:
        """The keyed hash of a row."""
        return hmac.digest(self._leaf, b"\0" + encoded(row), "sha256")

    def signed(self, seal: Seal) -> Seal:
        """The same with its mac."""
        return attrs.evolve(seal, mac=hmac.digest(self._seal, seal.content(), "sha256"))

    def made(self, seal: Seal) -> bool:
        """Whether its mac is of this key."""
        return hmac.compare_digest(self.signed(seal).mac, seal.mac)


def encoded(row: Row) -> bytes:
    """Unambiguous: no two rows have the same bytes."""
    parts = [b"-" if value is None else b"%d:%s" % (len(text := value.encode()), text) for value in row]
    return b",".join(parts) + b","


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaves.

    An odd one goes up as it is, which gives the very tree of RFC 6962; of nothing, its hash of nothing.
    """
    if not leaves:
        return hashlib.sha256().digest()
    level = list(leaves)
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + one + other).digest() for one, other in zip(level[::2], level[1::2])]  # noqa: B905  an odd one is left over
        level = [*pairs, level[-1]] if len(level) % 2 else pairs
    return level[0]
