"""Copies of callers as they lie in Redis: 32 bytes of MAC, then JSON.

The MAC covers the key's fingerprint, the time of issue and the caller, so a compromised Redis can neither forge a
record, nor put one key's record under another, nor keep one alive: it can only forget.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs
import msgspec

from domain.policies import Caller

MAX_AGE = timedelta(seconds=60)
"""By the record's own time of issue: what a replay can gain, whatever Redis does with its expiry."""

_PURPOSE = b"neuronetz key cache 3"
"""Its number rises with the form of a caller: what another release has sealed is then not believed, but read anew."""
_MAC_BYTES = 32


class BadRecord(ValueError):
    """It was not written by us for this key, or long ago."""


@attrs.frozen(kw_only=True)
class _Record:
    issued_at: datetime
    caller: Caller


class RecordSeal:
    """Seals and opens records."""

    def __init__(self, peppers: Sequence[bytes]) -> None:
        """Derives its own keys.

        Args:
            peppers: the ring, current first; a record sealed under a former one still opens.
        """
        self._keys = [hmac.digest(pepper, _PURPOSE, "sha256") for pepper in peppers]
        self._decoder = msgspec.json.Decoder(_Record)

    def seal(self, fingerprint: bytes, caller: Caller, now: datetime) -> bytes:
        """A record for this key."""
        text = msgspec.json.encode(_Record(issued_at=now, caller=caller))
        return _mac(self._keys[0], fingerprint, text) + text

    def open(self, fingerprint: bytes, record: bytes, now: datetime) -> Caller:
        """The caller in a record.

        Raises:
            BadRecord: nothing in it may be believed.
        """
        mac, text = record[:_MAC_BYTES], record[_MAC_BYTES:]
        if not any(hmac.compare_digest(_mac(key, fingerprint, text), mac) for key in self._keys):
            raise BadRecord("not sealed by us for this key")
        try:
            opened = self._decoder.decode(text)
        except (msgspec.DecodeError, ValueError) as error:
            raise BadRecord("sealed, but of another form") from error
        if abs(now - opened.issued_at) > MAX_AGE:
            raise BadRecord("of another time")
        return opened.caller


def _mac(key: bytes, fingerprint: bytes, text: bytes) -> bytes:
    return hmac.digest(key, len(fingerprint).to_bytes(2, "big") + fingerprint + text, "sha256")
